"""Files are written whole or not at all."""

import errno
import os
import stat
from pathlib import Path

import pytest

from echo_edge.disk import write_new
from echo_edge.errors import OutputError
from echo_edge.files import save


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old and longer")

    save("né\n", path)

    assert path.read_bytes() == b"n\xc3\xa9\n"
    assert list(tmp_path.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) & 0o400


@pytest.mark.parametrize("path", ["missing/out.txt", "folder", "file/out.txt"])
def test_refuses(tmp_path: Path, path: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(OutputError, match=r"out.txt|folder: cannot be written"):
        save("text", tmp_path / path)

    assert sorted(tmp_path.rglob("*")) == before


def test_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "out.txt"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(OutputError, match="No space left on device"):
        save("new", path)

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_device_is_written_in_place() -> None:
    save("text", "/dev/null")

    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_full_device() -> None:
    with pytest.raises(OutputError, match="No space left on device"):
        save("text", "/dev/full")


def test_a_new_file_has_all_of_it_and_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "name.key"

    write_new(path, b"secret", 0o600)

    assert path.read_bytes() == b"secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(OutputError, match=r"name.key: exists already, expected a new name"):
        write_new(path, b"other")
    assert path.read_bytes() == b"secret"


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_new_file_that_cannot_be_written_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)

    with pytest.raises(OutputError, match=r"name.key: cannot be written \(No space left"):
        write_new(tmp_path / "name.key", b"secret")

    assert list(tmp_path.iterdir()) == []
