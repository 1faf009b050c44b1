"""What `echo-edge doctor` says of the microphone, groups, disk, keys and the clock."""

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from echo_edge.cli import doctor_recorder
from echo_edge.cli.check import Check
from echo_edge.errors import AudioError


class PortAudio:
    """As much of sounddevice as the doctor needs."""

    PortAudioError = OSError
    __version__ = "0.5"
    default = SimpleNamespace(device=(0, 0))

    def __init__(self, n_inputs: int = 2, broken: bool = False) -> None:
        self._n_inputs, self._broken = n_inputs, broken

    def get_portaudio_version(self) -> tuple[int, str]:
        return 1, "PortAudio V19.6, revision 1"

    def query_devices(self) -> list[dict[str, Any]]:
        return [
            {"name": f"usb {n}", "index": n, "max_input_channels": 1, "default_samplerate": 48000.0}
            for n in range(self._n_inputs)
        ]

    def check_input_settings(self, device: int, channels: int, samplerate: int) -> None:
        assert (device, channels, samplerate) == (0, 1, 48000)
        if self._broken:
            raise OSError("Device unavailable [-9985]")


def _checks(keys: Path, folder: Path) -> dict[str, Check]:
    found = list(doctor_recorder.examine_recording(keys, folder))
    assert not any(check.needed for check in found)
    return {check.name: check for check in found}


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., dict[str, Check]]:
    monkeypatch.setattr(doctor_recorder, "_SOUND", tmp_path / "snd")

    def examine(port_audio: PortAudio | None = None) -> dict[str, Check]:
        there = port_audio or PortAudio()
        monkeypatch.setattr(doctor_recorder, "load_sounddevice", lambda: there)
        return _checks(tmp_path / "keys", tmp_path)

    return examine


@pytest.mark.parametrize(
    ("port_audio", "status", "detail"),
    [
        (PortAudio(1), "ok", "0:usb 0 (1 channels, 48000 Hz)"),
        (PortAudio(3), "ok", "0:usb 0 (1 channels, 48000 Hz), and 2 more"),
        (PortAudio(0), "missing", "none found: plug one in; in a container, pass /dev/snd"),
        (PortAudio(1, broken=True), "problem", "0:usb 0 (1 channels, 48000 Hz): cannot be opened "
         "(Device unavailable [-9985]): see who uses it"),
    ],
    ids=["one", "three", "none", "in use"],
)  # fmt: skip
def test_microphone(
    look: Callable[..., dict[str, Check]], port_audio: PortAudio, status: str, detail: str
) -> None:
    checks = look(port_audio)

    assert checks["portaudio"].detail == "PortAudio V19.6, sounddevice 0.5"
    assert (checks["microphone"].status, checks["microphone"].detail) == (status, detail)


def test_no_portaudio(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail() -> None:
        raise AudioError("microphone: sounddevice is not installed here: pip install it")

    monkeypatch.setattr(doctor_recorder, "load_sounddevice", fail)
    checks = _checks(tmp_path, tmp_path)

    assert checks["portaudio"].status == "missing"
    assert checks["portaudio"].detail == "sounddevice is not installed here: pip install it"
    assert "microphone" not in checks


def test_groups(
    look: Callable[..., dict[str, Check]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "groups" not in look()
    (tmp_path / "snd").mkdir()
    (tmp_path / "snd" / "pcmC0D0c").touch()
    assert look()["groups"].status == "ok"

    monkeypatch.setattr(doctor_recorder.os, "access", lambda *_: False)

    assert look()["groups"].status == "problem"
    assert "usermod -aG audio" in look()["groups"].detail


def test_disk(look: Callable[..., dict[str, Check]], monkeypatch: pytest.MonkeyPatch) -> None:
    for free, status, text in (
        (115_200_000_000, "ok", "107.3 GiB free here, 1000 h of recording"),
        (100 * 2**20, "problem", "make room"),
    ):
        usage = SimpleNamespace(free=free)
        monkeypatch.setattr(doctor_recorder.shutil, "disk_usage", lambda _, usage=usage: usage)
        check = look()["disk"]
        assert (check.status, text in check.detail) == (status, True)


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    check = doctor_recorder._disk(tmp_path / "gone")

    assert (check.status, "No such file" in check.detail) == ("problem", True)


def test_keys(look: Callable[..., dict[str, Check]], tmp_path: Path) -> None:
    assert look()["keys"].detail.startswith(f"none in {tmp_path / 'keys'}")
    pytest.importorskip("cryptography", reason="needs echo-edge[sign]")
    from datetime import date

    from echo_edge.bundle.keys import generate

    (tmp_path / "keys").mkdir()
    generate(tmp_path / "keys" / "new", None)
    assert look()["keys"].detail == f"1 trusted in {tmp_path / 'keys'}"

    generate(tmp_path / "keys" / "old", date(2020, 1, 1))
    assert look()["keys"].status == "problem"
    assert "old.pub expired on 2020-01-01" in look()["keys"].detail

    (tmp_path / "keys" / "bad.pub").write_text("x")
    assert look()["keys"].status == "problem"


@pytest.mark.parametrize(
    ("year", "synchronised", "status", "text"),
    [
        (1970, True, "problem", "was never set"),
        (2027, False, "problem", "not synchronised"),
        (2027, True, "ok", "2027-01-01 00:00 UTC"),
        (2027, None, "ok", "2027-01-01 00:00 UTC"),
    ],
)
def test_clock(
    look: Callable[..., dict[str, Check]],
    monkeypatch: pytest.MonkeyPatch,
    year: int,
    synchronised: bool | None,
    status: str,
    text: str,
) -> None:
    now = time.strptime(f"{year}-01-01", "%Y-%m-%d")
    monkeypatch.setattr(doctor_recorder.time, "gmtime", lambda: now)
    monkeypatch.setattr(doctor_recorder, "_synchronised", lambda: synchronised)

    check = look()["clock"]

    assert (check.status, text in check.detail) == (status, True)


def test_the_kernel_is_asked_for_its_clock() -> None:
    assert doctor_recorder._synchronised() in (True, False, None)
