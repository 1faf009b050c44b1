"""Which microphone is recorded: named, numbered, refused where more than one could be meant."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echo_edge.errors import AudioError
from echo_edge.recorder import devices, microphone
from echo_edge.recorder.capture import BlockQueue
from echo_edge.recorder.devices import choose, find_again, input_devices

NAMES = {
    0: ("HDMI 0: - (hw:0,3)", 0),
    1: ("USB Audio: - (hw:1,0)", 2),
    2: ("USB Camera: Audio (hw:2,0)", 1),
    3: ("pulse", 32),
    4: ("pulse monitor", 2),
    5: ("mic10", 1),
    6: ("usbmic", 1),
}


class PortAudio:
    """As much of sounddevice as choosing a device needs."""

    PortAudioError = OSError

    class default:  # noqa: N801
        device = (3, 0)

    def __init__(self, names: dict[int, tuple[str, int]] | None = None) -> None:
        self.names = NAMES if names is None else names

    def query_devices(self) -> list[dict[str, object]]:
        return [
            {"name": name, "index": index, "max_input_channels": n, "default_samplerate": 48000.0}
            for index, (name, n) in self.names.items()
        ]


def _found(names: dict[int, tuple[str, int]] | None = None) -> list[devices.Device]:
    return input_devices(PortAudio(names))  # type: ignore[arg-type]


CHOSEN = {
    "the default": (None, 3),
    "a whole name": ("pulse", 3),
    "a whole name with another in it": ("pulse monitor", 4),
    "a part of one name": ("camera", 2),
    "an index that is in no other name": ("6", 6),
    "an index and a name": ("1:USB Audio", 1),
    "an index and nothing": ("1:", 1),
    "ALSA hardware": ("hw:1,0", 1),
    "ALSA hardware, first device": ("hw:2", 2),
    "ALSA hardware, converted": ("plughw:1,0", 1),
    "ALSA hardware by the card's id": ("hw:CARD=meeting,DEV=0", 2),
    "ALSA hardware by the id alone": ("plughw:meeting", 2),
    "PortAudio's way to write it": ("(hw:2,0)", 2),
}


@pytest.fixture(autouse=True)
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.joinpath("meeting").symlink_to("card2")
    monkeypatch.setattr(devices, "_CARDS", tmp_path)


@pytest.mark.parametrize("name", CHOSEN)
def test_a_microphone_by_name_index_or_alsa_name(name: str) -> None:
    wanted, index = CHOSEN[name]

    assert choose(_found(), wanted).index == index


REFUSED = {
    "a part of several": ("usb", "found 3 that could be meant, 1:USB Audio: - (hw:1,0) (2 chan"),
    "index and part of names": ("1", "1:USB Audio.* 5:mic10 .*--device '1:USB Audio: -'"),
    "a number that is no index": ("10", "5:mic10 .*, expected one called '10'"),
    "an index without input": ("0:", "expected one called '0:'"),
    "index and another's name": ("1:pulse", "expected one called '1:pulse'"),
    "no such name": ("gramophone", "expected one called 'gramophone'"),
    "no such card": ("hw:7,0", "expected one called 'hw:7,0'"),
    "another device of the card": ("hw:1,1", "expected one called 'hw:1,1'"),
    "an output": ("hw:0,3", "expected one called 'hw:0,3'"),
    "nothing": ("", "found 6 that could be meant"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_be_several_or_none_is_refused(name: str) -> None:
    wanted, message = REFUSED[name]

    with pytest.raises(AudioError, match=message.replace("(", r"\(").replace(")", r"\)")):
        choose(_found(), wanted)


def test_no_default_among_several_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PortAudio.default, "device", (-1, -1))

    with pytest.raises(AudioError, match="found 6 that could be meant"):
        choose(_found(), None)
    assert choose(_found({2: ("only", 1)}), None).name == "only"
    with pytest.raises(AudioError, match="found none at all"):
        choose([], None)


USB, CAMERA, ANALOG = "USB Audio: - (hw:1,0)", "USB Camera: Audio (hw:2,0)", "analog"
AGAIN: dict[str, tuple[str, dict[int, str], int | None]] = {
    "the same": (USB, {0: CAMERA, 4: USB}, 4),
    "as another card": (USB, {0: CAMERA, 1: "USB Audio: - (hw:5,0)"}, 1),
    "not there": (USB, {0: CAMERA, 1: ANALOG}, None),
    "not there, its twin is": (USB, {1: "USB Audio: - (hw:3,0)"}, None),
    "twice, as other cards": (USB, {1: "USB Audio: - (hw:5,0)", 2: "USB Audio: - (hw:6,0)"}, 1),
    "no hardware, not there": (ANALOG, {1: "analog 2"}, None),
    "two of one name": (ANALOG, {1: ANALOG, 2: ANALOG}, 1),
    "two of one name, both moved": (ANALOG, {3: ANALOG, 4: ANALOG}, None),
}


@pytest.mark.parametrize("name", AGAIN)
def test_what_is_plugged_in_again_is_the_same_or_not_taken(name: str) -> None:
    ours, there, index = AGAIN[name]
    device = devices.Device(1, ours, 2, 48000, False)
    found = _found({n: (each, 2) for n, each in there.items()})

    again = find_again(found, device, [CAMERA, "USB Audio: - (hw:3,0)"])

    assert (again and again.index) == index


class _Stream:
    """A stream that delivers one block and then nothing."""

    active = False

    def __init__(self, port_audio: "_Unplugged", device: int, **options: Any) -> None:
        port_audio.opened.append(port_audio.names[device][0])
        options["callback"](np.zeros((800, 1), np.float32), 800, None, port_audio.status)

    def __enter__(self) -> "_Stream":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""


class _Unplugged(PortAudio):
    """The microphone goes after its first block; the camera has its index then."""

    def __init__(self) -> None:
        super().__init__({1: (USB, 1), 2: (CAMERA, 1)})
        self.opened: list[str] = []
        self.n_starts = 0
        self.status = type("Status", (), {"input_overflow": False})()

    def InputStream(self, device: int, **options: Any) -> _Stream:  # noqa: N802
        return _Stream(self, device, **options)

    def _terminate(self) -> None:
        self.n_starts += 1

    def _initialize(self) -> None:
        self.names = {1: (CAMERA, 1)} | ({3: (USB, 1)} if self.n_starts > 3 else {})


def test_no_other_microphone_is_taken_while_ours_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    port_audio, stop = _Unplugged(), threading.Event()
    monkeypatch.setattr(microphone, "load_sounddevice", lambda _: port_audio)
    monkeypatch.setattr(microphone, "RETRY_S", 0.01)
    source = microphone.Microphone("hw:1,0")
    thread = threading.Thread(target=source.run, args=(BlockQueue(), stop))
    thread.start()
    deadline = time.monotonic() + 20
    while len(port_audio.opened) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    thread.join(10.0)

    assert set(port_audio.opened) == {USB}
    assert len(port_audio.opened) >= 3
    assert port_audio.n_starts > 3


@pytest.fixture
def alsa(tmp_path: Path) -> dict[str, str]:
    """An environment in which ALSA has three microphones that are none."""
    pytest.importorskip("sounddevice", reason="needs echo-edge[mic] and libportaudio2",
                        exc_type=(ImportError, OSError))  # fmt: skip
    np.zeros(48000, np.float32).tofile(tmp_path / "feed.raw")
    tmp_path.joinpath(".asoundrc").write_text(
        "".join(
            f"pcm.{name} {{ type file slave.pcm null file /dev/null "
            f"infile {tmp_path}/feed.raw format raw }}\n"
            for name in ("usbcam", "usbmic", "mic10")
        )
    )
    environment = os.environ | {"HOME": str(tmp_path)}
    if "usbmic" not in _record(environment, "--list-devices").stdout:
        pytest.skip("PortAudio sees no ALSA here: apt install libportaudio2")
    return environment


def _record(environment: dict[str, str], *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "echo_edge", "record", *options],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("wanted", ["usb", "1"])
def test_the_command_refuses_and_names_them(
    alsa: dict[str, str], tmp_path: Path, wanted: str
) -> None:
    done = _record(alsa, "--out", str(tmp_path / "out"), "--device", wanted, "--audio-only")

    assert done.returncode == 1
    assert "1:usbmic (" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_list_for_people_and_programs(alsa: dict[str, str]) -> None:
    people = _record(alsa, "--list-devices").stdout.splitlines()
    programs = [
        json.loads(x) for x in _record(alsa, "--list-devices", "--json").stdout.splitlines()
    ]

    assert len(people) == len(programs)
    for line, device in zip(people, programs, strict=True):
        mark = "*" if device["default"] else " "
        assert line.startswith(f"{mark} {device['index']:3}  {device['name']}  (")
        assert line.endswith(f"({device['channels']} channels, {device['rate']} Hz)")
    assert {"usbcam", "usbmic", "mic10"} <= {device["name"] for device in programs}
    assert sum(device["default"] for device in programs) <= 1
