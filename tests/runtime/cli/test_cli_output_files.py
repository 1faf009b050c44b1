"""`--out` and `--separate` before the work: what is refused, what is kept of what was there."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.runtime.cli.processes import NO_SPEECH
from tests.runtime.recording import SECOND, noise

Command = Callable[..., Any]


def _snapshot(folder: Path) -> dict[str, tuple[int, bytes | None]]:
    """Everything in a folder: kind and mode, content."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            path.read_bytes() if path.is_file() else None,
        )
        for path in sorted(folder.rglob("*"))
    }


def _hard(path: Path, audio: Path) -> None:
    os.link(audio, path)


def _socket(path: Path, _: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


INPUTS = {
    "itself": lambda *_: None,
    "a link to it": lambda path, audio: path.symlink_to(audio),
    "another name of it": _hard,
}


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("option", ["--out", "--separate"])
def test_an_input_is_no_output(command: Command, wav: Path, name: str, option: str) -> None:
    folder = wav.parent / "v"
    folder.mkdir()
    path = folder / "source_2.wav"
    if name == "itself":
        wav = wav.rename(path)
    INPUTS[name](path, wav)
    before = _snapshot(wav.parent)

    outcome = command("run", wav, option, path if option == "--out" else folder)

    outcome.failed(2, "source_2.wav: found an input, expected another file")
    assert outcome.out == ""
    assert _snapshot(wav.parent) == before


def test_stdin_is_no_output(process: Command, tmp_path: Path) -> None:
    pcm = tmp_path / "a.pcm"
    pcm.write_bytes(bytes(64_000))

    with pcm.open("rb") as stdin:
        outcome = process("run", "-", "--out", pcm, stdin=stdin)

    outcome.failed(2, "found an input")
    assert pcm.read_bytes() == bytes(64_000)


def test_a_voice_is_no_text(command: Command, wav: Path) -> None:
    options = ("--separate", wav.parent / "v", "--out", wav.parent / "v" / "source_1.wav")

    command("run", wav, *options).failed(2, "where a voice is written")


REFUSED: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "a folder": (lambda path, _: path.mkdir(), "Is a directory"),
    "a socket": (_socket, "not a regular file"),
    "a name that is too long": (lambda *_: None, "File name too long"),
    "a link to itself": (lambda path, _: path.symlink_to(path), "symbolic link"),
    "a link to nowhere": (lambda path, _: path.symlink_to("no/where"), "No such file"),
    "a slash": (lambda *_: None, "Is a directory"),
    "nothing": (lambda *_: None, "cannot be written"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_the_work(command: Command, wav: Path, name: str) -> None:
    make, message = REFUSED[name]
    path = wav.parent / "out.txt"
    make(path, wav)
    before = _snapshot(wav.parent)
    named = {"a name that is too long": f"{path}{'x' * 250}", "a slash": f"{path}/", "nothing": ""}

    outcome = command("run", wav, "--out", named.get(name, path))

    outcome.failed(1, message)
    assert _snapshot(wav.parent) == before


@pytest.mark.parametrize("length", [1, 200, 254, 255])
@pytest.mark.parametrize("letter", ["x", "\N{SNOWMAN}"])
def test_names_of_every_length(command: Command, wav: Path, length: int, letter: str) -> None:
    size = len(letter.encode())
    name = letter * (length // size) + "y" * (length % size)

    command("run", wav, "--out", wav.parent / name).worked()

    assert (wav.parent / name).read_text() == NO_SPEECH
    assert list(wav.parent.glob("*.partial")) == []


class TestWhatWasThere:
    """The link, the names, the mode and the owner of a file that is replaced stay."""

    def test_link(self, command: Command, wav: Path) -> None:
        target = wav.parent / "real" / "t.txt"
        target.parent.mkdir()
        target.write_text("old")
        link = wav.parent / "out.txt"
        link.symlink_to("real/t.txt")

        command("run", wav, "--out", link).worked()

        assert link.readlink() == Path("real/t.txt")
        assert target.read_text() == NO_SPEECH
        assert list(target.parent.iterdir()) == [target]

    def test_link_to_what_is_not_there_yet(self, command: Command, wav: Path) -> None:
        link = wav.parent / "out.txt"
        link.symlink_to("t.txt")

        command("run", wav, "--out", link).worked()

        assert (wav.parent / "t.txt").read_text() == NO_SPEECH
        assert link.is_symlink()

    def test_other_names(self, command: Command, wav: Path) -> None:
        first, second = wav.parent / "1.txt", wav.parent / "2.txt"
        first.write_text("old and longer than what comes" * 9)
        os.link(first, second)

        command("run", wav, "--out", first).worked()

        assert second.read_text() == NO_SPEECH
        assert first.samefile(second)

    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o777])
    def test_mode(self, command: Command, wav: Path, mode: int) -> None:
        out = wav.parent / "out.txt"
        out.write_text("old")
        out.chmod(mode)

        command("run", wav, "--out", out).worked()

        assert stat.S_IMODE(out.stat().st_mode) == mode
        assert out.read_text() == NO_SPEECH

    @pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
    def test_mode_of_a_new_file(self, command: Command, wav: Path, mask: int) -> None:
        before = os.umask(mask)
        try:
            command("run", wav, "--out", wav.parent / "out.txt").worked()
        finally:
            os.umask(before)

        assert stat.S_IMODE((wav.parent / "out.txt").stat().st_mode) == 0o666 & ~mask

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    def test_owner(self, command: Command, wav: Path) -> None:
        out = wav.parent / "out.txt"
        out.write_text("old")
        os.chown(out, 12345, 54321)

        command("run", wav, "--out", out).worked()

        assert (out.stat().st_uid, out.stat().st_gid) == (12345, 54321)
        assert out.read_text() == NO_SPEECH

    def test_failure_keeps_the_old_file(self, command: Command, tmp_path: Path) -> None:
        out = tmp_path / "out.txt"
        out.write_text("old")

        command("run", tmp_path / "nothing.wav", "--out", out).failed(1, "cannot be read")

        assert out.read_text() == "old"
        assert list(tmp_path.glob("*.partial")) == []


def test_bench_overwrites_no_input(command: Command, wav: Path) -> None:
    before = wav.read_bytes()

    for option in ("--json", "--html"):
        command("bench", "--audio", wav, option, wav).failed(2, "found an input")

    assert wav.read_bytes() == before
    assert soundfile.info(wav).frames == len(noise(3.0))
    assert soundfile.info(wav).samplerate == SECOND
