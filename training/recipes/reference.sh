#!/usr/bin/env bash
# The reference checkpoint, from nothing to a shipped bundle: about 2.5 hours on 2 quiet CPU cores.
# Every step resumes where it stopped. Usage: training/recipes/reference.sh DATA (see
# training/README.md)
set -euo pipefail
cd "$(dirname "$0")/../.."
data=$1
python=${PYTHON:-.venv/bin/python}

[ -e runs/cache/tts/index.tsv ] ||
  "$python" -m training.synthetic --data "$data" --out runs/cache/tts --hours 4
[ -e runs/cache/phones.npz ] || "$python" -m training.align --data "$data"
# Words, voices and turns together: four layers first, then eight that start as those four twice.
"$python" -m training.joint --data "$data" --out runs/joint4 --layers 4 --steps 1500 \
  --peak 1e-3 --decay 0.1 --read-items 4 --conversations 2 --roughness 0.25
"$python" -m training.joint --data "$data" --out runs/joint8 --grow runs/joint4 --steps 2100 \
  --decay 0.4 --read-items 4 --conversations 2 --roughness 0.25
# The encoder frozen: separation from scratch, diarization and speaker further.
"$python" -m training.heads --data "$data" --start runs/joint8/model.safetensors \
  --arcface runs/joint8/state.pt --steps 400
"$python" -m training.ship --data "$data" --start runs/heads/model.safetensors \
  --out models/echo-25m.safetensors
make bundle
"$python" -m training.evaluate --data "$data" --bundle echo_edge/default_bundle \
  --checkpoint models/echo-25m.safetensors
