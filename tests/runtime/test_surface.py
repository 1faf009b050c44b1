"""What the package promises to others: its names, what importing it costs, its README."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import echo_edge

README = Path(__file__).parents[2] / "README.md"
HEAVY = ("torch", "onnx", "onnxruntime", "soundfile", "soxr", "sounddevice", "executorch",
         "echo_edge_export", "training", "ai_edge_litert")  # fmt: skip


def test_names_are_sorted_and_there() -> None:
    assert echo_edge.__all__ == sorted(echo_edge.__all__)
    assert [name for name in echo_edge.__all__ if not hasattr(echo_edge, name)] == []


def test_every_public_name_is_listed() -> None:
    public = {
        name
        for name, value in vars(echo_edge).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }

    assert public == set(echo_edge.__all__)


@pytest.mark.parametrize("name", echo_edge.__all__)
def test_every_name_says_what_it_is(name: str) -> None:
    text = inspect.getdoc(getattr(echo_edge, name))

    assert text
    assert not text.startswith(f"{name}(")  # what a dataclass without a docstring says


def test_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", echo_edge.__version__)


def test_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "echo_edge", "--version"], check=True, capture_output=True, text=True
    )

    assert (done.stdout, done.stderr) == (f"echo-edge {echo_edge.__version__}\n", "")


def test_types_are_for_users_too() -> None:
    assert Path(echo_edge.__file__).with_name("py.typed").is_file()


@pytest.mark.parametrize("module", ["echo_edge", "echo_edge.cli", "echo_edge.selftest"])
def test_import_is_light(module: str) -> None:
    code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"

    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )

    loaded = set(json.loads(done.stdout))
    assert module in loaded
    assert [name for name in HEAVY if name in loaded] == []


@pytest.mark.parametrize(
    "command", ["run", "record", "speakers", "bench", "bundle", "doctor", "export"]
)
def test_readme_shows_every_command(command: str) -> None:
    assert f"echo-edge {command}" in README.read_text(encoding="utf-8")


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    from echo_edge import cli

    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])

    assert caught.value.code == 0
    listed = set(re.findall(r"^    (\w+) +\w", capsys.readouterr().out, re.MULTILINE))
    assert listed == {
        *("run", "record", "speakers", "bench", "bundle", "doctor", "export"),
        *("completion", "help"),
    }


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "record",
        "speakers",
        "speakers list",
        "speakers enrol",
        "speakers name",
        "speakers rename",
        "speakers merge",
        "speakers forget",
        "bench",
        "bundle",
        "bundle info",
        "bundle verify",
        "bundle keygen",
        "bundle sign",
        "bundle install",
        "bundle rollback",
        "doctor",
        "export",
        "completion",
    ],
)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    from echo_edge import cli

    with pytest.raises(SystemExit) as caught:
        cli.main([*command.split(), "--help"])

    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: echo-edge {command} ")
    # What an option does stands on its line or, indented further, on the next.
    silent = re.findall(r"^  (--\S+)(?: \S+)?$(?!\n {10})", text, re.MULTILINE)
    assert silent == []
