"""CTC to words, with times and confidences, word by word as they become final."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class DecodedWord:
    """One word: its text, first frame, frame after the last, confidence 0 to 1."""

    text: str
    first: int
    end: int
    confidence: float


class Search(Protocol):
    """Log-posteriors to words: `BestPath` here, or `BeamSearch` with a language model."""

    @property
    def next_frame(self) -> int:
        """No word that is still to come begins before this frame."""

    def push(self, logprobs: Array) -> Iterator[DecodedWord]:
        """Words that became final with one more frame `[tokens]` or `[phones]`."""

    def peek(self) -> list[DecodedWord]:
        """The words that `finish` would give now; nothing changes."""

    def finish(self) -> Iterator[DecodedWord]:
        """The words that are left."""


@dataclass
class _OpenWord:
    """The word that is not complete: its characters, first and last frame, log-posteriors."""

    characters: list[str] = field(default_factory=list)
    first: int = 0
    last: int = 0
    logprobs: list[float] = field(default_factory=list)


class BestPath:
    """Greedy CTC (Graves et al., ICML 2006): the best character per frame, repeats and blanks
    dropped. A word is final once a space, `silence` frames without a character or the end follows.
    """

    def __init__(self, tokens: tuple[str, ...], silence: int) -> None:
        self._tokens = tokens
        self._silence = silence
        self._frame = 0
        self._previous = 0
        self._word = _OpenWord()

    @property
    def next_frame(self) -> int:
        """The first frame of the open word, if any; else of those to come."""
        return self._word.first if self._word.characters else self._frame

    def push(self, logprobs: Array) -> Iterator[DecodedWord]:
        """The word that is complete after one more frame `[tokens]`, if any."""
        word, index = self._word, int(logprobs.argmax())
        if index and self._tokens[index] == " ":
            yield from self.finish()
        elif index and index == self._previous:
            word.last = self._frame
        elif index:
            if not word.characters:
                word.first = self._frame
            word.characters.append(self._tokens[index])
            word.logprobs.append(float(logprobs[index]))
            word.last = self._frame
        elif word.characters and self._frame - word.last >= self._silence:
            yield from self.finish()
        self._previous = index
        self._frame += 1

    def peek(self) -> list[DecodedWord]:
        """The open word, if any, as it stands."""
        word = self._word
        if not word.characters:
            return []
        confidence = float(np.exp(np.mean(word.logprobs)))
        return [DecodedWord("".join(word.characters), word.first, word.last + 1, confidence)]

    def finish(self) -> Iterator[DecodedWord]:
        """The open word, if any."""
        yield from self.peek()
        self._word = _OpenWord()
