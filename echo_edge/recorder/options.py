"""How to record and to transcribe, as the command line or a program asks for it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from echo_edge.errors import VoicesError
from echo_edge.recorder.child import COMMAND
from echo_edge.recorder.messages import Message, NobodyByName
from echo_edge.session import Session
from echo_edge.speakers.store import read_voices
from echo_edge.stream import MAX_SPEAKERS, Stream
from echo_edge.strict_json import AnyText
from echo_edge.voices import Voices

Report = Callable[[Message], None]


@dataclass(frozen=True)
class Options:
    """Options of the stream that transcribes a recording; in its `session.json`."""

    latency_s: float = 2.0
    min_speakers: int = 1
    max_speakers: int = MAX_SPEAKERS
    language_model: bool = True
    threads: int = 1
    voices: AnyText | None = None
    """The file of known voices; None calls nobody by name."""

    def stream(self, session: Session, report: Report = lambda _: None) -> Stream:
        """A stream of these options; UsageError if they make no sense. Known voices that cannot be
        used are reported, and nobody is called by name: the results matter more."""
        values = asdict(self)
        del values["threads"]
        return session.stream(**values | {"voices": self._read_voices(session, report)})

    def _read_voices(self, session: Session, report: Report) -> Voices | None:
        if self.voices is None:
            return None
        try:
            voices = read_voices(self.voices)
            sha256 = session.bundle.manifest.source.checkpoint_sha256
            voices.check_checkpoint(sha256, self.voices)
        except VoicesError as error:
            report(NobodyByName(str(error)))
            return None
        return voices


@dataclass(frozen=True)
class Limits:
    """Limits of storage: when old recordings go, and when recording must stop."""

    keep_days: float | None = None
    """Recordings that ended longer ago go, results included; days that passed, not the clock's."""
    keep_bytes: int | None = None
    """Beyond this much audio in the folder the oldest goes, results stay."""
    min_free_bytes: int = 256 * 2**20
    """With less room than this results wait; with less than half of it recording stops."""
    rotate: bool = False
    """Rather than stop, delete the oldest audio."""


@dataclass(frozen=True)
class Settings:
    """How to record."""

    out: Path
    options: Options
    limits: Limits
    bundle: str | None = None
    transcribe: bool = True
    segment_s: float = 600.0
    finish_s: float = 60.0
    """How long the transcriber may take at the end for what it has not done yet."""
    command: tuple[str, ...] = COMMAND
    """That starts the transcriber."""
