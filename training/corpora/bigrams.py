"""Bigrams counted in plain text: absolute discounting with Kneser-Ney continuation counts
(Kneser & Ney, ICASSP 1995). `training.language` writes the bundle's language model with it.
"""

import math
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.language_model import START, LanguageModel
from echo_edge_export.model.config import PHONES
from training.corpora.alignment import Lexicon, pronounce
from training.corpora.data import normalize_text

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
    """Counts of words and of pairs of words; the empty word begins a sentence."""
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
    lexicon: Lexicon, after: dict[str, Counter[str]], min_count: int
) -> dict[str, NDArray[Any]]:
    """The arrays of `LanguageModel` over the words of `lexicon`, with the bigrams that occur at
    least `min_count` times."""
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
        often = {w: n for w, n in sorted(nexts.items()) if n >= min_count}
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
