"""The language model of the beam search: how words sound, and bigrams counted in plain text.

    python -m training.language --data DATA --text FILE [FILE ...] --out models/english.npz

Absolute discounting with Kneser-Ney continuation counts (Kneser & Ney, ICASSP 1995). The training
transcripts are read too, several times: they sound like what is transcribed. Pronunciations come
from espeak-ng.
"""

import argparse
import math
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echo_edge.language import START, LanguageModel, load_language_model
from echo_edge_export.config import PHONES

from .align import Lexicon, pronounce
from .data import held_out_texts, load_splits, normalize_text

DISCOUNT = 0.75
SENTENCE_ENDS = re.compile(r"[.!?;:]+|\n\s*\n")

LONGEST_LINE = 200

Sentence = list[str]


def sentences(text: str) -> Iterator[Sentence]:
    """Normalized sentences of plain text; those with digits are left out."""
    for piece in SENTENCE_ENDS.split(text):
        words = normalize_text(piece).split()
        if words:
            yield words


def read_books(path: Path) -> str:
    """Plain text; of a package of R (`Rdata.rdb`), all lines of all its texts.

    Such a file is a row of compressed objects, each after its length; in them a string is a header
    of four bytes that ends in 9, its length and its bytes ("R Internals", sections 1.8 and 1.18).
    """
    stored = path.read_bytes()
    if path.suffix != ".rdb":
        return stored.decode("utf-8", "replace")
    lines: list[str] = []
    while stored:
        unpacker = zlib.decompressobj()
        data, stored = unpacker.decompress(stored[4:]), unpacker.unused_data
        for header in re.finditer(rb"\x00[\x00-\xff]\x00\x09([\x00-\xff]{4})", data):
            length = int.from_bytes(header.group(1))
            if length < LONGEST_LINE:
                text = data[header.end() : header.end() + length]
                lines.append(text.decode("utf-8", "replace"))
    return "\n".join(lines)


def count(corpus: Iterable[Sentence]) -> tuple[Counter[str], dict[str, Counter[str]]]:
    """How often each word occurs, and after which; the empty word begins a sentence."""
    words: Counter[str] = Counter()
    after: dict[str, Counter[str]] = defaultdict(Counter)
    for sentence in corpus:
        words.update(sentence)
        for previous, word in zip(["", *sentence], sentence, strict=False):
            after[previous][word] += 1
    return words, after


def vocabulary(words: Counter[str], size: int) -> Lexicon:
    """Pronunciations of the `size` most frequent words, without those that sound foreign."""
    frequent = sorted(word for word, _ in words.most_common(size) if word.isascii())
    lexicon = pronounce(frequent)
    return {word: said for word, said in lexicon.items() if said and set(said) <= set(PHONES)}


def estimate(
    lexicon: Lexicon, after: dict[str, Counter[str]], least: int
) -> dict[str, NDArray[Any]]:
    """The arrays of `LanguageModel` over the words of `lexicon`, with the bigrams that occur at
    least `least` times."""
    sounds = {word: bytes(PHONES.index(p) for p in said) for word, said in lexicon.items()}
    kept = sorted(sounds, key=lambda word: (sounds[word], word.encode()))
    index = {word: i for i, word in enumerate(kept)}
    follows = np.full(len(kept), 0.1)
    for followers in after.values():
        for word in followers:
            if word in index:
                follows[index[word]] += 1.0
    unigram = follows / follows.sum()
    backoff, rows = np.zeros(len(kept) + 1), [0]
    columns: list[int] = []
    bigram: list[float] = []
    for v, previous in enumerate([*kept, ""]):
        nexts = {index[w]: n for w, n in after[previous].items() if w in index}
        total = sum(nexts.values())
        often = {w: n for w, n in sorted(nexts.items()) if n >= least}
        left = 1.0 - sum(n - DISCOUNT for n in often.values()) / total if total else 1.0
        backoff[v] = math.log(left)
        columns += list(often)
        bigram += [math.log((n - DISCOUNT) / total + left * unigram[w]) for w, n in often.items()]
        rows.append(len(columns))
    return {
        "phones": np.array([phone.encode() for phone in PHONES]),
        "sounds": np.array([sounds[word] for word in kept]),
        "words": np.array([word.encode() for word in kept]),
        "unigram": np.log(unigram).astype(np.float16),
        "backoff": backoff.astype(np.float16),
        "rows": np.array(rows, dtype=np.uint32),
        "columns": np.array(columns, dtype=np.uint16),
        "bigram": np.array(bigram, dtype=np.float16),
    }


def perplexity(
    model: LanguageModel, words: list[str], corpus: list[Sentence]
) -> tuple[float, float]:
    """Per known word, and the share of unknown words in per cent."""
    index = {word: i for i, word in enumerate(words)}
    total, known, missing = 0.0, 0, 0
    for sentence in corpus:
        previous = START
        for word in sentence:
            at = index.get(word, START)
            if at == START:
                missing += 1
            else:
                total += model.score(previous, at)
                known += 1
            previous = at
    return math.exp(-total / max(known, 1)), 100.0 * missing / max(known + missing, 1)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and dev/")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--text", type=Path, nargs="+", default=[], help="plain text or a .rdb")
    parser.add_argument("--size", type=int, default=20_000, help="words of the vocabulary")
    parser.add_argument("--least", type=int, default=2, help="occurrences of a bigram to keep it")
    parser.add_argument("--repeat", type=int, default=5, help="times the transcripts are counted")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    train, dev = load_splits(args.data, args.cache)
    spoken = [u.text.split() for u in train.utterances if u.text] * args.repeat
    held_out = held_out_texts(args.data)
    books = (s for path in args.text for s in sentences(read_books(path)))
    written = (sentence for sentence in books if not held_out.has(" ".join(sentence)))
    words, after = count((*spoken, *written))
    arrays = estimate(vocabulary(words, args.size), after, args.least)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(args.out, allow_pickle=False, **arrays)
    model = load_language_model(args.out)
    print(
        f"{args.out}: {args.out.stat().st_size / 2**20:.2f} MiB, {model.size} words, "
        f"{len(arrays['bigram'])} bigrams"
    )
    known = [word.decode() for word in arrays["words"]]
    for source in sorted({u.source for u in dev.utterances if u.text}):
        texts = [u.text.split() for u in dev.utterances if u.source == source and u.text]
        found, missing = perplexity(model, known, texts)
        print(f"  {source}: perplexity {found:.0f}, {missing:.1f} % unknown words")


if __name__ == "__main__":
    main()
