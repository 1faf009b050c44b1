"""A real-time device: PortAudio captures what PulseAudio plays into a virtual room."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from echo_edge.recorder import log, recordings
from echo_edge.recorder.segments import segments

Samples = NDArray[np.int16]

SECOND = 16_000


@dataclass
class Room:
    """A PulseAudio server with one sink, whose monitor is the microphone."""

    environment: dict[str, str]
    folder: Path

    def open(self) -> None:
        """Start the server."""
        socket = self.environment["PULSE_SERVER"]
        subprocess.run(
            [
                *("pulseaudio", "-n", "--daemonize=yes", "--exit-idle-time=-1"),
                *("--use-pid-file=yes", f"--log-target=file:{self.folder}/pulse.log"),
                *("-L", f"module-native-protocol-unix socket={socket[5:]} auth-anonymous=1"),
                *("-L", "module-null-sink sink_name=room rate=16000 channels=1 format=s16le"),
            ],
            env=self.environment,
            check=True,
            timeout=20,
        )

    def close(self) -> None:
        """Stop the server: to whoever records, the device is gone."""
        subprocess.run(["pactl", "exit"], env=self.environment, check=False, timeout=20)

    def play(self, path: Path) -> None:
        """Play a file, in its own time."""
        command = ["paplay", "--device=room", str(path)]
        subprocess.run(command, env=self.environment, check=True, timeout=60)

    def record(self, *options: str) -> "subprocess.Popen[bytes]":
        """A recorder that has begun."""
        code = "import sys; from echo_edge.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", code, "record", "--out", str(self.folder / "out")]
        recorder = subprocess.Popen(
            [*command, "--device", "pulse", "--audio-only", "--json", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
        )
        assert recorder.stdout is not None
        assert b'"start"' in recorder.stdout.readline(), recorder.communicate()
        return recorder


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    missing = [name for name in ("pulseaudio", "pactl", "paplay") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: apt install pulseaudio pulseaudio-utils")
    pytest.importorskip("sounddevice", reason="needs echo-edge[mic] and libportaudio2",
                        exc_type=(ImportError, OSError))  # fmt: skip
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    environment = os.environ | {
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(run),
        "PULSE_SERVER": f"unix:{run}/pulse.sock",
    }
    room = Room(environment, tmp_path)
    room.open()
    listed = subprocess.run(
        [sys.executable, "-c", "import sounddevice as s; print(s.query_devices())"],
        env=environment, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    if "pulse" not in listed.stdout:
        room.close()
        pytest.skip("PortAudio sees no PulseAudio: apt install libportaudio2 libasound2-plugins")
    yield room
    room.close()


def _conversation(seconds: float) -> Samples:
    path = Path(__file__).parents[3] / "demo/conversation.flac"
    audio: Samples = soundfile.read(path, dtype="int16", frames=round(seconds * SECOND))[0]
    return audio


def _stop(recorder: "subprocess.Popen[bytes]") -> list[dict[str, object]]:
    """End it; the events it told of."""
    recorder.send_signal(signal.SIGTERM)
    out, err = recorder.communicate(timeout=30)
    assert recorder.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()]


def _recorded(folder: Path) -> Samples:
    pieces = [soundfile.read(each.path, dtype="int16")[0] for each in segments(folder)]
    samples: Samples = np.concatenate(pieces)
    return samples


def test_what_is_played_is_recorded(room: Room) -> None:
    """Sample by sample, from the first sound to the last: nothing missing, nothing twice."""
    audio = _conversation(6.0)
    # Silence first: PulseAudio may drop the first 20 ms while it wakes up.
    padded = np.concatenate([np.zeros(SECOND, np.int16), audio, np.zeros(SECOND, np.int16)])
    soundfile.write(room.folder / "a.wav", padded, SECOND)
    began = time.monotonic()
    recorder = room.record()
    time.sleep(1.0)

    room.play(room.folder / "a.wav")
    events = _stop(recorder)
    took_s = time.monotonic() - began

    (folder,) = recordings.find_recordings(room.folder / "out")
    found = _recorded(folder)
    correlation = np.fft.irfft(
        np.fft.rfft(found, 2 * len(found)).conj() * np.fft.rfft(audio, 2 * len(found))
    )
    at = (2 * len(found) - int(correlation.argmax())) % (2 * len(found))
    # A server that plays late on a busy machine repeats nothing but silence.
    assert found[at : at + len(audio)].tolist() == audio.tolist()
    assert len(padded) <= len(found) <= took_s * SECOND
    assert [event["type"] for event in events] == ["stop"]
    assert log.read_lines(folder / log.EVENTS)[0]["source"] == "pulse"


def test_a_device_that_goes_and_comes_back(room: Room) -> None:
    recorder = room.record()
    assert recorder.stdout is not None
    time.sleep(1.5)
    room.close()
    lost = json.loads(recorder.stdout.readline())
    time.sleep(3.0)
    room.open()
    back = json.loads(recorder.stdout.readline())
    time.sleep(1.5)
    _stop(recorder)

    assert (lost["type"], back["type"]) == ("device lost", "device back")
    (folder,) = recordings.find_recordings(room.folder / "out")
    before, *_, after = segments(folder)
    assert before.n_samples >= SECOND
    assert after.n_samples >= SECOND
    assert after.start - before.end >= 3 * SECOND


def test_no_such_device(room: Room) -> None:
    code = "import sys; from echo_edge.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "record", "--out", str(room.folder / "out")]

    done = subprocess.run(
        [*command, "--device", "gramophone"],
        env=room.environment, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip

    assert done.returncode == 1
    assert ":pulse (" in done.stderr
    assert "expected one called 'gramophone'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (room.folder / "out").exists()


def test_devices_are_listed(room: Room) -> None:
    code = "import sys; from echo_edge.cli import main; sys.exit(main())"

    done = subprocess.run(
        [sys.executable, "-c", code, "record", "--list-devices"],
        env=room.environment, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip

    assert done.returncode == 0
    assert "  pulse  (" in done.stdout
