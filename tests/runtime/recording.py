"""What the recorder's tests share: a noise, what was kept of it, a view that remembers."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from echo_edge.recorder import controls, log
from echo_edge.recorder.capture import FileInput
from echo_edge.recorder.messages import Event, Message
from echo_edge.recorder.options import Limits, Options, Settings
from echo_edge.recorder.recorder import Recorder
from echo_edge.recorder.recordings import SCHEMA, About
from echo_edge.recorder.segments import segments

Command = Callable[..., Any]
Samples = NDArray[np.int16]

SECOND = 16_000


def noise(seconds: float) -> Samples:
    rng = np.random.default_rng(0)
    return rng.integers(-8000, 8000, round(seconds * SECOND)).astype(np.int16)


def audio_of(folder: Path) -> list[int]:
    pieces = [soundfile.read(each.path, dtype="int16")[0] for each in segments(folder)]
    return np.concatenate(pieces).tolist() if pieces else []


def samples_of(wav: Path) -> list[int]:
    samples: list[int] = soundfile.read(wav, dtype="int16")[0].tolist()
    return samples


def events_of(folder: Path) -> list[str]:
    return [line["type"] for line in log.read_lines(folder / log.EVENTS)]


class MemoryView:
    """A view that remembers."""

    def __init__(self) -> None:
        self.lines: list[Message | Event] = []
        self.lags_s: list[float] = []

    def show(self, message: Message | Event) -> None:
        self.lines.append(message)

    def status(self, status: Any) -> None:
        self.lags_s.append(status.lag_s)

    def close(self) -> None:
        """Nothing to close."""


def about(**changes: Any) -> About:
    """The `session.json` of some recording."""
    values = {
        "schema": SCHEMA,
        "started_utc": "2026-01-02T03:04:05+00:00",
        "source": "a.wav",
        "options": Options(),
    }
    return About(**(values | changes))


def settings_for(out: Path, **changes: Any) -> Settings:
    options = {"options": Options(), "limits": Limits(min_free_bytes=0), "transcribe": False}
    return Settings(out, **(options | changes))


def record(recorder: Recorder) -> int:
    with controls.Controls(keys=False) as control:
        return recorder.run(control)


def recorder_of(wav: Path, settings: Settings, view: MemoryView | None = None) -> Recorder:
    """A recorder of an audio file that comes three times as fast as from a microphone."""
    return Recorder(FileInput(str(wav), 3.0), view or MemoryView(), settings)


def in_the_meantime(recorder: Recorder, action: Callable[[], None]) -> int:
    """Record; in the middle of it something happens to the storage."""
    actor = threading.Timer(0.8, action)
    actor.start()
    try:
        return record(recorder)
    finally:
        actor.join()


SIX_SECONDS = noise(6.0)
