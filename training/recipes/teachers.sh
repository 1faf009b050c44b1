#!/usr/bin/env bash
# Everything that training takes from pretrained models, from nothing: the models, synthetic speech,
# and what the models say of every utterance. Each step goes on where it stopped. Usage:
#
#     training/recipes/teachers.sh DATA            # into runs/, 20 hours of synthetic speech
#     training/recipes/teachers.sh DATA OUT HOURS
#
# Then train with --more OUT/kokoro --cache OUT/cache --latents OUT/cache/latents/train ...
set -euo pipefail
data=$(realpath "$1")
out=$(realpath -m "${2:-$(dirname "$0")/../../runs}")
hours=${3:-20}
cd "$(dirname "$0")/../.."
python=$(realpath -s "${PYTHON:-.venv/bin/python}")
# Products in bfloat16 are faster only where the processor has them.
fast=()
if grep -qs amx_bf16 /proc/cpuinfo; then fast=(--bf16); fi

"$python" -m training.teachers.fetch --out "$out/teachers"
[ -d "$out/text" ] || training/recipes/texts.sh "$out/text"
"$python" -m training.teachers.speech --data "$data" --text "$out"/text/* --teachers "$out/teachers" \
  --out "$out/kokoro" --hours "$hours" "${fast[@]}"
"$python" -m training.teachers.cache --data "$data" --more "$out/kokoro" --cache "$out/cache" \
  --teachers "$out/teachers" "${fast[@]}"
