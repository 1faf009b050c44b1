"""A small n-gram language model: which word follows which, in four arrays of one file.

Bigrams with back-off over a sorted vocabulary. `training/language.py` writes the file from plain
text; the beam search of `heads/beam.py` reads it.
"""

import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echo_edge.errors import BundleError
from echo_edge.npy import read_npy

START = -1
"""The word before the first one."""

UNKNOWN_WORD, UNKNOWN_LETTER = -4.0, -2.6
"""Log-probability (nats) of meeting a word that is not in the vocabulary, and of each of its
letters: about one word in fifty, and the entropy of English letters (Shannon 1951)."""

_REMEMBERED = 4096

_UNREADABLE = (
    OSError, LookupError, ValueError, EOFError, RuntimeError, MemoryError, zlib.error,
    zipfile.BadZipFile,
)  # fmt: skip
"""What a damaged archive raises."""

_ARRAYS = {"words": "S", "unigram": "f", "backoff": "f", "rows": "u", "columns": "u", "bigram": "f"}


class LanguageModel:
    """`words` sorted, as bytes; log-probabilities in nats.

    `unigram [V]`, `backoff [V + 1]`, and the bigrams of word v in `columns` and `bigram` from
    `rows[v]` to `rows[v + 1]`, columns ascending; row V is that of the sentence's start.
    """

    def __init__(
        self,
        words: NDArray[np.bytes_],
        unigram: NDArray[np.floating],
        backoff: NDArray[np.floating],
        rows: NDArray[np.unsignedinteger],
        columns: NDArray[np.unsignedinteger],
        bigram: NDArray[np.floating],
    ) -> None:
        self.size = len(words)
        self._letters = words.view(np.uint8).reshape(self.size, -1)
        self._unigram, self._backoff = unigram.astype(np.float32), backoff.astype(np.float32)
        self._rows, self._columns, self._bigram = rows, columns, bigram
        # A search asks again and again for the beginnings of a few hundred words.
        self.narrow = lru_cache(_REMEMBERED)(self._narrow)
        self.likeliest = lru_cache(_REMEMBERED)(self._likeliest)

    def _narrow(self, low: int, high: int, depth: int, letter: int) -> tuple[int, int]:
        """Of the words `low` to `high`, alike in their first `depth` letters, those that go on with
        `letter` (an ASCII code; 0: those that end there)."""
        if depth >= self._letters.shape[1]:
            return low, low if letter else high
        column = self._letters[low:high, depth]
        first, last = column.searchsorted(letter), column.searchsorted(letter, "right")
        return low + int(first), low + int(last)

    def _likeliest(self, low: int, high: int) -> float:
        """Log-probability of the most frequent of the words `low` to `high`: what a beginning of a
        word may hope for."""
        return float(self._unigram[low:high].max())

    def score(self, previous: int, word: int) -> float:
        """Log-probability of `word` after `previous` (an index, or START)."""
        row = self.size if previous < 0 else previous
        low, high = int(self._rows[row]), int(self._rows[row + 1])
        at = low + int(self._columns[low:high].searchsorted(word))
        if at < high and self._columns[at] == word:
            return float(self._bigram[at])
        return float(self._backoff[row] + self._unigram[word])


def unknown(n_letters: int) -> float:
    """Log-probability of a word of `n_letters` that is not in the vocabulary."""
    return UNKNOWN_WORD + UNKNOWN_LETTER * n_letters


def load_language_model(path: Path) -> LanguageModel:
    """The language model at `path`. BundleError if the file is missing or not one."""
    try:
        with zipfile.ZipFile(path) as stored:
            arrays = {name: read_npy(stored.read(f"{name}.npy")) for name in _ARRAYS}
    except _UNREADABLE as error:
        reason = str(error).partition("\n")[0]
        raise BundleError(f"{path.name}: not a language model: {reason}", "language") from error
    _check(path.name, arrays)
    return LanguageModel(**arrays)


def _check(name: str, arrays: dict[str, NDArray[Any]]) -> None:
    """BundleError unless every index points into its array and every number is finite."""

    def expect(holds: bool, what: str) -> None:
        if not holds:
            raise BundleError(f"{name}: not a language model: expected {what}", "language")

    for key, kind in _ARRAYS.items():
        array = arrays[key]
        expect(array.ndim == 1 and array.dtype.kind == kind, f"{key} to be one row of kind {kind}")
        if kind == "f":
            expect(bool(np.isfinite(array).all()), f"{key} to be finite")
    size, entries = len(arrays["words"]), len(arrays["bigram"])
    rows, columns = arrays["rows"].astype(np.int64), arrays["columns"]
    expect(0 < size == len(arrays["unigram"]), "one unigram for each of one or more words")
    expect(len(arrays["backoff"]) == size + 1 == len(rows) - 1, "one row per word and the start")
    expect(bool((arrays["words"][1:] > arrays["words"][:-1]).all()), "words in ascending order")
    ascending = rows[0] == 0 and rows[-1] == entries and bool((np.diff(rows) >= 0).all())
    expect(ascending, "rows that ascend from 0 to the number of bigrams")
    expect(len(columns) == entries and bool((columns < size).all()), "columns that are words")
