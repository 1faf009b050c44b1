"""`--out` and `--separate` before the work: what is refused, what is kept of what was there."""

import os
import resource
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile

from echo_edge import cli
from echo_edge.bundle.find import find_bundle
from tests.runtime.recording import SECOND, noise

Command = Callable[..., Any]

COMMAND = [sys.executable, "-m", "echo_edge"]
NO_SPEECH = "(no speech found)\n"


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


@pytest.fixture
def somebody(command: Command, wav: Path) -> Callable[..., tuple[int, str, str]]:
    """The command as a user who is not root, in folders that are root's; exit code and outputs."""
    if os.geteuid() != 0:
        pytest.skip("only root becomes somebody else")
    command("run", wav).worked()  # imports everything: the interpreter may be root's too
    folder = wav.parent
    while folder != Path(tempfile.gettempdir()):
        folder.chmod(0o755)
        folder = folder.parent
    for path in wav.parent.rglob("*"):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))

    def run(*words: object) -> tuple[int, str, str]:
        outputs = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115 - closed below
        child = os.fork()
        if child == 0:
            code = 99
            try:
                for number, file in enumerate(outputs, 1):
                    os.dup2(file.fileno(), number)
                sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                code = cli.main(["run", str(wav), *map(str, words)])
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = []
        for file in outputs:
            file.seek(0)
            texts.append(file.read().decode())
            file.close()
        return code, texts[0], texts[1]

    return run


class TestPermissions:
    def test_file_that_may_only_be_read(self, somebody: Command, wav: Path) -> None:
        out = wav.parent / "out.txt"
        out.write_text("old")
        wav.parent.chmod(0o777)
        out.chmod(0o644)

        code, shown, error = somebody("--out", out)

        assert (code, shown) == (1, "")
        assert "Permission denied" in error
        assert out.read_text() == "old"

    def test_folder_that_may_only_be_read(self, somebody: Command, wav: Path) -> None:
        code, shown, error = somebody("--out", wav.parent / "out.txt")

        assert (code, shown) == (1, "")
        assert "Permission denied" in error

    @pytest.mark.parametrize("folder_mode", [0o755, 0o1777, 0o777])
    def test_file_of_somebody_else(self, somebody: Command, wav: Path, folder_mode: int) -> None:
        """It can be written, its folder cannot, or not by us: it stays the other's."""
        out = wav.parent / "out.txt"
        out.write_text("old and longer than what comes")
        out.chmod(0o666)
        wav.parent.chmod(folder_mode)

        assert somebody("--out", out) == (0, "", "")
        assert out.read_text() == NO_SPEECH
        assert (out.stat().st_uid, stat.S_IMODE(out.stat().st_mode)) == (0, 0o666)
        assert list(wav.parent.glob("*.partial")) == []

    def test_folder_of_voices(self, somebody: Command, wav: Path) -> None:
        code, _, error = somebody("--separate", wav.parent / "v")

        assert (code, error.count("\n")) == (1, 1)
        assert "cannot be written (Permission denied)" in error


class TestMeantToBeSo:
    """Devices and pipes that somebody names are written as they are."""

    @pytest.mark.parametrize("path", ["/dev/stdout", "/proc/self/fd/1", "/dev/fd/1"])
    @pytest.mark.parametrize("how", ["file", "append", "pipe"])
    def test_standard_output(self, wav: Path, null_bundle: Path, path: str, how: str) -> None:
        shown = wav.parent / "shown"
        shown.write_text("before\n")
        where = {"file": "> shown", "append": ">> shown", "pipe": "| cat > shown"}[how]
        words = " ".join(f"'{word}'" for word in COMMAND)

        subprocess.run(
            ["bash", "-c", f"{words} run a.wav --out {path} {where}"], cwd=wav.parent, check=True,
            env=os.environ | {"ECHO_EDGE_BUNDLE": str(null_bundle)},
        )  # fmt: skip

        assert shown.read_text() == ("before\n" if how == "append" else "") + NO_SPEECH
        assert list(wav.parent.glob("*.partial")) == []

    def test_named_pipe(self, process: Command, wav: Path) -> None:
        pipe = wav.parent / "pipe"
        os.mkfifo(pipe)
        reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)

        process("run", wav, "--out", pipe).worked()

        assert reader.communicate(timeout=30)[0].decode() == NO_SPEECH
        assert stat.S_ISFIFO(pipe.stat().st_mode)

    def test_full_device(self, process: Command, wav: Path) -> None:
        """The text is on standard output after all."""
        outcome = process("run", wav, "--out", "/dev/full")

        outcome.failed(1, "/dev/full: cannot be written .No space left on device.*standard output")
        assert outcome.out == NO_SPEECH

    def test_null(self, process: Command, wav: Path) -> None:
        process("run", wav, "--out", "/dev/null").worked()

        assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def _small_files(n_bytes: int) -> Callable[[], None]:
    """Files of so many bytes at most, as on a disk that fills up."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))

    return limit


class TestDiskFull:
    """What was heard is not lost, and one line says where it is."""

    @pytest.fixture
    def clip(self) -> Path:
        return find_bundle(None) / "selftest" / "labelled.flac"

    @pytest.mark.parametrize("options", [["--latency-s", "2"], [], ["--format", "json"]], ids=str)
    def test_text(self, tmp_path: Path, clip: Path, options: list[str]) -> None:
        out = tmp_path / "out"
        out.write_text("old")
        words = [*COMMAND, "run", str(clip), "--no-voices", *options]
        whole = subprocess.run(words, capture_output=True, check=True, text=True)

        done = subprocess.run(
            [*words, "--out", str(out)], capture_output=True, check=False, text=True,
            preexec_fn=_small_files(700),
        )  # fmt: skip

        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert "File too large" in done.stderr
        assert "the text is on standard output" in done.stderr
        if "json" not in options:
            assert done.stdout == whole.stdout
        assert out.read_text() == "old"
        assert list(tmp_path.iterdir()) == [out]

    def test_text_that_nobody_takes(self, tmp_path: Path, clip: Path) -> None:
        """Then whole lines stay in the file that grew."""
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [*COMMAND, "run", str(clip), "--no-voices", "--latency-s", "2", "--out", "t.txt"],
                stdout=full, stderr=subprocess.PIPE, check=False, cwd=tmp_path, text=True,
                preexec_fn=_small_files(700),
            )  # fmt: skip

        assert done.returncode == 1
        (left,) = tmp_path.iterdir()
        assert left.name in done.stderr
        assert left.read_text().endswith("\n")
        assert left.read_text().count("\n") >= 3

    @pytest.mark.parametrize("options", [["--latency-s", "2"], []], ids=str)
    @pytest.mark.parametrize("name", ["txt", "json"])
    def test_voices(self, tmp_path: Path, clip: Path, options: list[str], name: str) -> None:
        """The text is written all the same; no voice is there in part."""
        done = subprocess.run(
            [*COMMAND, "run", str(clip), "--no-voices", *options, "--separate", "v", "--format",
             name, "--out", "t"],
            capture_output=True, check=False, cwd=tmp_path, text=True,
            preexec_fn=_small_files(200_000),
        )  # fmt: skip

        assert (done.returncode, done.stdout) == (1, "")
        assert "source_1.wav: cannot be written (File too large)" in done.stderr
        assert done.stderr.count("\n") == 1
        assert "speaker_1" in (tmp_path / "t").read_text()
        assert list(tmp_path.glob("v/*")) == []


def test_bench_overwrites_no_input(command: Command, wav: Path) -> None:
    before = wav.read_bytes()

    for option in ("--json", "--html"):
        command("bench", "--audio", wav, option, wav).failed(2, "found an input")

    assert wav.read_bytes() == before
    assert soundfile.info(wav).frames == len(noise(3.0))
    assert soundfile.info(wav).samplerate == SECOND
