"""Segments on disk: whole after a crash, a power cut, a full disk; read while they grow."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from echo_edge.errors import OutputError
from echo_edge.recorder.segments import (
    HEADER_BYTES,
    SegmentReader,
    SegmentWriter,
    forget,
    repair,
    segments,
)

Samples = NDArray[np.int16]


@pytest.fixture(autouse=True, scope="module")
def _fast_disk() -> Iterator[None]:
    """No test here can tell whether the kernel keeps its promise, only when it was asked to."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "fdatasync"):
            patch.setattr(os, name, lambda _: None)
        yield


def _noise(n_samples: int, seed: int = 0) -> Samples:
    return np.random.default_rng(seed).integers(-32768, 32767, n_samples).astype(np.int16)


def _read_all(folder: Path) -> list[tuple[int, list[int]]]:
    """What a new reader finds: pieces without a gap joined."""
    reader, found = SegmentReader(folder), []
    while (piece := reader.read()) is not None:
        place, samples = piece
        if found and found[-1][0] + len(found[-1][1]) == place:
            found[-1][1].extend(samples.tolist())
        else:
            found.append((place, samples.tolist()))
    reader.close()
    return found


def test_what_is_written_is_read(tmp_path: Path) -> None:
    writer, audio = SegmentWriter(tmp_path, 1000), _noise(2500)

    for piece in np.split(audio, [1, 700, 701, 2400]):
        writer.write(piece)
    writer.close()

    found = segments(tmp_path)
    assert [(each.start, each.n_samples) for each in found] == [
        (0, 1000),
        (1000, 1000),
        (2000, 500),
    ]
    assert [oct(each.path.stat().st_mode & 0o777) for each in found] == ["0o600"] * 3
    for each in found:
        data, rate = soundfile.read(each.path, dtype="int16")
        assert (rate, data.tolist()) == (16000, audio[each.start : each.end].tolist())
    assert _read_all(tmp_path) == [(0, audio.tolist())]


def test_a_gap_starts_another_file(tmp_path: Path) -> None:
    writer, audio = SegmentWriter(tmp_path, 1000), _noise(30)

    writer.write(audio[:10])
    writer.skip(100)
    writer.write(audio[10:])
    writer.close()

    assert _read_all(tmp_path) == [(0, audio[:10].tolist()), (110, audio[10:].tolist())]
    assert writer.position == 130


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=12), st.integers(1, 50))
def test_a_reader_keeps_step(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[int, bool]], longest: int
) -> None:
    folder = tmp_path_factory.mktemp("session")
    writer, reader, read = SegmentWriter(folder, longest), SegmentReader(folder), []
    audio = _noise(sum(n for n, _ in pieces))

    at = 0
    for n_samples, look in pieces:
        writer.write(audio[at : at + n_samples])
        at += n_samples
        while look and (piece := reader.read()) is not None:
            assert piece[0] == len(read)
            read.extend(piece[1].tolist())
    writer.close()
    while (piece := reader.read()) is not None:
        read.extend(piece[1].tolist())
    reader.close()

    assert read == audio.tolist()


def test_an_unfinished_sample_is_left_for_later(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, 1000)
    writer.write(_noise(3))
    with segments(tmp_path)[0].path.open("ab") as file:
        file.write(b"\x07")
        reader = SegmentReader(tmp_path)
        assert reader.read() is not None
        assert reader.read() is None
        file.write(b"\x00")
    late = reader.read()
    assert late is not None
    assert (late[0], late[1].tolist()) == (3, [7])
    reader.close()
    writer.close()


def test_the_header_never_promises_what_is_not_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut keeps what was synced, and may or may not keep what was written since; at worst
    it keeps the header and not the samples."""
    session, disk = tmp_path / "session", tmp_path / "disk"
    session.mkdir()
    writer, audio = SegmentWriter(session, 10_000), _noise(30_000)
    synced: dict[str, int] = {}

    def sync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_file():
            synced[path.name] = path.stat().st_size

    monkeypatch.setattr(os, "fdatasync", sync)
    monkeypatch.setattr(os, "fsync", sync)
    for number, piece in enumerate(np.split(audio, 60)):
        writer.write(piece)
        if number % 5 == 4:
            writer.sync()
        shutil.rmtree(disk, ignore_errors=True)
        disk.mkdir()
        n_kept = 0
        for each in segments(session):
            (disk / each.path.name).write_bytes(each.path.read_bytes()[: synced[each.path.name]])
            data, _ = soundfile.read(disk / each.path.name, dtype="int16")
            promised = int.from_bytes((disk / each.path.name).read_bytes()[40:44], "little")
            assert promised == 2 * len(data) <= synced[each.path.name] - HEADER_BYTES
            n_kept += len(data)
        assert n_kept >= writer.position - 5 * 500
    writer.close()


def test_repair_tells_of_everything_that_is_there(tmp_path: Path) -> None:
    writer, audio = SegmentWriter(tmp_path, 10_000), _noise(500)
    writer.write(audio)  # the writer dies here: its header tells of nothing yet
    (tmp_path / "audio-000000000900.wav").write_bytes(b"RIFF")  # one that was being made
    (tmp_path / "audio-000000000901.wav").write_bytes(b"\x00" * 44)
    path = segments(tmp_path)[0].path
    path.write_bytes(path.read_bytes() + b"\x01")  # and half a sample
    assert len(soundfile.read(path)[0]) == 0

    assert repair(tmp_path) == 2
    assert repair(tmp_path) == 0

    assert [each.path for each in segments(tmp_path)] == [path]
    assert soundfile.read(path, dtype="int16")[0].tolist() == audio.tolist()
    writer.close()


@pytest.mark.parametrize("first", [0, 1, 999, 1000, 1500, 2400])
def test_forget(tmp_path: Path, first: int) -> None:
    writer, audio = SegmentWriter(tmp_path, 1000), _noise(2500)
    writer.write(audio)

    assert writer.forget(2500 - first) == first
    writer.write(audio[:5])
    writer.close()

    kept = [(0, audio[:first].tolist())] if first else []
    assert _read_all(tmp_path) == [*kept, (2500, audio[:5].tolist())]
    assert repair(tmp_path) == 0  # headers tell the truth
    assert audio[first : first + 20].tobytes() not in b"".join(
        each.path.read_bytes() for each in segments(tmp_path)
    )


def test_forget_more_than_there_is(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, 1000)
    writer.write(_noise(50))

    assert writer.forget(10_000) == 0

    assert segments(tmp_path) == []
    forget(tmp_path, 0)


@pytest.mark.parametrize("n_good", range(9))
@pytest.mark.parametrize("call", ["write", "fdatasync", "fsync", "open", "pwrite"])
def test_a_disk_that_fails_at_the_nth_call_keeps_what_came_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, n_good: int
) -> None:
    """After half of the failing write is on the disk, as a full one leaves it."""
    real, calls = getattr(os, call), 0

    def failing(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > n_good:
            if call == "write":
                real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2 | 1])
            raise OSError(28, "No space left on device")
        return real(*arguments, **options)

    audio, written = _noise(1000), 0
    writer = SegmentWriter(tmp_path, 200)
    monkeypatch.setattr(os, call, failing)
    with suppress(OutputError):
        for piece in np.split(audio, 20):
            writer.write(piece)
            written = writer.position
            writer.sync()
        writer.close()
        assert calls <= n_good
    monkeypatch.undo()
    writer.close()

    for each in segments(tmp_path):
        assert len(soundfile.read(each.path)[0]) >= 0  # it opens
    repair(tmp_path)
    found = np.concatenate(
        [soundfile.read(each.path, dtype="int16")[0] for each in segments(tmp_path)]
        or [np.zeros(0, np.int16)]
    )
    assert len(found) >= written
    assert found.tolist() == audio[: len(found)].tolist()
