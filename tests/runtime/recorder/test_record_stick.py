"""Storage that is pulled out, replaced, read-only or full while it is recorded to."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from echo_edge.recorder import recordings, writer
from echo_edge.recorder.capture import FileInput
from echo_edge.recorder.recorder import Recorder
from tests.runtime.recording import (
    SIX_SECONDS,
    MemoryView,
    audio_of,
    events_of,
    in_the_meantime,
    settings_for,
)


def _run(*command: object) -> None:
    subprocess.run(list(map(str, command)), check=True, capture_output=True)


@pytest.fixture
def stick(tmp_path: Path) -> Iterator[Path]:
    """A stick that is mounted, and may be pulled out."""
    folder = tmp_path / "stick"
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root to mount a file system")
    mounted = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if subprocess.run(mounted, check=False, capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here")
    yield folder
    while os.path.ismount(folder):
        _run("umount", "--lazy", folder)


def test_pulled_out_and_another_one_put_in(
    stick: Path, source: FileInput, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the first one has and what the second has are all that was said."""
    first_stick = tmp_path / "first"
    first_stick.mkdir()
    _run("mount", "--bind", stick, first_stick)

    def swap() -> None:
        _run("umount", "--lazy", stick)
        time.sleep(1.0)
        assert list(stick.iterdir()) == []  # nothing was written to where nothing is mounted
        _run("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", stick)

    try:
        recorder = Recorder(source, MemoryView(), settings_for(stick / "out"))
        first = recorder.folder

        assert in_the_meantime(recorder, swap) == 0

        (second,) = recordings.find_recordings(stick / "out")
        assert second == recorder.folder
        assert recordings.read_about(second).continues == first.name
        old = first_stick / "out" / first.name
        before, after = audio_of(old), audio_of(second)
        said = {*events_of(old), *events_of(second)}
    finally:
        _run("umount", "--lazy", first_stick)
    assert before == SIX_SECONDS[: len(before)].tolist()
    assert after == SIX_SECONDS[len(SIX_SECONDS) - len(after) :].tolist()
    assert len(before) + len(after) >= len(SIX_SECONDS)
    assert said == {"start", "storage away", "storage back", "stop"}
    away, back = capsys.readouterr().err.splitlines()
    assert "are in memory" in away
    assert str(second) in back


def test_pulled_out_for_good(
    stick: Path,
    source: FileInput,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(writer, "LAST_S", 0.5)
    recorder = Recorder(source, MemoryView(), settings_for(stick / "out"))

    assert in_the_meantime(recorder, lambda: _run("umount", "--lazy", stick)) == 1

    assert list(stick.iterdir()) == []
    assert "nothing is mounted at" in capsys.readouterr().err


def test_read_only_for_a_while(
    stick: Path, source: FileInput, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the kernel does after an error, and its owner puts right."""

    def remount() -> None:
        _run("mount", "-o", "bind,ro", stick, stick)
        time.sleep(1.0)
        _run("umount", "--lazy", stick)

    recorder = Recorder(source, MemoryView(), settings_for(stick / "out", segment_s=0.5))

    assert in_the_meantime(recorder, remount) == 0

    assert audio_of(recorder.folder) == SIX_SECONDS.tolist()
    assert "Read-only file system" in capsys.readouterr().err


def test_full_until_somebody_makes_room(stick: Path, source: FileInput) -> None:
    def fill() -> None:
        with (stick / "film").open("wb", buffering=0) as film, suppress(OSError):
            while True:
                film.write(bytes(4096))
        time.sleep(1.0)
        (stick / "film").unlink()

    recorder = Recorder(source, MemoryView(), settings_for(stick / "out"))

    assert in_the_meantime(recorder, fill) == 0

    assert audio_of(recorder.folder) == SIX_SECONDS.tolist()
    assert {"storage away", "storage back"} <= set(events_of(recorder.folder))
