"""Voices to speaker labels: `speaker_1`, `speaker_2`, ... in order of appearance, never changed.

Labels are given at once, or (deferred) at the end, when it is known which voices are one person.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace

from echo_edge.clustering import Grouping
from echo_edge.results import Result, Speaker, SpeakerCount, Tentative, Turn, Word
from echo_edge.turns import VoiceTurn

COUNT_LIVE = 0.5
"""How sure the number of speakers is where labels are given at once: the share of right counts that
`training.tune_count` measured. At the end the margin of the grouping says it; docs/voices.md."""


class Labels:
    """Collects turns and words of voices and gives them out with labels."""

    def __init__(self, step_s: float, deferred: bool) -> None:
        self.deferred = deferred
        self._step_s = step_s
        self._turns: list[VoiceTurn] = []
        self._exclusive: list[VoiceTurn] = []
        self._words: list[tuple[Word, int | None]] = []
        self._names: dict[int, str] = {}
        self._people: Mapping[int, str] = {}
        self._speech_s: dict[str, float] = {}
        self._grouping: Grouping | None = None

    def add_turns(self, turns: list[VoiceTurn]) -> None:
        """Turns that are final but for their label."""
        self._turns += turns
        self._name_now([turn.voice for turn in turns])

    def add_exclusive(self, turns: list[VoiceTurn]) -> None:
        """Turns without overlap; each waits for a turn of its voice, which gives the label."""
        self._exclusive += turns

    def add_words(self, words: list[tuple[Word, int | None]]) -> None:
        """Words that are final but for their label."""
        self._words += words
        self._name_now([voice for _, voice in words if voice is not None])

    def group(self, grouping: Grouping) -> None:
        """Which voices are one speaker; called once, before the last `take`, when deferred."""
        self._grouping = grouping

    def know(self, people: Mapping[int, str]) -> None:
        """Who is known: group of voices (or voice, where labels are given at once) -> name."""
        self._people = people

    def group_of(self, label: str) -> int | None:
        """The group (or voice, where labels are given at once) of a label; None if not given."""
        return next((group for group, name in self._names.items() if name == label), None)

    def take(self, duration_s: float, everything: bool) -> Result:
        """What can be labelled now; all of it if `everything`."""
        if self.deferred and not everything:
            return Result(duration_s=duration_s)
        # A turn ends with the audio, though its last step may reach beyond.
        turns = self._labelled(self._turns, duration_s)
        exclusive = self._labelled(self._ready_exclusive(), duration_s)
        words = tuple(replace(word, speaker=self._word_name(voice)) for word, voice in self._words)
        self._turns, self._words = [], []
        for turn in turns:
            spoken = self._speech_s.get(turn.speaker, 0.0) + turn.end_s - turn.start_s
            self._speech_s[turn.speaker] = spoken
        # A word may be final before the turn it is in: its speaker has no speech yet.
        speakers = tuple(
            Speaker(label, self._people.get(group), self._speech_s.get(label, 0.0))
            for group, label in self._names.items()
        )
        confidence = self._grouping.confidence if self._grouping else COUNT_LIVE
        count = SpeakerCount(len(speakers), confidence)
        return Result(turns, words, duration_s, speakers, count, exclusive_turns=exclusive)

    def tentative(
        self, turns: list[VoiceTurn], words: list[tuple[Word, int | None]], duration_s: float
    ) -> Tentative:
        """Turns and words that are not final, with the labels they would get."""
        if self.deferred:
            return Tentative(words=tuple(word for word, _ in words))
        ahead = copy.copy(self)
        ahead._names = dict(self._names)
        turns = sorted(turns, key=lambda turn: (turn.start, turn.end))
        return Tentative(
            ahead._labelled(turns, duration_s),
            tuple(replace(word, speaker=ahead._word_name(voice)) for word, voice in words),
        )

    def _ready_exclusive(self) -> list[VoiceTurn]:
        """Those before the first whose voice has no label yet, so that their order is one."""
        known = [self._group(turn.voice) in self._names for turn in self._exclusive]
        n_ready = [*known, False].index(False)
        ready, self._exclusive = self._exclusive[:n_ready], self._exclusive[n_ready:]
        return ready

    def _labelled(self, voiced: list[VoiceTurn], duration_s: float) -> tuple[Turn, ...]:
        if self._grouping is not None:
            voiced = _joined(voiced, self._grouping)
        return tuple(
            Turn(
                turn.start * self._step_s,
                min(turn.end * self._step_s, duration_s),
                self._name(turn.voice),
                turn.confidence,
            )
            for turn in voiced
        )

    def _word_name(self, voice: int | None) -> str | None:
        if voice is None:
            return None
        # At the end it is known who has a turn: too short a sound makes nobody a speaker.
        return self._names.get(self._group(voice)) if self.deferred else self._name(voice)

    def _name_now(self, voices: list[int]) -> None:
        """Number voices as they come: how often results are taken must not matter."""
        if not self.deferred:
            for voice in voices:
                self._name(voice)

    def _name(self, voice: int) -> str:
        return self._names.setdefault(self._group(voice), f"speaker_{len(self._names) + 1}")

    def _group(self, voice: int) -> int:
        return voice if self._grouping is None else self._grouping.groups[voice]


def _joined(turns: list[VoiceTurn], grouping: Grouping) -> list[VoiceTurn]:
    """Turns by start; those of one group that touch or overlap become one."""
    joined: list[VoiceTurn] = []
    newest: dict[int, int] = {}
    for turn in sorted(turns, key=lambda t: (t.start, t.end)):
        group = grouping.groups[turn.voice]
        index = newest.get(group)
        if index is not None and turn.start <= joined[index].end:
            last = joined[index]
            joined[index] = replace(last, end=max(last.end, turn.end))
        else:
            newest[group] = len(joined)
            joined.append(turn)
    return joined
