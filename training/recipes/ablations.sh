#!/usr/bin/env bash
# What each part of the joint training is worth: four layers from nothing, the same steps and batches,
# one part changed at a time; the last line of every run's look.csv tells. Some 10 minutes a variant
# on 2 quiet cores. Usage: training/recipes/ablations.sh DATA [VARIANT ...]
set -euo pipefail
cd "$(dirname "$0")/../.."
data=$1
shift
python=${PYTHON:-.venv/bin/python}
variants=("${@:-base}")
[ $# -gt 0 ] ||
  variants=(base other-seed no-phones vq qat chunks full-context tokens-20ms tokens-80ms)

declare -A options=(
  [base]=""
  [other-seed]="--seed 1"  # how much is chance
  [no-phones]="--phone-weight 0"
  [vq]="--vq 512"
  [qat]="--qat 0.1"
  # From nothing the first 300 steps are easy ones without chunks, so these two go on from base.
  [chunks]="--start runs/ablation/base/model.safetensors --steps 200"
  [full-context]="--start runs/ablation/base/model.safetensors --steps 200 --full-context 1.0"
  [tokens-20ms]="--token-frames 2"
  [tokens-80ms]="--token-frames 8"
)
for variant in "${variants[@]}"; do
  # shellcheck disable=SC2086  # a variant may be several options
  "$python" -m training.joint --data "$data" --out "runs/ablation/$variant" --layers 4 --steps 400 \
    --peak 1e-3 --decay 0.3 --read-items 4 --conversations 2 --roughness 0.25 --look-every 400 \
    ${options[$variant]}
done
tail -n 1 runs/ablation/*/look.csv
