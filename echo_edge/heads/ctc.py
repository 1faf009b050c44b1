"""CTC to words, with times and confidences, word by word as they become final."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from echo_edge.engines.stateful import GraphStream
from echo_edge.result import Word

Array = NDArray[np.float32]

SILENCE_S = 0.8
"""A word followed by this much silence is complete even without a space."""


@dataclass(frozen=True)
class Spelled:
    """One word: its text, first frame, frame after the last, confidence in [0, 1]."""

    text: str
    first: int
    end: int
    confidence: float


class Search(Protocol):
    """From log-posteriors to words: `BestPath` here, or `BeamSearch` with a language model."""

    @property
    def next_frame(self) -> int:
        """No word that is still to come begins before this frame."""

    def push(self, logprobs: Array) -> Iterator[Spelled]:
        """Words that became final with one more frame `[tokens]` or `[phones]`."""

    def peek(self) -> list[Spelled]:
        """The words that `finish` would give now; nothing changes."""

    def finish(self) -> Iterator[Spelled]:
        """The words that are left."""


class AsrDecoder:
    """Runs the asr graph and searches the posteriors `output` for words."""

    def __init__(
        self,
        graph: GraphStream,
        output: str,
        search: Search,
        frame_s: float,
        start_s: float = 0.0,
    ) -> None:
        """The first frame is at `start_s`; words that begin before 0 begin there."""
        self._graph = graph
        self._output = output
        self._search = search
        self._frame_s, self._start_s = frame_s, start_s

    def push(self, latents: Array, end_s: float = math.inf) -> list[Word]:
        """Words completed by these latents `[1, C, d]`; speakers are not known here.

        `end_s` is the end of the audio so far, before that of latents that were padded.
        """
        logprobs = self._graph.run(latents=latents)[self._output][0]
        found = [spelled for frame in logprobs for spelled in self._search.push(frame)]
        return [self._word(spelled, end_s) for spelled in found]

    def next_s(self, end_s: float) -> float:
        """No word that is still to come begins before this; the audio so far ends at `end_s`."""
        return min(max(self._start_s + self._search.next_frame * self._frame_s, 0.0), end_s)

    def peek(self, end_s: float) -> list[Word]:
        """The words that are not final, as they look now."""
        return [self._word(spelled, end_s) for spelled in self._search.peek()]

    def finish(self, end_s: float) -> list[Word]:
        """The words that are left; nothing ends after `end_s`."""
        return [self._word(spelled, end_s) for spelled in self._search.finish()]

    def _word(self, spelled: Spelled, end_s: float) -> Word:
        """No word is said after the audio, though a transcriber that lags may write it then."""
        start_s, stop_s = (
            min(max(self._start_s + frame * self._frame_s, 0.0), end_s)
            for frame in (spelled.first, spelled.end)
        )
        return Word(start_s, stop_s, spelled.text, None, spelled.confidence)


@dataclass
class _Letters:
    """The word being spelled: its characters, first and last frame, log-posteriors."""

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
        self._word = _Letters()

    @property
    def next_frame(self) -> int:
        """The first frame of the word being spelled, if any; else of those to come."""
        return self._word.first if self._word.characters else self._frame

    def push(self, logprobs: Array) -> Iterator[Spelled]:
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

    def peek(self) -> list[Spelled]:
        """The word being spelled, if any, as it stands."""
        word = self._word
        if not word.characters:
            return []
        confidence = float(np.exp(np.mean(word.logprobs)))
        return [Spelled("".join(word.characters), word.first, word.last + 1, confidence)]

    def finish(self) -> Iterator[Spelled]:
        """The word being spelled, if any."""
        yield from self.peek()
        self._word = _Letters()
