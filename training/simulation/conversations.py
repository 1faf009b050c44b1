"""Conversations to learn from: windows of real meetings and simulated ones."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from training.corpora.data import Corpus
from training.simulation.augment import converter, microphone
from training.simulation.meetings import Meeting, window
from training.simulation.mixtures import MAX_SPEAKERS, Mixture, conversation, excerpt, meeting
from training.simulation.read_speech import MICROPHONE_SHARE

TIMING_SHARE = 0.5
"""Of simulated conversations, where the timing of real meetings is known."""


class Conversations:
    """Windows of meetings and simulated conversations, most through a random microphone."""

    def __init__(
        self,
        corpus: Corpus,
        rooms: NDArray[np.float32] | None,
        seconds: float,
        meetings: Sequence[Meeting] = (),
        timing: Sequence[Sequence[tuple[float, float, str]]] = (),
    ) -> None:
        self.corpus, self.rooms, self.seconds = corpus, rooms, seconds
        self.voices = corpus.by_speaker()
        self.meetings, self.timing = meetings, timing

    def draw(self, real: bool, rng: np.random.Generator) -> Mixture:
        """One conversation of `seconds`; a window of a meeting if `real`."""
        if real:
            one = self.meetings[int(rng.integers(len(self.meetings)))]
            mixture = window(one, self.seconds, rng)
        elif self.timing and rng.random() < TIMING_SHARE:
            timing = self.timing[int(rng.integers(len(self.timing)))]
            turns = excerpt(timing, self.seconds, 1, rng)
            turns = [turn for turn in turns if turn[0] < MAX_SPEAKERS]
            mixture = meeting(self.corpus, self.voices, self.rooms, turns, self.seconds, rng)
        else:
            n_speakers = int(rng.choice([1, 2, 3], p=[0.25, 0.45, 0.3]))
            mixture = conversation(
                self.corpus, self.voices, self.rooms, self.seconds, n_speakers, rng
            )
        rows = np.concatenate([mixture.pcm[None], mixture.sources])
        if rng.random() < MICROPHONE_SHARE:
            rows = microphone(rows, rng)
        rows = converter(rows, rng)
        return replace(mixture, pcm=rows[0], sources=rows[1:])
