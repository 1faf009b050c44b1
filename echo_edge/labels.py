"""Voices to speaker labels: `speaker_1`, `speaker_2`, ... in order of appearance, never changed.

Labels are given at once, or (deferred) at the end, when it is known which voices are one person.
"""

from dataclasses import replace

from echo_edge.clustering import Grouping
from echo_edge.results import Result, Speaker, SpeakerCount, Turn, Word
from echo_edge.turns import VoiceTurn


class Labels:
    """Collects turns and words of voices and gives them out with labels."""

    def __init__(self, step_s: float, deferred: bool) -> None:
        self.deferred = deferred
        self._step_s = step_s
        self._turns: list[VoiceTurn] = []
        self._words: list[tuple[Word, int | None]] = []
        self._names: dict[int, str] = {}
        self._speech_s: dict[str, float] = {}
        self._grouping: Grouping | None = None

    def add_turns(self, turns: list[VoiceTurn]) -> None:
        """Turns that are final but for their label."""
        self._turns += turns
        self._name_now([turn.voice for turn in turns])

    def add_words(self, words: list[tuple[Word, int | None]]) -> None:
        """Words that are final but for their label."""
        self._words += words
        self._name_now([voice for _, voice in words if voice is not None])

    def group(self, grouping: Grouping) -> None:
        """Which voices are one speaker; called once, before the last `take`, when deferred."""
        self._grouping = grouping

    def take(self, duration_s: float, everything: bool) -> Result:
        """What can be labelled now; all of it if `everything`."""
        if self.deferred and not everything:
            return Result(duration_s=duration_s)
        # A turn ends with the audio, though its last step may reach beyond.
        turns = self._labelled_turns(duration_s)
        words = tuple(replace(word, speaker=self._word_name(voice)) for word, voice in self._words)
        self._words = []
        for turn in turns:
            spoken = self._speech_s.get(turn.speaker, 0.0) + turn.end_s - turn.start_s
            self._speech_s[turn.speaker] = spoken
        # A word may be final before the turn it is in: its speaker has no speech yet.
        speakers = tuple(
            Speaker(name, None, self._speech_s.get(name, 0.0)) for name in self._names.values()
        )
        confidence = self._grouping.confidence if self._grouping else 0.5
        count = SpeakerCount(len(speakers), confidence)
        return Result(turns, words, duration_s, speakers, count)

    def _labelled_turns(self, duration_s: float) -> tuple[Turn, ...]:
        voiced = self._turns
        if self._grouping is not None:
            voiced = _joined(voiced, self._grouping)
        self._turns = []
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
