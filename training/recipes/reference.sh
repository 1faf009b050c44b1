#!/usr/bin/env bash
# The reference checkpoint, from nothing to a shipped bundle: about 6 hours on 2 quiet CPU cores.
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
# Once more up and down with the learning rate: nearly all is learned while it falls.
"$python" -m training.joint --data "$data" --out runs/joint8b \
  --start runs/joint8/model.safetensors --steps 2200 --peak 7e-4 --decay 0.5 \
  --read-items 4 --conversations 2 --roughness 0.25
# The encoder frozen: latent separation from scratch, audible separation and the others further.
"$python" -m training.heads --data "$data" --start runs/joint8b/model.safetensors \
  --arcface runs/joint8b/state.pt --steps 700 --peak 5e-4
# Everything once more, with more conversations and rougher speech; half of the way there is best.
"$python" -m training.joint --data "$data" --out runs/joint8d \
  --start runs/heads/model.safetensors --steps 2600 --peak 7e-4 --decay 0.7 \
  --read-items 5 --conversations 3 --roughness 0.6
"$python" -m training.heads --data "$data" --start runs/joint8d/model.safetensors \
  --arcface runs/joint8d/state.pt --steps 450 --peak 5e-4 --out runs/heads_d
"$python" -m training.soup --start runs/heads/model.safetensors \
  --end runs/heads_d/model.safetensors --out runs/soup.safetensors
# Once more with everything; of this only three fifths are taken.
"$python" -m training.joint --data "$data" --out runs/phones \
  --start runs/soup.safetensors --steps 1700 --peak 6e-4 --decay 0.7 \
  --read-items 5 --conversations 3 --roughness 0.5
"$python" -m training.soup --start runs/soup.safetensors --end runs/phones/model.safetensors \
  --share 0.6 --out runs/phones_soup.safetensors
"$python" -m training.heads --data "$data" --start runs/phones_soup.safetensors \
  --arcface runs/phones/state.pt --steps 330 --peak 5e-4 --out runs/heads_p
"$python" -m training.ship --data "$data" --start runs/heads_p/model.safetensors \
  --out models/echo-25m.safetensors
# The language model.
[ -d runs/text ] || training/recipes/texts.sh runs/text
"$python" -m training.language --data "$data" --text runs/text/* --size 30000 \
  --out models/english.npz
make bundle
"$python" -m training.evaluate --data "$data" --bundle echo_edge/default_bundle \
  --checkpoint models/echo-25m.safetensors
