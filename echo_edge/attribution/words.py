"""Words to voices: each word belongs to the voice that is active most while it is said.

Knows voices, no labels. Words wait until the activity under them is decided.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np

from echo_edge.bundle.decoding import DecodingSpec
from echo_edge.heads.diarization import Activity
from echo_edge.result import Word

VoicedWord = tuple[Word, int | None]
"""A word and its voice; None where nobody is active."""


@dataclass(frozen=True)
class WordRules:
    """When a word belongs to a voice."""

    onset: float
    """Least sum of a voice's scores during a word."""
    reach_steps: int
    """A word so far outside a turn still belongs to it."""
    memory_steps: int
    """Decided steps that are remembered, longer than any word waits."""
    step_s: float
    """Length of a step, seconds."""

    @classmethod
    def from_manifest(cls, decoding: DecodingSpec, step_s: float) -> "WordRules":
        """The rules of a bundle, whose steps are `step_s` long."""
        reach, memory = decoding.word_reach_s / step_s, decoding.word_memory_s / step_s
        return cls(decoding.active_threshold, round(reach), max(round(memory), 1), step_s)

    def count_decided(self, words: Sequence[Word], n_steps: int) -> int:
        """Number of words, from the first on, whose voice is final once `n_steps` are decided."""
        decided_s = (n_steps - self.reach_steps) * self.step_s
        return sum(1 for _ in takewhile(lambda word: word.end_s <= decided_s, words))


class WordVoices:
    """Queue of words; each leaves it with its voice once the activity under it is decided."""

    def __init__(self, rules: WordRules) -> None:
        self._rules = rules
        self._waiting: list[Word] = []
        self._scores = np.zeros((0, 0), np.float32)
        self._n_steps = 0

    def add(self, words: Sequence[Word]) -> None:
        """Words that need a voice, by start."""
        self._waiting += words

    @property
    def next_s(self) -> float:
        """Start of the first word that waits; infinity if none does."""
        return self._waiting[0].start_s if self._waiting else math.inf

    def decide(self, activity: Activity) -> None:
        """Remember decided steps, which follow those before."""
        earlier = [self._scores] if self._scores.size else []
        self._scores = np.concatenate([*earlier, activity.scores])[-self._rules.memory_steps :]
        self._n_steps = activity.first_step + len(activity.scores)

    def take(self, everything: bool = False) -> list[VoicedWord]:
        """Words whose steps, and some after, are decided (or all of them), each with its voice."""
        n_ready = self._rules.count_decided(self._waiting, self._n_steps)
        n_ready = len(self._waiting) if everything else n_ready
        ready, self._waiting = self._waiting[:n_ready], self._waiting[n_ready:]
        return [(word, self._voice(word)) for word in ready]

    def peek(self, words: Sequence[Word], undecided: Activity) -> list[VoicedWord]:
        """Waiting words and `words` with the voices they would get; the queue does not change."""
        ahead = copy.copy(self)
        ahead.decide(undecided)
        return [(word, ahead._voice(word)) for word in [*self._waiting, *words]]

    def _voice(self, word: Word) -> int | None:
        origin = self._n_steps - len(self._scores)
        onset, step_s = self._rules.onset, self._rules.step_s
        first, last = round(word.start_s / step_s), round(word.end_s / step_s)
        for reach in (0, self._rules.reach_steps):
            low, high = max(first - reach - origin, 0), max(last + reach - origin, 0)
            total = self._scores[low:high].sum(0) if self._scores.size else np.zeros(0)
            if total.size and total.max() >= onset:
                return int(total.argmax())
        return None
