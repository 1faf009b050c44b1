"""Voices to speaker labels: `speaker_1`, `speaker_2`, ... in order of appearance, never changed.

Labels are given at once, or (deferred) at the end, to turns that come when it is known which voices
are one person.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace

from echo_edge.attribution.turns import VoiceTurn
from echo_edge.result import Result, Speaker, SpeakerCount, Tentative, Turn, Word

COUNT_LIVE = 0.66
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
        self._confidence = COUNT_LIVE

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

    def conclude(self, confidence: float) -> None:
        """How sure the number of speakers is, where labels are given at the end."""
        self._confidence = confidence

    def know(self, people: Mapping[int, str]) -> None:
        """Who is known: voice -> name."""
        self._people = people

    def voice_of(self, label: str) -> int | None:
        """The voice of a label; None if not given."""
        return next((voice for voice, name in self._names.items() if name == label), None)

    def take(self, duration_s: float, everything: bool) -> Result:
        """What can be labelled now; all of it if `everything`."""
        if self.deferred and not everything:
            return Result(duration_s=duration_s)
        # A turn ends with the audio, though its last step may reach beyond.
        if self.deferred:
            self._turns.sort(key=lambda turn: (turn.start, turn.end))
        turns = self._labelled(self._turns, duration_s)
        exclusive = self._labelled(self._ready_exclusive(), duration_s)
        words = tuple(replace(word, speaker=self._word_name(voice)) for word, voice in self._words)
        self._turns, self._words = [], []
        for turn in turns:
            spoken = self._speech_s.get(turn.speaker, 0.0) + turn.end_s - turn.start_s
            self._speech_s[turn.speaker] = spoken
        # A word may be final before the turn it is in: its speaker has no speech yet.
        speakers = tuple(
            Speaker(label, self._people.get(voice), self._speech_s.get(label, 0.0))
            for voice, label in self._names.items()
        )
        count = SpeakerCount(len(speakers), self._confidence)
        return Result(turns, words, duration_s, speakers, count, exclusive_turns=exclusive)

    def next_exclusive(self, start: int) -> int:
        """The first step of the turns without overlap that are to come; of those that are not here
        yet it is `start`."""
        return min((turn.start for turn in self._exclusive), default=start)

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
        known = [turn.voice in self._names for turn in self._exclusive]
        n_ready = [*known, False].index(False)
        ready, self._exclusive = self._exclusive[:n_ready], self._exclusive[n_ready:]
        return ready

    def _labelled(self, voiced: list[VoiceTurn], duration_s: float) -> tuple[Turn, ...]:
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
        return self._names.get(voice) if self.deferred else self._name(voice)

    def _name_now(self, voices: list[int]) -> None:
        """Number voices as they come: how often results are taken must not matter."""
        if not self.deferred:
            for voice in voices:
                self._name(voice)

    def _name(self, voice: int) -> str:
        return self._names.setdefault(voice, f"speaker_{len(self._names) + 1}")
