"""Starved of disk: what is kept, what is deleted first."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import soundfile

from echo_edge.recorder import recordings, writer
from echo_edge.recorder.capture import FileInput
from echo_edge.recorder.options import Limits
from echo_edge.recorder.recorder import Recorder
from echo_edge.recorder.segments import segments
from tests.runtime.recording import (
    SECOND,
    Command,
    MemoryView,
    about,
    audio_of,
    events_of,
    noise,
    record,
    recorder_of,
    samples_of,
    settings_for,
)


def _low(monkeypatch: pytest.MonkeyPatch, free: Callable[[], int]) -> None:
    monkeypatch.setattr(recordings, "free_bytes", lambda _: free())


def test_low_disk_first_results_wait_then_recording_stops(
    tmp_path: Path, wav: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    room = [1000, 90, 1000, 90, 40]
    _low(monkeypatch, lambda: room.pop(0) if len(room) > 1 else room[0])
    soundfile.write(wav, noise(20.0), SECOND)
    settings = settings_for(tmp_path / "out", limits=Limits(min_free_bytes=100))
    recorder = Recorder(FileInput(str(wav)), MemoryView(), settings)

    assert record(recorder) == 1

    audio = audio_of(recorder.folder)
    assert 2 * SECOND < len(audio) < 10 * SECOND
    assert audio == noise(20.0)[: len(audio)].tolist()
    names = ["start", "low disk", "disk has room", "low disk", "failed", "stop"]
    assert events_of(recorder.folder) == names
    assert "expected" in capsys.readouterr().err


def _recording_of(out: Path, hour: int, seconds: float, done: bool = True) -> Path:
    now = datetime(2026, 1, 1, hour, tzinfo=UTC)
    folder = recordings.new_recording(out, about(), now)
    for n in range(2):
        start_sample = round(n * seconds * SECOND)
        path = folder / f"audio-{start_sample:012}.wav"
        soundfile.write(path, noise(seconds), SECOND)
    if done:
        (folder / "result.json").write_text("{}")
    return folder


def test_low_disk_with_rotation_deletes_the_oldest_audio(
    tmp_path: Path, wav: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    old = [_recording_of(out, hour, 0.1) for hour in range(2)]
    room = [40, 40, 40, 200]
    _low(monkeypatch, lambda: room.pop(0) if len(room) > 1 else room[0])
    settings = settings_for(out, limits=Limits(min_free_bytes=100, rotate=True))
    recorder = recorder_of(wav, settings)

    assert record(recorder) == 0

    assert [len(segments(folder)) for folder in old] == [0, 1]
    assert [(folder / "result.json").exists() for folder in old] == [True, True]
    assert audio_of(recorder.folder) == samples_of(wav)
    assert events_of(recorder.folder).count("retention") == 3


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB: 8 s of audio."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root to mount a small disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_keeps_what_fits(
    command: Command, small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no reserve asked for, the disk fills to its last byte."""
    monkeypatch.setattr(writer, "FULL_S", 1.0)
    soundfile.write(tmp_path / "a.wav", noise(30.0), SECOND)
    options = ("--wav", tmp_path / "a.wav", "--pace", 10, "--min-free-mib", 0, "--quiet")

    outcome = command("record", "--out", small_disk / "out", *options)

    assert outcome.code == 1
    assert "audio cannot be written (No space left on device)" in outcome.err
    assert "Traceback" not in outcome.err
    (folder,) = recordings.find_recordings(small_disk / "out")
    audio = audio_of(folder)
    assert len(audio) > 6 * SECOND
    assert audio == noise(30.0)[: len(audio)].tolist()
    # On another disk the rest of the work is done.
    shutil.copytree(folder, tmp_path / folder.name)
    (tmp_path / folder.name / "result.json").unlink(missing_ok=True)
    command("record", "--recover", tmp_path / folder.name, "--quiet").worked()
    assert (tmp_path / folder.name / "result.json").exists()
