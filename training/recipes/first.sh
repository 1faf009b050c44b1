#!/usr/bin/env bash
# The first short training, from nothing to a shipped bundle: about 90 minutes on 2 quiet CPU cores.
# Every step resumes where it stopped. Usage: training/recipes/first.sh DATA (see training/README.md)
set -euo pipefail
cd "$(dirname "$0")/../.."
data=$1
python=${PYTHON:-.venv/bin/python}

[ -e runs/cache/tts/index.tsv ] ||
  "$python" -m training.synthetic --data "$data" --out runs/cache/tts --hours 4
# Turns, voices and words together, under full augmentation ...
[ -e runs/joint/finetune ] ||
  "$python" -m training.joint --data "$data" --out runs/joint --steps 2300 --decay 0.1
touch runs/joint/finetune
# ... then mostly clear reading, which is what so short a training can learn to spell.
"$python" -m training.joint --data "$data" --out runs/joint --steps 2560 \
  --read-items 6 --conversations 1 --roughness 0.2
# The encoder frozen: separation from scratch, diarization and speaker further.
"$python" -m training.heads --data "$data" --start runs/joint/model.safetensors \
  --arcface runs/joint/state.pt --steps 220
"$python" -m training.ship --data "$data" --start runs/heads/model.safetensors \
  --out models/echo-25m.safetensors
make bundle
"$python" -m training.evaluate --data "$data" --bundle echo_edge/default_bundle \
  --checkpoint models/echo-25m.safetensors
