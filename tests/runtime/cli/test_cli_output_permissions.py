"""Output files: owners and modes, links and devices."""

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from echo_edge import cli
from tests.runtime.cli.processes import COMMAND, NO_SPEECH

Command = Callable[..., Any]


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
