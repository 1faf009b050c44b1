"""What comes out: turns, words, sources, speakers. Times are seconds from the start of the stream.

Knows nothing of files or formats (`formats.py` writes them) nor of how a result was made.
"""

from dataclasses import dataclass, field


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
    name: str | None
    speech_s: float


@dataclass(frozen=True)
class SpeakerCount:
    """How many voices there are and how sure that is (0 to 1)."""

    value: int
    confidence: float


@dataclass(frozen=True)
class Source:
    """One separated voice written to `path`; `speaker` is None for a voice that no turn matches."""

    path: str
    speaker: str | None


@dataclass(frozen=True)
class Result:
    """What became final: since the last `push`, or of a whole recording from `process`."""

    turns: tuple[Turn, ...] = ()
    words: tuple[Word, ...] = ()
    duration_s: float = 0.0
    """Audio heard so far."""
    speakers: tuple[Speaker, ...] = ()
    speaker_count: SpeakerCount = field(default_factory=lambda: SpeakerCount(0, 1.0))
    sources: tuple[Source, ...] = ()
