"""CTC to words: best path, with times and confidences, word by word as they become complete."""

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from echo_edge.graph import GraphStream
from echo_edge.results import Word

Array = NDArray[np.float32]

SILENCE_S = 0.8
"""A word followed by this much silence is complete even without a space."""


@dataclass
class _Spelling:
    """The word being spelled: its characters, first and last frame, log-posteriors."""

    characters: list[str] = field(default_factory=list)
    first: int = 0
    last: int = 0
    logprobs: list[float] = field(default_factory=list)


class AsrDecoder:
    """Greedy CTC (Graves et al., ICML 2006): the best character per frame, repeats and blanks
    dropped. A word is final once a space, silence or the end follows it."""

    def __init__(self, graph: GraphStream, tokens: tuple[str, ...], frame_s: float) -> None:
        self._graph = graph
        self._tokens = tokens
        self._frame_s = frame_s
        self._silence = round(SILENCE_S / frame_s)
        self._frame = 0
        self._previous = 0
        self._word = _Spelling()

    def push(self, latents: Array, end_s: float = math.inf) -> list[Word]:
        """Words completed by these latents `[1, C, d]`; speakers are not known here.

        `end_s` is the end of the audio so far, before that of latents that were padded.
        """
        logprobs = self._graph.run(latents=latents)["logprobs"][0]
        words: list[Word] = []
        best = logprobs.argmax(axis=1)
        for index, logprob in zip(best.tolist(), logprobs.max(axis=1).tolist(), strict=True):
            self._step(index, logprob, words)
        return _until(end_s, words)

    def finish(self, end_s: float) -> list[Word]:
        """The last word, if one was being spelled; nothing ends after `end_s`."""
        words: list[Word] = []
        self._complete(words)
        return _until(end_s, words)

    def _step(self, index: int, logprob: float, words: list[Word]) -> None:
        word = self._word
        if index and self._tokens[index] == " ":
            self._complete(words)
        elif index and index == self._previous:
            word.last = self._frame
        elif index:
            if not word.characters:
                word.first = self._frame
            word.characters.append(self._tokens[index])
            word.logprobs.append(logprob)
            word.last = self._frame
        elif word.characters and self._frame - word.last >= self._silence:
            self._complete(words)
        self._previous = index
        self._frame += 1

    def _complete(self, words: list[Word]) -> None:
        word, self._word = self._word, _Spelling()
        if word.characters:
            confidence = float(np.exp(np.mean(word.logprobs)))
            start_s, end_s = word.first * self._frame_s, (word.last + 1) * self._frame_s
            words.append(Word(start_s, end_s, "".join(word.characters), None, confidence))


def _until(end_s: float, words: list[Word]) -> list[Word]:
    """No word is said after the audio, though a transcriber that lags may write it then."""
    return [replace(w, start_s=min(w.start_s, end_s), end_s=min(w.end_s, end_s)) for w in words]
