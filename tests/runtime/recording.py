"""What the recorder's tests share: a noise, what was kept of it, a view that remembers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from echo_edge.recorder import controls
from echo_edge.recorder import messages as lines
from echo_edge.recorder.options import Options
from echo_edge.recorder.recorder import Recorder
from echo_edge.recorder.recordings import Limits
from echo_edge.recorder.segments import segments
from echo_edge.recorder.settings import Settings

Command = Callable[..., Any]
Samples = NDArray[np.int16]

SECOND = 16_000


def noise(seconds: float) -> Samples:
    rng = np.random.default_rng(0)
    return rng.integers(-8000, 8000, round(seconds * SECOND)).astype(np.int16)


def audio_of(folder: Path) -> list[int]:
    pieces = [soundfile.read(each.path, dtype="int16")[0] for each in segments(folder)]
    return np.concatenate(pieces).tolist() if pieces else []


def events_of(folder: Path) -> list[str]:
    return [line["type"] for line in lines.read_lines(folder / lines.EVENTS)]


class Heard:
    """A view that remembers."""

    def __init__(self) -> None:
        self.lines: list[lines.Line] = []
        self.lags_s: list[float] = []

    def show(self, line: lines.Line) -> None:
        self.lines.append(line)

    def status(self, status: Any) -> None:
        self.lags_s.append(status.lag_s)

    def close(self) -> None:
        """Nothing to close."""


def settings_for(out: Path, **changes: Any) -> Settings:
    options = {"options": Options(), "limits": Limits(least_free_bytes=0), "transcribe": False}
    return Settings(out, **(options | changes))


def record(recorder: Recorder) -> int:
    with controls.Controls(keys=False) as control:
        return recorder.run(control)
