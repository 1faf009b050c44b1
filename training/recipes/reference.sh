#!/usr/bin/env bash
# The reference checkpoint, from nothing to a bundle and its figures: about 9 hours on 2 quiet CPU
# cores. Every step resumes where it stopped. Usage:
#
#     training/recipes/reference.sh DATA           # into runs/, models/ and echo_edge/default_bundle
#     training/recipes/reference.sh DATA OUT 0.01  # the same path in minutes: a hundredth of the
#                                                  # steps, of a narrow model, everything below OUT,
#                                                  # nothing that only repeats a step
set -euo pipefail
data=$(realpath "$1")
out=$(realpath -m "${2:-$(dirname "$0")/../..}")
share=${3:-1}
cd "$(dirname "$0")/../.."
python=$(realpath -s "${PYTHON:-.venv/bin/python}")
runs=$out/runs models=$out/models bundle=$out/echo_edge/default_bundle
# On a GPU: DEVICE=cuda WORKERS=16 (processes that make batches) before the command.
device=${DEVICE:-cpu} products=()
where=(--device "$device" --workers "${WORKERS:-1}")
[ "$device" = cpu ] || products=(--bf16)
width=512 hours=4 words=30000 figures=(words voices turns sources)
[ "$share" = 1 ] || { width=128 hours=0.1 words=2000 figures=(voices); }

# So many steps of so many, or that share of them, but 20 at least.
steps() { awk -v n="$1" -v share="$share" 'BEGIN { m = int(n * share); print (m < 20 ? 20 : m) }'; }
joint() {  # NAME STEPS OPTION ...
  "$python" -m training.joint --data "$data" --cache "$runs/cache" --out "$runs/$1" \
    --steps "$(steps "$2")" --width "$width" "${where[@]}" "${products[@]}" "${@:3}"
}
heads() {  # NAME START JOINT STEPS: the heads of START; the voices are those of the run JOINT
  "$python" -m training.heads --data "$data" --cache "$runs/cache" --out "$runs/$1" \
    --start "$runs/$2/model.safetensors" --arcface "$runs/$3/state.pt" --steps "$(steps "$4")" --peak 5e-4 \
    "${where[@]}"
}

[ -e "$runs/cache/tts/index.tsv" ] ||
  "$python" -m training.synthetic --data "$data" --out "$runs/cache/tts" --hours "$hours"
[ -e "$runs/cache/phones.npz" ] || "$python" -m training.align --data "$data" --cache "$runs/cache"

# Words, voices and turns together: four layers first, then eight that start as those four twice.
gentle=(--read-items 4 --conversations 2 --roughness 0.25)
joint joint4 1500 --layers 4 --peak 1e-3 --decay 0.1 "${gentle[@]}"
joint joint8 2100 --start "$runs/joint4/model.safetensors" --decay 0.4 "${gentle[@]}"
# Once more up and down with the learning rate: nearly all is learned while it falls.
base=joint8
if [ "$share" = 1 ]; then
  joint joint8b 2200 --start "$runs/joint8/model.safetensors" --peak 7e-4 --decay 0.5 "${gentle[@]}"
  base=joint8b
fi
# The encoder frozen: latent separation from scratch, audible separation and the others further.
heads heads "$base" "$base" 700
# Everything once more, with more conversations and rougher speech, from the best so far; three fifths
# of the way there are best. What is shipped went this way four times (training/LOG.md).
soup() {  # NAME START END
  mkdir -p "$runs/$1"
  "$python" -m training.soup --start "$runs/$2/model.safetensors" --end "$runs/$3/model.safetensors" \
    --share 0.6 --out "$runs/$1/model.safetensors"
}
again() {  # NAME START STEPS CONVERSATIONS STEPS_OF_HEADS
  joint "$1" "$3" --start "$runs/$2/model.safetensors" --peak 6e-4 --decay 0.7 \
    --read-items 5 --conversations "$4" --roughness 0.5
  soup "$1_soup" "$2" "$1"
  heads "$1_heads" "$1_soup" "$1" "$5"
}
again first heads 2600 3 400
last=first
if [ "$share" = 1 ]; then
  again second first_heads 1700 3 400
  again third second_heads 1550 3 400
  again fourth third_heads 1000 4 600
  last=fourth
fi
# Of the heads too: the longer they train alone, the worse they separate voices they never heard.
soup best "${last}_soup" "${last}_heads"

mkdir -p "$models"
# Sounds as likely as what is heard makes them.
"$python" -m training.priors --data "$data" --cache "$runs/cache" \
  --start "$runs/best/model.safetensors" --out "$runs/priors/model.safetensors"
"$python" -m training.ship --data "$data" --cache "$runs/cache" \
  --start "$runs/priors/model.safetensors" --out "$models/echo-25m.safetensors"
# The language model: the transcripts and, for the real one, books.
texts=()
if [ "$share" = 1 ]; then
  [ -d "$runs/text" ] || training/recipes/texts.sh "$runs/text"
  texts=(--text "$runs"/text/*)
fi
"$python" -m training.language --data "$data" --cache "$runs/cache" "${texts[@]}" \
  --size "$words" --out "$models/english.npz"
rm -rf "$bundle"
"${python%/*}/echo-edge" export "$models/echo-25m.safetensors" --out "$bundle" \
  --language-model "$models/english.npz"
"$python" -m training.evaluate --data "$data" --cache "$runs/cache" --bundle "$bundle" \
  --out "$runs/evaluation" --only "${figures[@]}"
