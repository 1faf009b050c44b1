"""Storage that fails, goes, comes back, is another one, or cannot do what a disk can."""

import errno
import fcntl
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile

from echo_edge.recorder import log, recordings, storage, writer
from echo_edge.recorder.capture import FileInput
from echo_edge.recorder.recorder import Recorder
from tests.runtime.recording import (
    SECOND,
    SIX_SECONDS,
    Command,
    MemoryView,
    audio_of,
    events_of,
    in_the_meantime,
    record,
    recorder_of,
    samples_of,
    settings_for,
)


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
    recorder = Recorder(source, MemoryView(), settings_for(tmp_path / "out", segment_s=segment_s))
    fault = Fault(monkeypatch, name, number, 1.0)

    assert record(recorder) == 0

    assert fault.n_failed >= 1
    assert audio_of(recorder.folder) == SIX_SECONDS.tolist()
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
    recorder = Recorder(source, MemoryView(), settings_for(tmp_path / "out"))
    Fault(monkeypatch, "write", number, 1000.0)

    assert record(recorder) == 1

    audio = audio_of(recorder.folder)
    assert audio == SIX_SECONDS[: len(audio)].tolist()
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
    recorder = recorder_of(wav, settings_for(tmp_path / "out"))

    assert record(recorder) == 0

    assert audio_of(recorder.folder) == samples_of(wav)
    said = [x for x in log.read_lines(recorder.folder / log.EVENTS) if "message" in x]
    assert [(x["type"], x["message"]) for x in said] == [("storage lacks", message)]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("what", ["session", "all"])
def test_deleted_while_it_is_recorded(source: FileInput, tmp_path: Path, what: str) -> None:
    """By somebody who tidies up: the rest is in a new session."""
    out = tmp_path / "out"
    recorder = Recorder(source, MemoryView(), settings_for(out))
    first = recorder.folder

    assert in_the_meantime(recorder, lambda: shutil.rmtree(out if what == "all" else first)) == 0

    assert recordings.find_recordings(out) == [recorder.folder]
    audio = audio_of(recorder.folder)
    assert audio == SIX_SECONDS[len(SIX_SECONDS) - len(audio) :].tolist()
    assert len(audio) > 3.5 * SECOND


def test_results_of_a_session_that_goes_on_elsewhere(
    command: Command, null_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transcriber follows to the new session; the old one ends without a traceback."""
    monkeypatch.setenv("ECHO_EDGE_BUNDLE", str(null_bundle))
    soundfile.write(tmp_path / "long.wav", SIX_SECONDS, SECOND)
    out = tmp_path / "out"
    actor = threading.Timer(1.5, lambda: shutil.rmtree(recordings.find_recordings(out)[0]))
    actor.start()

    outcome = command("record", "--out", out, "--wav", tmp_path / "long.wav")

    actor.join()
    (folder,) = recordings.find_recordings(out)
    assert "Traceback" not in outcome.err
    assert (folder / recordings.RESULT).exists()
