"""What is asked of the stream that transcribes a session, whoever starts it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from echo_edge.errors import OutputError, VoicesError
from echo_edge.recorder import messages as lines
from echo_edge.recorder.recordings import read_about
from echo_edge.session import Session
from echo_edge.speakers.store import read_voices
from echo_edge.stream import MAX_SPEAKERS, Stream
from echo_edge.voices import Voices

Report = Callable[[lines.Line], None]


@dataclass(frozen=True)
class Options:
    """What a session's stream is asked for; kept in `session.json`."""

    latency_s: float = 2.0
    min_speakers: int = 1
    max_speakers: int = MAX_SPEAKERS
    language_model: bool = True
    threads: int = 1
    voices: str | None = None
    """The file of known voices; None calls nobody by name."""

    @classmethod
    def read(cls, folder: Path) -> "Options":
        """Those of the session in `folder`; OutputError if they are not there."""
        try:
            return cls(**read_about(folder)["options"])
        except (KeyError, TypeError) as error:
            raise OutputError(f"{folder}/session.json: options: {error}: restore it") from error

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
            report({"type": "nobody by name", "message": str(error)})
            return None
        return voices
