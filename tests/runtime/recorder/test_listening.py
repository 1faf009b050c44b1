"""`Session.listen`: a pretend PortAudio delivers, the pretend model of conftest.py hears."""

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from echo_edge.errors import AudioError, UsageError
from echo_edge.recorder import listening, microphone
from echo_edge.result import Result
from echo_edge.session import Session

Array = NDArray[np.float32]
Speak = Callable[[list[tuple[float, tuple[int, ...], int]]], Array]

RATE = 16000
BLOCK = 800
TALK: list[tuple[float, tuple[int, ...], int]] = [
    (1.0, (0,), 2), (0.2, (0,), 1), (0.8, (0,), 3), (1.2, (), 0), (1.0, (1,), 3), (3.0, (), 0),
]  # fmt: skip


class PortAudio:
    """As much of sounddevice as a microphone needs; it delivers `pcm` and then nothing."""

    PortAudioError = OSError
    default = SimpleNamespace(device=(0, 0))

    def __init__(self, pcm: Array) -> None:
        self.pcm = pcm
        self.closed = threading.Event()

    def query_devices(self) -> list[dict[str, object]]:
        return [{"name": "usb", "index": 0, "max_input_channels": 1, "default_samplerate": 16000.0}]

    def InputStream(self, callback: Callable[..., None], **_: Any) -> "PortAudio":  # noqa: N802
        status = SimpleNamespace(input_overflow=False)
        for start in range(0, len(self.pcm), BLOCK):
            piece = self.pcm[start : start + BLOCK, None]
            callback(piece, len(piece), None, status)
        return self

    active = True

    def __enter__(self) -> "PortAudio":
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()


@pytest.fixture
def port_audio(monkeypatch: pytest.MonkeyPatch, spoken: Speak) -> PortAudio:
    found = PortAudio(np.rint(spoken(TALK) * 2**15).clip(-(2**15), 2**15 - 1) / np.float32(2**15))
    monkeypatch.setattr(microphone, "load_sounddevice", lambda _: found)
    return found


def test_ends_after_the_seconds_asked_for(fake_session: Session, port_audio: PortAudio) -> None:
    parts = list(fake_session.listen(latency_s=0.4, seconds=6.5))

    assert Result.joined(parts) == fake_session.process(port_audio.pcm[: 65 * RATE // 10], 0.4)
    assert fake_session.bundle.manifest.audio.chunk_samples == 1280
    assert len(parts) - 1 == 65  # of 1600 samples each: two that PortAudio delivers
    assert port_audio.closed.wait(5.0)


def test_a_loop_that_is_left_closes_the_microphone(
    fake_session: Session, port_audio: PortAudio
) -> None:
    results = fake_session.listen()

    assert next(results).duration_s > 0
    results.close()

    assert port_audio.closed.is_set()


def test_ctrl_c_comes_after_the_rest(
    fake_session: Session, port_audio: PortAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(queue: object, timeout_s: float) -> object:
        block = get(queue, timeout_s)
        if block is None:
            raise KeyboardInterrupt
        return block

    get = listening.BlockQueue.get
    monkeypatch.setattr(listening.BlockQueue, "get", wait)
    parts = []

    with pytest.raises(KeyboardInterrupt):
        parts.extend(fake_session.listen(latency_s=0.4))

    assert Result.joined(parts) == fake_session.process(port_audio.pcm, 0.4)


def test_a_microphone_that_falls_silent(
    fake_session: Session, port_audio: PortAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "MUTE_S", 0.0)
    parts = []

    with pytest.raises(AudioError, match=r"^microphone: usb: no audio comes"):
        parts.extend(fake_session.listen("usb", latency_s=0.4))

    assert Result.joined(parts) == fake_session.process(port_audio.pcm, 0.4)


def test_what_was_lost_is_silence(
    fake_session: Session, port_audio: PortAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(microphone.LossMeter, "add", lambda *_: 0.05)  # as much as was delivered

    (result,) = list(fake_session.listen(seconds=0.4))[-1:]

    assert result.duration_s == 0.4
    lost = listening.Listening(None, "auto", 0.1, 0.2)
    with lost:
        pieces = np.concatenate(list(lost.blocks()))
    first = np.rint(port_audio.pcm[:BLOCK] * 2**15).astype(np.int16)
    silence = np.zeros(BLOCK, np.int16)
    assert pieces[: 2 * BLOCK].tolist() == [*silence, *first]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"device": "camera"}, AudioError, "expected one called 'camera'"),
        ({"channel": "7"}, UsageError, "7"),
        ({"seconds": 0.0}, UsageError, "seconds: found 0.0"),
        ({"latency_s": -1.0}, UsageError, "latency_s: found -1.0"),
    ],
)
@pytest.mark.usefixtures("port_audio")
def test_what_is_refused(
    fake_session: Session, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        next(fake_session.listen(**arguments))
