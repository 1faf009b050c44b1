"""Results: turns, words, sources, speakers. Times are seconds from the start of the stream.

Knows nothing of files or formats (`writers/` has them) nor of how a result was made.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self


@dataclass(frozen=True)
class Turn:
    """One speaker's uninterrupted speech. Turns of different speakers may overlap."""

    start_s: float
    end_s: float
    speaker: str
    """Label, stable within the stream: `speaker_1`, `speaker_2`, ... in order of appearance."""
    confidence: float
    """Mean posterior of the speaker being active, 0 to 1."""


@dataclass(frozen=True)
class Word:
    """One transcribed word; `speaker` is None where no turn covers it."""

    start_s: float
    end_s: float
    text: str
    speaker: str | None
    confidence: float
    """Geometric mean of the posteriors of its characters, 0 to 1."""


@dataclass(frozen=True)
class Speaker:
    """One voice of the recording and how long it spoke."""

    id: str
    """The label that turns and words bear."""
    name: str | None
    """Name, if it is one of the known voices; once given it never changes in a stream."""
    speech_s: float


@dataclass(frozen=True)
class SpeakerCount:
    """Number of voices and how sure that is, 0 to 1."""

    value: int
    confidence: float


@dataclass(frozen=True)
class Source:
    """One separated voice written to `path`; `speaker` is None for a voice that no turn matches."""

    path: str
    speaker: str | None
    name: str | None = None
    """The speaker's name, if known."""


@dataclass(frozen=True)
class Tentative:
    """Turns and words that are not decided: any may change, or go, with the next `push`.

    Nothing here is repeated in what is final. With a latency of infinity there are words only, for
    nobody has a label before the end.
    """

    turns: tuple[Turn, ...] = ()
    """By start; one that goes on ends where the speaker was last active."""
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class Horizon:
    """Times up to which a stream's result is complete: 0 where nothing is known, infinity once
    the stream is finished."""

    words_s: float = 0.0
    """No word that is still to come starts before this."""
    turns_s: float = 0.0
    """No turn that is still to come starts before this, ..."""
    turn_ends_s: float = 0.0
    """... and none ends before this."""
    exclusive_s: float = 0.0
    """No turn without overlap that is still to come starts, or ends, before this."""


END = Horizon(math.inf, math.inf, math.inf, math.inf)
"""The horizon of a finished stream."""


@dataclass(frozen=True)
class Result:
    """Final turns and words: since the last `push`, or of a whole recording from `process`."""

    turns: tuple[Turn, ...] = ()
    words: tuple[Word, ...] = ()
    duration_s: float = 0.0
    """Length of the audio so far."""
    speakers: tuple[Speaker, ...] = ()
    speaker_count: SpeakerCount = field(default_factory=lambda: SpeakerCount(0, 1.0))
    sources: tuple[Source, ...] = ()
    exclusive_turns: tuple[Turn, ...] = ()
    """Turns without overlap: at every time the voice with the highest score, if any is active."""
    tentative: Tentative = field(default_factory=Tentative)
    """The turns and words that come next, as they look now; empty once the stream is finished."""
    horizon: Horizon = field(default_factory=Horizon)
    """Up to when everything that came before is complete."""

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All that `push` and at last `finish` gave, at least one of them, as one result."""
        return replace(
            parts[-1],
            turns=tuple(turn for part in parts for turn in part.turns),
            words=tuple(word for part in parts for word in part.words),
            exclusive_turns=tuple(turn for part in parts for turn in part.exclusive_turns),
        )

    def exclusive(self) -> "Result":
        """The same with the turns that do not overlap in place of those that do."""
        until_s = self.horizon.exclusive_s
        horizon = replace(self.horizon, turns_s=until_s, turn_ends_s=until_s)
        return replace(self, turns=self.exclusive_turns, horizon=horizon)

    @property
    def names(self) -> dict[str, str]:
        """Speaker label -> what to call the speaker: the name or, unknown, the label."""
        return {speaker.id: speaker.name or speaker.id for speaker in self.speakers}
