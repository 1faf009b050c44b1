"""Files are written whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

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
