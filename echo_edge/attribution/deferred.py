"""What is decided but for who is who: kept until the end of a recording, in little memory."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from echo_edge.heads.clustering import Grouping
from echo_edge.heads.diarization import Activity, DiarizationDecoder

Array = NDArray[np.float32]

BLOCK_STEPS = 250
LEAST = 0.05
"""Scores below decide nothing, and are many."""


class HeldActivity:
    """Decided activity of whoever is heard, some 9 bytes per step: 6 MB for eight hours of speech.

    Holds at most 256 voices; scores are kept to 1/255.
    """

    def __init__(self) -> None:
        self._steps, self._voices, self._scores = array("I"), array("B"), array("B")
        self._end = 0

    def add(self, activity: Activity) -> None:
        """Keep steps that follow those kept before."""
        scores = np.rint(255.0 * activity.scores).astype(np.uint8)
        steps, voices = (activity.scores >= LEAST).nonzero()
        self._steps.frombytes((steps + activity.first_step).astype(np.uintc).tobytes())
        self._voices.frombytes(voices.astype(np.uint8).tobytes())
        self._scores.frombytes(scores[steps, voices].tobytes())
        self._end = activity.first_step + len(scores)

    def join(self, groups: Sequence[int]) -> None:
        """Make one voice of each group, numbered as the groups are."""
        voices = np.frombuffer(self._voices, np.uint8)
        voices[:] = np.array([*groups, 0], np.uint8)[voices]

    def blocks(self, n_voices: int) -> Iterator[Activity]:
        """All of it in order, `[steps, n_voices]` at a time."""
        steps = np.frombuffer(self._steps, np.uintc)
        for first in range(0, self._end, BLOCK_STEPS):
            n_steps = min(BLOCK_STEPS, self._end - first)
            low, high = np.searchsorted(steps, (first, first + n_steps)).tolist()
            scores = np.zeros((n_steps, n_voices), np.float32)
            at = (steps[low:high] - first, np.frombuffer(self._voices, np.uint8)[low:high])
            np.add.at(scores, at, np.frombuffer(self._scores, np.uint8)[low:high])
            yield Activity(first, np.minimum(scores / np.float32(255.0), np.float32(1.0)))


@dataclass(frozen=True)
class JoinRules:
    """When voices are one speaker."""

    threshold: float
    """Least mean cosine between what two voices of one speaker said."""
    min_speakers: int
    max_speakers: int


class NumbersVoices(Protocol):
    """Who must know when voices are joined."""

    def join(self, groups: Sequence[int]) -> None:
        """Voices of one group are one voice, numbered as the group is."""


class Held:
    """Nothing is settled before it is known who is one person: the end of a recording.

    Until then a speaker may be many voices. When half of the places are taken, the most alike are
    joined until a quarter are.
    """

    def __init__(
        self, diarization: DiarizationDecoder, others: Sequence[NumbersVoices], rules: JoinRules
    ) -> None:
        self._diarization, self._rules = diarization, rules
        self._activity = HeldActivity()
        self._numbering: list[NumbersVoices] = [diarization, self._activity, *others]

    def add(self, decided: Iterable[Activity]) -> None:
        """Keep what follows, and places for new voices."""
        for activity in decided:
            self._activity.add(activity)
        clusters = self._diarization.clusters
        places = len(clusters.speech_s)
        if clusters.count > places // 2:
            self._join(clusters.group(1.0, 1, places // 4, brief_s=0.0))

    def conclude(self) -> float:
        """Make one voice of each speaker, everywhere; how sure their number is, 0 to 1."""
        rules = self._rules
        grouping = self._diarization.clusters.group(
            rules.threshold, rules.min_speakers, rules.max_speakers
        )
        self._join(grouping)
        return grouping.confidence

    def blocks(self) -> Iterator[Activity]:
        """All activity in order, of the voices as they are now."""
        return self._activity.blocks(self._diarization.clusters.count)

    def _join(self, grouping: Grouping) -> None:
        for voices in self._numbering:
            voices.join(grouping.groups)
