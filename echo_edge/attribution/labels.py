"""Voices to speaker labels: `speaker_1`, `speaker_2`, ... in order of appearance, never changed."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

from echo_edge.attribution.turns import VoiceTurn
from echo_edge.attribution.words import VoicedWord
from echo_edge.result import Result, Speaker, SpeakerCount, Tentative, Turn


class Labels:
    """Collects final turns and words of voices and gives them out with labels."""

    def __init__(self, step_s: float, confidence: float) -> None:
        """A step is `step_s` long; `confidence` is how sure the number of speakers is until
        `set_count_confidence`."""
        self._step_s = step_s
        self._turns: list[VoiceTurn] = []
        self._exclusive: list[VoiceTurn] = []
        self._words: list[VoicedWord] = []
        self._labels: dict[int, str] = {}
        self._names: Mapping[int, str] = {}
        self._speech_s: dict[str, float] = {}
        self._confidence = confidence

    def add_turns(self, turns: Sequence[VoiceTurn]) -> None:
        """Final turns. Labels are given now: how often results are taken must not matter."""
        self._turns += turns
        for turn in turns:
            self._label(turn.voice)

    def add_exclusive(self, turns: Sequence[VoiceTurn]) -> None:
        """Turns without overlap; each waits for a turn of its voice, which gives the label."""
        self._exclusive += turns

    def add_words(self, words: Sequence[VoicedWord]) -> None:
        """Final words. Their voices get labels now, as those of turns."""
        self._words += words
        for _, voice in words:
            if voice is not None:
                self._label(voice)

    def add_recording(
        self,
        turns: Sequence[VoiceTurn],
        exclusive: Sequence[VoiceTurn],
        words: Sequence[VoicedWord],
    ) -> None:
        """A whole recording: labels go by the start of turns, and a voice without a turn is nobody,
        for too short a sound makes no speaker."""
        self.add_turns(sorted(turns, key=_span))
        self.add_exclusive(exclusive)
        self.add_words([(word, voice if voice in self._labels else None) for word, voice in words])

    def set_count_confidence(self, confidence: float) -> None:
        """How sure the number of speakers is, 0 to 1."""
        self._confidence = confidence

    def set_names(self, names: Mapping[int, str]) -> None:
        """Names of the voices that are known people."""
        self._names = names

    def voice_of(self, label: str) -> int | None:
        """The voice of a label; None if not given."""
        return next((voice for voice, own in self._labels.items() if own == label), None)

    def flush(self, duration_s: float) -> Result:
        """Everything that has a label; no turn ends after `duration_s`, the audio so far."""
        turns = self._labelled(self._turns, duration_s)
        exclusive = self._labelled(self._ready_exclusive(), duration_s)
        words = tuple(replace(word, speaker=self._word_label(voice)) for word, voice in self._words)
        self._turns, self._words = [], []
        for turn in turns:
            speech_s = self._speech_s.get(turn.speaker, 0.0) + turn.end_s - turn.start_s
            self._speech_s[turn.speaker] = speech_s
        # A word may be final before the turn it is in: its speaker has no speech yet.
        speakers = tuple(
            Speaker(label, self._names.get(voice), self._speech_s.get(label, 0.0))
            for voice, label in self._labels.items()
        )
        count = SpeakerCount(len(speakers), self._confidence)
        return Result(turns, words, duration_s, speakers, count, exclusive_turns=exclusive)

    def next_exclusive(self, start: int) -> int:
        """First step of the turns without overlap that are still to be given out; `start` is that
        of those which are not here yet."""
        return min((turn.start for turn in self._exclusive), default=start)

    def tentative(
        self, turns: Sequence[VoiceTurn], words: Sequence[VoicedWord], duration_s: float
    ) -> Tentative:
        """Turns and words that are not final, with the labels they would get."""
        ahead = copy.copy(self)
        ahead._labels = dict(self._labels)
        return Tentative(
            ahead._labelled(sorted(turns, key=_span), duration_s),
            tuple(replace(word, speaker=ahead._word_label(voice)) for word, voice in words),
        )

    def _ready_exclusive(self) -> list[VoiceTurn]:
        """The longest run of pending exclusive turns whose voices all have labels: their order does
        not depend on how often results are taken."""
        known = [turn.voice in self._labels for turn in self._exclusive]
        n_ready = [*known, False].index(False)
        ready, self._exclusive = self._exclusive[:n_ready], self._exclusive[n_ready:]
        return ready

    def _labelled(self, turns: Sequence[VoiceTurn], duration_s: float) -> tuple[Turn, ...]:
        # A turn ends with the audio, though its last step may reach beyond.
        return tuple(
            Turn(
                turn.start * self._step_s,
                min(turn.end * self._step_s, duration_s),
                self._label(turn.voice),
                turn.confidence,
            )
            for turn in turns
        )

    def _word_label(self, voice: int | None) -> str | None:
        return None if voice is None else self._label(voice)

    def _label(self, voice: int) -> str:
        return self._labels.setdefault(voice, f"speaker_{len(self._labels) + 1}")


def _span(turn: VoiceTurn) -> tuple[int, int]:
    return turn.start, turn.end
