"""What a recorder is asked to do, by the command line or by a program."""

from dataclasses import dataclass
from pathlib import Path

from echo_edge.recorder import recordings as sessions
from echo_edge.recorder.child import COMMAND
from echo_edge.recorder.options import Options


@dataclass(frozen=True)
class Settings:
    """How to record."""

    out: Path
    options: Options
    limits: sessions.Limits
    bundle: str | None = None
    transcribe: bool = True
    segment_s: float = 600.0
    finish_s: float = 60.0
    """How long the transcriber may take at the end for what it has not done yet."""
    command: tuple[str, ...] = COMMAND
    """That starts the transcriber."""
