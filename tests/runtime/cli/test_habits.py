"""What people type by habit: help in every form, near misses, other tools' words, the Tab key."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from echo_edge import cli
from echo_edge.version import __version__

Command = Callable[..., Any]


@pytest.mark.parametrize(
    ("arguments", "code", "start"),
    [
        pytest.param("", 2, "usage: echo-edge [-h]", id="bare"),
        pytest.param("bundle", 2, "usage: echo-edge bundle [-h]", id="bare bundle"),
        pytest.param("speakers", 2, "usage: echo-edge speakers [-h]", id="bare speakers"),
        pytest.param("help", 0, "usage: echo-edge [-h]", id="help"),
        pytest.param("help run", 0, "usage: echo-edge run [-h]", id="help run"),
        pytest.param("help bundle verify", 0, "usage: echo-edge bundle verify", id="help action"),
        pytest.param("speakers enroll -h", 0, "usage: echo-edge speakers enrol", id="enroll"),
        pytest.param("-V", 0, f"echo-edge {__version__}\n", id="version"),
    ],
)
def test_help(capsys: pytest.CaptureFixture[str], arguments: str, code: int, start: str) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments.split())

    said = capsys.readouterr()
    assert (caught.value.code, said.err) == (code, "")
    assert said.out.startswith(start)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("rnu a.wav", r"'rnu' \(did you mean run\?\): see echo-edge --help"),
        ("transcribe a.wav", r"'transcribe' \(did you mean run\?\): see echo-edge --help"),
        ("help nope", r"'nope' \(choose from run, .*\): see echo-edge --help"),
        ("run a.wav --latency 2", r"--latency 2 \(did you mean --latency-s\?\): see echo-edge run"),
        ("run a.wav --model=x", r"--model=x \(did you mean --bundle\?\): see echo-edge run --help"),
        ("run a.wav --num_speakers 3", r"did you mean --(min-)?speakers.*: see echo-edge run"),
        ("run a.wav --nonsense", r"arguments: --nonsense: see echo-edge run --help"),
        ("run a.wav --form txt", r"--form txt \(did you mean --format\?\): see echo-edge run"),
        ("run a.wav --format text", r"'text' .*: see echo-edge run --help"),
        ("bundle verfy", r"'verfy' \(did you mean verify\?\): see echo-edge bundle --help"),
        ("bundle verify --jsn", r"--jsn \(did you mean --json\?\): see echo-edge bundle verify"),
        ("speakers enroll", r"required: NAME, AUDIO: see echo-edge speakers enrol --help"),
        ("record -o x", r"-o x \(did you mean --out\?\): see echo-edge record --help"),
        ("completion fish", r"invalid choice: 'fish'.*: see echo-edge completion --help"),
    ],
)
def test_near_misses(command: Command, arguments: str, message: str) -> None:
    outcome = command(*arguments.split())

    outcome.failed(2, message)
    assert outcome.out == ""


@pytest.mark.parametrize("command_name", [name for name, *_ in cli.COMMANDS])
def test_nothing_may_be_abbreviated(command_name: str) -> None:
    for parser in (cli.whole_parser(), cli._parser([command_name])):
        assert not parser.allow_abbrev


def test_export_without_torch(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)

    outcome = command("export", "x.safetensors", "--out", tmp_path / "bundle")

    outcome.failed(1, "export: torch is not installed here; it runs on a workstation")


def test_the_help_of_export_does_without_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; from echo_edge.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "export", "--help"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert "--language-model FILE" in done.stdout


class TestCompletion:
    def test_what_makes_it_may_be_missing(
        self, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "shtab", None)

        command("completion", "bash").failed(1, "pip install shtab")

    @pytest.mark.parametrize(
        ("typed", "offered"),
        [
            (["echo-edge", "re"], {"record"}),
            (["echo-edge", "bundle", "in"], {"info", "install"}),
            (["echo-edge", "speakers", "enr"], {"enrol", "enroll"}),
            (["echo-edge", "run", "--excl"], {"--exclusive"}),
            (["echo-edge", "run", "--out", "al"], {"alpha.txt"}),
            (["echo-edge", "bundle", "verify", "--jso"], {"--json"}),
        ],
    )
    def test_bash(
        self, command: Command, tmp_path: Path, typed: list[str], offered: set[str]
    ) -> None:
        pytest.importorskip("shtab", reason="needs echo-edge[completion]")
        script = command("completion", "bash")
        script.worked()
        (tmp_path / "complete.bash").write_text(script.out)
        (tmp_path / "alpha.txt").touch()
        words = " ".join(f"'{word}'" for word in typed)

        ask = (
            f"source complete.bash; COMP_WORDS=({words}); COMP_CWORD={len(typed) - 1}; "
            "COMP_TYPE=9; _shtab_echo_edge; printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        done = subprocess.run(
            ["bash", "-c", ask], cwd=tmp_path, env={"PATH": os.environ["PATH"]},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

        assert done.stderr == ""
        assert set(done.stdout.split()) == offered

    def test_zsh(self, command: Command) -> None:
        pytest.importorskip("shtab", reason="needs echo-edge[completion]")
        script = command("completion", "zsh")

        script.worked()
        assert script.out.startswith("#compdef echo-edge\n")
        assert "'--latency-s" in script.out or '"--latency-s' in script.out
