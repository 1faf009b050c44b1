"""A small n-gram language model: how words sound and which follows which, in one file.

Bigrams with back-off over a vocabulary sorted by sound. `training/language.py` writes the file from
plain text; the beam search of `heads/beam.py` reads it.
"""

import zipfile
import zlib
from bisect import bisect_left, bisect_right
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.npy import read_npy
from echo_edge.errors import BundleError

START = -1
"""The word before the first one."""

BLANK, SPACE = 0, 1
"""Of the phones: nothing new, and the end of a word."""

_REMEMBERED = 1024

_UNREADABLE = (
    OSError, LookupError, ValueError, EOFError, RuntimeError, MemoryError, zlib.error,
    zipfile.BadZipFile,
)  # fmt: skip
"""Errors that a damaged archive raises."""

_ARRAYS = {
    "phones": "S", "sounds": "S", "words": "S", "unigram": "f", "backoff": "f",
    "rows": "u", "columns": "u", "bigram": "f",
}  # fmt: skip


class LanguageModel:
    """V words, sorted by sound, then by spelling; log-probabilities in nats.

    `phones` names the outputs of the asr graph. `sounds [V]` has one byte per phone of a word: its
    index. `words [V]` are spellings. `unigram [V]`, `backoff [V + 1]`, and the bigrams of word v in
    `columns` and `bigram` from `rows[v]` to `rows[v + 1]`, columns ascending; row V is that of the
    sentence's start.
    """

    def __init__(
        self,
        phones: NDArray[np.bytes_],
        sounds: NDArray[np.bytes_],
        words: NDArray[np.bytes_],
        unigram: NDArray[np.floating],
        backoff: NDArray[np.floating],
        rows: NDArray[np.unsignedinteger],
        columns: NDArray[np.unsignedinteger],
        bigram: NDArray[np.floating],
    ) -> None:
        self.size = len(words)
        self.n_phones = len(phones)
        self._words = words
        # One row per place in a word: bisecting bytes is many times as fast as searching a column.
        self._sounds = [row.tobytes() for row in sounds.view(np.uint8).reshape(self.size, -1).T]
        self._unigram, self._backoff = unigram.astype(np.float32), backoff.astype(np.float32)
        self._rows, self._columns, self._bigram = rows, columns, bigram
        # A search asks again and again for the beginnings of a few hundred words.
        self.narrow = lru_cache(_REMEMBERED)(self._narrow)
        self.begin = lru_cache(_REMEMBERED)(self._begin)
        self.score = lru_cache(_REMEMBERED)(self._score)

    def spelling(self, word: int) -> str:
        """How a word is written."""
        return str(self._words[word].decode())

    def _narrow(self, low: int, high: int, depth: int, phone: int) -> tuple[int, int]:
        """Of the words `low` to `high`, alike in their first `depth` phones, those that go on with
        `phone` (`BLANK`: those that end there)."""
        if depth >= len(self._sounds):
            return low, low if phone else high
        column = self._sounds[depth]
        first = bisect_left(column, phone, low, high)
        return first, bisect_right(column, phone, first, high)

    def _begin(self, low: int, high: int, depth: int, phone: int) -> tuple[int, int, float]:
        """As `narrow`, and what such a beginning of a word may hope for: log-probability of the
        most frequent of these words."""
        low, high = self._narrow(low, high, depth, phone)
        return low, high, float(self._unigram[low:high].max()) if low < high else -np.inf

    def _score(self, previous: int, word: int) -> float:
        """Log-probability of `word` after `previous` (an index, or START)."""
        row = self.size if previous < 0 else previous
        low, high = int(self._rows[row]), int(self._rows[row + 1])
        at = low + int(self._columns[low:high].searchsorted(word))
        if at < high and self._columns[at] == word:
            return float(self._bigram[at])
        return float(self._backoff[row] + self._unigram[word])


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
    expect(_sorted(arrays["sounds"], arrays["words"]), "words in ascending order of sound")
    expect(_are_words(arrays["words"]), "words in UTF-8")
    phones = arrays["phones"].tolist()
    expect(phones[:2] == [b"<blank>", b"<space>"], "<blank> and <space> before the phones")
    sounds = set(b"".join(arrays["sounds"].tolist()))
    expect(b"" not in arrays["sounds"] and sounds <= set(range(2, len(phones))), "known phones")
    ascending = rows[0] == 0 and rows[-1] == entries and bool((np.diff(rows) >= 0).all())
    expect(ascending, "rows that ascend from 0 to the number of bigrams")
    expect(len(columns) == entries and bool((columns < size).all()), "columns that are words")


def _sorted(sounds: NDArray[np.bytes_], words: NDArray[np.bytes_]) -> bool:
    """Whether (sound, word) ascends, each pair once."""
    if len(sounds) != len(words):
        return False
    later, same = sounds[1:] > sounds[:-1], sounds[1:] == sounds[:-1]
    return bool((later | (same & (words[1:] > words[:-1]))).all())


def _are_words(words: NDArray[np.bytes_]) -> bool:
    """Whether each is text without blanks."""
    try:
        text = b"\n".join(words.tolist()).decode()
    except UnicodeDecodeError:
        return False
    parts = text.split()
    return len(parts) == len(words) and parts == text.split("\n")
