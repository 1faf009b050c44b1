"""The command in worlds that are not nominal: streams that are closed, full, not read or not UTF-8,
and signals at any moment. Real processes, real signals."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.runtime.cli.processes import COMMAND
from tests.runtime.recording import SECOND, noise

Command = Callable[..., Any]


STOPS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}


@pytest.fixture
def world(null_bundle: Path, tmp_path: Path) -> dict[str, str]:
    """The environment: a bundle in which nobody speaks, a home of its own."""
    return os.environ | {
        "ECHO_EDGE_BUNDLE": str(null_bundle),
        "ECHO_EDGE_VOICES": str(tmp_path / "voices.json"),
        "ECHO_EDGE_ROOT": str(tmp_path / "root"),
        "HOME": str(tmp_path),
    }


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "a.wav", noise(3.0), SECOND)
    return tmp_path / "a.wav"


def _shell(line: str, world: dict[str, str], folder: Path) -> subprocess.CompletedProcess[bytes]:
    words = " ".join(f"'{word}'" for word in COMMAND)
    return subprocess.run(
        ["bash", "-c", line.replace("echo-edge", words)],
        env=world, cwd=folder, capture_output=True, check=False, timeout=120,
    )  # fmt: skip


EVERY_COMMAND = {
    "run": "run a.wav",
    "run --separate": "run a.wav --separate voices",
    "run json": "run a.wav --format json",
    "bundle info": "bundle info",
    "bundle info json": "bundle info --json",
    "bundle verify": "bundle verify",
    "bundle keygen": "bundle keygen k",
    "speakers list": "speakers list --json",
    "doctor": "doctor",
    "bench": "bench --seconds 1 --live-s 0 --json bench.json --html bench.html",
    "help": "--help",
    "version": "--version",
    "help of run": "run --help",
}


NOWHERE = {
    "closed": (">&-", "closed"),
    "full": ("> /dev/full", "No space left on device"),
}


@pytest.mark.parametrize("name", EVERY_COMMAND)
@pytest.mark.parametrize("kind", NOWHERE)
def test_standard_output_that_takes_nothing(
    name: str, kind: str, wav: Path, world: dict[str, str]
) -> None:
    """Exit 1 and one line; the work itself is done."""
    where, reason = NOWHERE[kind]

    done = _shell(f"echo-edge {EVERY_COMMAND[name]} {where}", world, wav.parent)

    assert done.returncode == 1, done.stderr
    assert done.stderr.count(b"\n") == 1, done.stderr
    assert done.stderr.startswith(b"echo-edge: standard output: ")
    assert reason.encode() in done.stderr
    if name == "bundle keygen":
        assert {"k.key", "k.pub"} <= {path.name for path in wav.parent.iterdir()}
    if name == "bench":
        assert json.loads((wav.parent / "bench.json").read_text().splitlines()[0])
        assert (wav.parent / "bench.html").read_text().endswith("</html>\n")


@pytest.mark.parametrize("name", EVERY_COMMAND)
def test_reader_that_has_had_enough(name: str, wav: Path, world: dict[str, str]) -> None:
    """`| head`: not a word on stderr, also none when the interpreter ends."""
    reading, writing = os.pipe()
    os.close(reading)
    words = [*COMMAND, *EVERY_COMMAND[name].split()]

    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            words, env=world, cwd=wav.parent, stdout=pipe, stderr=subprocess.PIPE, check=False
        )

    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("where", ["2>&-", "2> /dev/full", "<&-", "<&- 2>&-", "<&- 2> /dev/full"])
@pytest.mark.parametrize("name", ["run", "bundle info", "version"])
def test_other_streams_that_are_missing(
    name: str, where: str, wav: Path, world: dict[str, str]
) -> None:
    done = _shell(f"echo-edge {EVERY_COMMAND[name]} {where}", world, wav.parent)

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout


@pytest.mark.parametrize("where", ["2>&-", "2> /dev/full", ">&- 2>&-", "<&- >&- 2>&-"])
def test_errors_that_nobody_can_read(where: str, wav: Path, world: dict[str, str]) -> None:
    done = _shell(f"echo-edge run nothing.wav {where}", world, wav.parent)

    assert (done.returncode, done.stderr) == (1, b"")


def test_no_stdin(wav: Path, world: dict[str, str]) -> None:
    done = _shell("echo-edge run - <&-", world, wav.parent)

    assert done.returncode == 1
    assert done.stderr.startswith(b"echo-edge: -: holds no samples")
    assert done.stderr.count(b"\n") == 1


def test_file_is_written_whoever_listens(wav: Path, world: dict[str, str]) -> None:
    line = "echo-edge run a.wav --out out.txt <&- >&- 2>&-"

    done = _shell(line, world, wav.parent)

    assert done.returncode == 0
    assert (wav.parent / "out.txt").read_text() == "(no speech found)\n"


@pytest.mark.parametrize(
    "encoding", [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "C"},
                 {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize(
    "name", [b"caf\xc3\xa9 \xe2\x98\x83.wav", b"caf\xe9.wav", b"a\nb\x1b[1m.wav"]
)
def test_names_and_encodings(
    encoding: dict[str, str], name: bytes, wav: Path, world: dict[str, str]
) -> None:
    """Results are UTF-8 whatever the locale; names come back, also those that are none."""
    audio = wav.rename(wav.parent / os.fsdecode(name))
    out = audio.with_suffix(".json")

    shown = subprocess.run([*COMMAND, "run", os.fsencode(audio), "--format", "json"],
                           env=world | encoding, capture_output=True, check=False)  # fmt: skip
    written = subprocess.run([*COMMAND, "run", os.fsencode(audio), "--format", "json", "--out",
                              os.fsencode(out)], env=world | encoding, check=False,
                             capture_output=True)  # fmt: skip
    wrong = subprocess.run([*COMMAND, "run", os.fsencode(audio) + b"x"], env=world | encoding,
                           capture_output=True, check=False)  # fmt: skip

    assert (shown.returncode, shown.stderr) == (0, b"")
    assert (written.returncode, written.stdout, written.stderr) == (0, b"", b"")
    for text in (shown.stdout, out.read_bytes()):
        path = json.loads(text.decode("utf-8"))["audio"]["path"]
        assert path.encode("utf-8", "surrogateescape") == os.fsencode(audio)
    assert wrong.returncode == 1
    assert wrong.stderr.count(b"\n") == 1
    assert b"\x1b" not in wrong.stderr
