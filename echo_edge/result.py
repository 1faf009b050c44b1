"""Results: turns, words, sources, speakers. Times are seconds from the start of the stream.

Knows nothing of files or formats: `save` and the like call `writers/` when they are asked for.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from echo_edge.bundle.verify import Bundle


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
class BundleInfo:
    """The bundle that made a result."""

    name: str
    version: str
    engine: str
    recipe: str
    sha256: str

    @classmethod
    def of(cls, bundle: "Bundle") -> Self:
        """A verified bundle, as results and records name it."""
        manifest = bundle.manifest
        engine = manifest.engine.name
        return cls(manifest.name, manifest.version, engine, manifest.recipe, bundle.sha256)


@dataclass(frozen=True)
class Origin:
    """What a result is about and what made it."""

    path: str = ""
    """The recording, empty where the audio came from no file."""
    bundle: BundleInfo | None = None
    """None for a result that no session made."""
    wall_s: float = 0.0
    """Time that making the result took so far."""


@dataclass(frozen=True, repr=False)
class Result:
    """Final turns and words: since the last `push`, or of a whole recording from `process`.

    Shown as a timeline in notebooks.
    """

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
    origin: Origin = field(default_factory=Origin, compare=False)
    """The recording and the bundle; results that are equal may differ in it."""

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

    def save(self, path: str | PathLike[str]) -> None:
        """Write the result to `path`: .txt, .json, .rttm, .ctm, .srt or .vtt, as its suffix says.

        The file holds the old content or the new, never a part. UsageError for another suffix,
        OutputError if it cannot be written.
        """
        from echo_edge.writers.saving import save

        save(self, path)

    def to_txt(self) -> str:
        """Text for people: a line per turn, with its times and its speaker."""
        from echo_edge.writers import formats

        return formats.to_txt(self)

    def to_json(self) -> str:
        """JSON, schema `echo-edge.result/1`. UsageError for a result that no session made."""
        from echo_edge.writers import saving

        return saving.to_json(self)

    def to_rttm(self, uri: str | None = None) -> str:
        """NIST RTTM, a line per turn; `uri` names the recording (default: its file's name)."""
        from echo_edge.writers import formats, saving

        return formats.to_rttm(self, saving.uri(self) if uri is None else uri)

    def to_ctm(self, uri: str | None = None) -> str:
        """NIST CTM, a line per word; `uri` names the recording (default: its file's name)."""
        from echo_edge.writers import formats, saving

        return formats.to_ctm(self, saving.uri(self) if uri is None else uri)

    def to_srt(self) -> str:
        """SubRip subtitles."""
        from echo_edge.writers import formats

        return formats.to_srt(self)

    def to_vtt(self) -> str:
        """WebVTT subtitles."""
        from echo_edge.writers import formats

        return formats.to_vtt(self)

    def __repr__(self) -> str:
        counts = (
            (len(self.speakers), "speaker"),
            (len(self.turns), "turn"),
            (len(self.words), "word"),
        )
        said = ", ".join(f"{n} {what}" if n == 1 else f"{n} {what}s" for n, what in counts)
        return f"<Result of {self.duration_s:.1f} s: {said}>"

    def _repr_html_(self) -> str:
        """A timeline of the turns for notebooks: one SVG, which asks for nothing outside."""
        from echo_edge.writers.timeline import to_html

        return to_html(self)


def to_the_sample(result: Result) -> Result:
    """`result` with all times as exact as a sample, 1/16000 s, and no more: 17.6 s rather than
    17.599999999999987."""
    tentative, horizon = result.tentative, result.horizon
    return replace(
        result,
        turns=tuple(map(_rounded, result.turns)),
        words=tuple(map(_rounded, result.words)),
        duration_s=_seconds(result.duration_s),
        speakers=tuple(replace(x, speech_s=_seconds(x.speech_s)) for x in result.speakers),
        exclusive_turns=tuple(map(_rounded, result.exclusive_turns)),
        tentative=Tentative(
            tuple(map(_rounded, tentative.turns)), tuple(map(_rounded, tentative.words))
        ),
        horizon=Horizon(*(_seconds(x) for x in vars(horizon).values())),
    )


Spoken = TypeVar("Spoken", Turn, Word)


def _rounded(item: Spoken) -> Spoken:
    confidence = float(item.confidence)  # engines leave NumPy numbers
    start_s, end_s = _seconds(item.start_s), _seconds(item.end_s)
    return replace(item, start_s=start_s, end_s=end_s, confidence=confidence)


def _seconds(value: float) -> float:
    return round(float(value), 7)
