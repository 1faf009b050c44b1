"""Storage that fails, goes, comes back, is another one, or cannot do what a disk can."""

import errno
import fcntl
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import soundfile

from echo_edge.recorder import log, recordings, storage, writer
from echo_edge.recorder.capture import FileInput
from echo_edge.recorder.recorder import Recorder
from tests.runtime.recording import (
    SECOND,
    Command,
    Heard,
    audio_of,
    events_of,
    noise,
    record,
    settings_for,
)

AUDIO = noise(6.0)


@pytest.fixture
def source(tmp_path: Path) -> FileInput:
    """Six seconds of audio in three."""
    soundfile.write(tmp_path / "long.wav", AUDIO, SECOND)
    return FileInput(str(tmp_path / "long.wav"), 2.0)


class Fault:
    """A system call that fails in the writer's thread, for so long."""

    def __init__(self, patch: pytest.MonkeyPatch, name: str, number: int, seconds: float) -> None:
        self.from_s = time.monotonic() + 0.7
        self.until_s, self.n_failed = self.from_s + seconds, 0
        real: Callable[..., Any] = getattr(os, name)

        def call(*args: Any, **options: Any) -> Any:
            is_ours = threading.current_thread().name == "writer"
            if is_ours and self.from_s < time.monotonic() < self.until_s:
                self.n_failed += 1
                raise OSError(number, os.strerror(number))
            return real(*args, **options)

        patch.setattr(os, name, call)


FAULTS = [
    ("write", errno.EIO),
    ("write", errno.EROFS),
    ("write", errno.ENOSPC),
    ("write", errno.ESTALE),
    ("fdatasync", errno.EIO),
    ("fdatasync", errno.ENOSPC),
    ("fdatasync", errno.ENODEV),
    ("pwrite", errno.EIO),
]


@pytest.mark.parametrize(
    ("name", "number"), FAULTS, ids=[f"{n} {errno.errorcode[e]}" for n, e in FAULTS]
)
@pytest.mark.parametrize("segment_s", [600.0, 1.0])
def test_what_waited_is_written_once_storage_is_back(
    source: FileInput,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    number: int,
    segment_s: float,
) -> None:
    recorder = Recorder(source, Heard(), settings_for(tmp_path / "out", segment_s=segment_s))
    fault = Fault(monkeypatch, name, number, 1.0)

    assert record(recorder) == 0

    assert fault.n_failed >= 1
    assert audio_of(recorder.folder) == AUDIO.tolist()
    assert events_of(recorder.folder) == ["start", "storage away", "storage back", "stop"]
    away, back = capsys.readouterr().err.splitlines()
    assert os.strerror(number) in away
    assert "storage is back" in back
    assert len(recordings.find_recordings(tmp_path / "out")) == 1


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_storage_that_stays_away_ends_in_one_error(
    source: FileInput,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
) -> None:
    """What was recorded before is whole, and how much was lost is said."""
    monkeypatch.setattr(writer, "LAST_S", 0.5)
    monkeypatch.setattr(writer, "FULL_S", 1.0)
    recorder = Recorder(source, Heard(), settings_for(tmp_path / "out"))
    Fault(monkeypatch, "write", number, 1000.0)

    assert record(recorder) == 1

    audio = audio_of(recorder.folder)
    assert audio == AUDIO[: len(audio)].tolist()
    assert len(audio) >= 0.2 * SECOND
    *_, last = capsys.readouterr().err.splitlines()
    assert "s that waited for it are lost" in last


LACKS = {
    "no sync of folders": ("fsync", errno.EINVAL, storage.NO_FOLDER_SYNC),
    "no sync of folders, FUSE": ("fsync", errno.ENOSYS, storage.NO_FOLDER_SYNC),
    "no sync of files": ("fdatasync", errno.EINVAL, storage.NO_FILE_SYNC),
    "no locks": ("flock", errno.ENOLCK, storage.NO_LOCKS),
    "no locks, FUSE": ("flock", errno.ENOSYS, storage.NO_LOCKS),
    "no locks, CIFS": ("flock", errno.EOPNOTSUPP, storage.NO_LOCKS),
    "no locks of folders, NFS": ("flock", errno.EBADF, storage.NO_LOCKS),
}


@pytest.mark.parametrize("name", LACKS)
def test_storage_that_cannot_do_it_records_all_the_same(
    wav: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    call, number, message = LACKS[name]

    def cannot(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl if call == "flock" else os, call, cannot)
    recorder = Recorder(FileInput(str(wav), 3.0), Heard(), settings_for(tmp_path / "out"))

    assert record(recorder) == 0

    assert audio_of(recorder.folder) == soundfile.read(wav, dtype="int16")[0].tolist()
    said = [x for x in log.read_lines(recorder.folder / log.EVENTS) if "message" in x]
    assert [(x["type"], x["message"]) for x in said] == [("storage lacks", message)]
    assert capsys.readouterr().err == ""


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


def _in_the_meantime(recorder: Recorder, action: Callable[[], None]) -> int:
    """Record; in the middle of it something happens to the storage."""
    actor = threading.Timer(0.8, action)
    actor.start()
    try:
        return record(recorder)
    finally:
        actor.join()


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
        recorder = Recorder(source, Heard(), settings_for(stick / "out"))
        first = recorder.folder

        assert _in_the_meantime(recorder, swap) == 0

        (second,) = recordings.find_recordings(stick / "out")
        assert second == recorder.folder
        assert recordings.read_about(second).continues == first.name
        old = first_stick / "out" / first.name
        before, after = audio_of(old), audio_of(second)
        said = {*events_of(old), *events_of(second)}
    finally:
        _run("umount", "--lazy", first_stick)
    assert before == AUDIO[: len(before)].tolist()
    assert after == AUDIO[len(AUDIO) - len(after) :].tolist()
    assert len(before) + len(after) >= len(AUDIO)
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
    recorder = Recorder(source, Heard(), settings_for(stick / "out"))

    assert _in_the_meantime(recorder, lambda: _run("umount", "--lazy", stick)) == 1

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

    recorder = Recorder(source, Heard(), settings_for(stick / "out", segment_s=0.5))

    assert _in_the_meantime(recorder, remount) == 0

    assert audio_of(recorder.folder) == AUDIO.tolist()
    assert "Read-only file system" in capsys.readouterr().err


def test_full_until_somebody_makes_room(stick: Path, source: FileInput) -> None:
    def fill() -> None:
        with (stick / "film").open("wb", buffering=0) as film, suppress(OSError):
            while True:
                film.write(bytes(4096))
        time.sleep(1.0)
        (stick / "film").unlink()

    recorder = Recorder(source, Heard(), settings_for(stick / "out"))

    assert _in_the_meantime(recorder, fill) == 0

    assert audio_of(recorder.folder) == AUDIO.tolist()
    assert {"storage away", "storage back"} <= set(events_of(recorder.folder))


@pytest.mark.parametrize("what", ["session", "all"])
def test_deleted_while_it_is_recorded(source: FileInput, tmp_path: Path, what: str) -> None:
    """By somebody who tidies up: the rest is in a new session."""
    out = tmp_path / "out"
    recorder = Recorder(source, Heard(), settings_for(out))
    first = recorder.folder

    assert _in_the_meantime(recorder, lambda: shutil.rmtree(out if what == "all" else first)) == 0

    assert recordings.find_recordings(out) == [recorder.folder]
    audio = audio_of(recorder.folder)
    assert audio == AUDIO[len(AUDIO) - len(audio) :].tolist()
    assert len(audio) > 3.5 * SECOND


def test_results_of_a_session_that_goes_on_elsewhere(
    command: Command, null_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transcriber follows to the new session; the old one ends without a traceback."""
    monkeypatch.setenv("ECHO_EDGE_BUNDLE", str(null_bundle))
    soundfile.write(tmp_path / "long.wav", AUDIO, SECOND)
    out = tmp_path / "out"
    actor = threading.Timer(1.5, lambda: shutil.rmtree(recordings.find_recordings(out)[0]))
    actor.start()

    outcome = command("record", "--out", out, "--wav", tmp_path / "long.wav")

    actor.join()
    (folder,) = recordings.find_recordings(out)
    assert "Traceback" not in outcome.err
    assert (folder / recordings.RESULT).exists()
