"""libecho as a library: the program in the opening comment of its header runs, a program needs no
other header, and its rooms include only rooms below them, as those of the Python runtime."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.firmware_examples.engines import EXAMPLES, ONNX, needs
from tests.firmware_examples.example import python_lines

Make = Callable[..., subprocess.CompletedProcess[str]]

LIBECHO = EXAMPLES / "libecho"
HEADER = LIBECHO / "include/echo_edge.h"

GROUND = {"echo_edge.h", "memory.h", "strict_json.h"}
BELOW = {
    "bundle": {"bundle"},
    "audio": {"audio", "bundle"},
    "heads": {"heads", "bundle", "graph.h"},
    "attribution": {"attribution", "heads", "bundle"},
}
"""Rooms and files that a room may include, besides `GROUND`."""


def _opening_program() -> str:
    """The program in the header's opening comment: what is indented by five."""
    comment = HEADER.read_text().split("*/")[0]
    lines = [line.removeprefix(" *") for line in comment.splitlines()]
    code = [line for line in lines if line.startswith(" " * 5) or not line.strip()]
    return "\n".join(line.removeprefix(" " * 5) for line in code).strip() + "\n"


def _included(path: Path) -> list[str]:
    return re.findall(r'#include "(.*)"', path.read_text())


def _from_another_room(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.[ch]")):
        for name in _included(path):
            if name not in GROUND and not {name, name.split("/")[0]} & BELOW[folder.name]:
                yield f"{folder.name}/{path.name} includes {name}"


@pytest.fixture(scope="module")
def hello(make: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program in the header's opening comment, built as the comment says."""
    folder = tmp_path_factory.mktemp("hello")
    (folder / "hello.c").write_text(_opening_program())
    make(ONNX.folder, "ALSA=no", "library")
    flags = make(ONNX.folder, "ALSA=no", "-s", "flags").stdout.split()
    warnings = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-Wpedantic"]
    command = ["gcc", *warnings, "hello.c", *flags, "-o", "hello"]
    subprocess.run(command, cwd=folder, check=True, timeout=60)
    return folder / "hello"


@pytest.mark.skipif(needs(ONNX)[0].args[0], reason="needs echo-edge[onnx]")
def test_the_program_in_the_header_prints_the_turns(
    hello: Path, recording: Path, default_bundle: Path
) -> None:
    (library,) = ONNX.arguments()[1:]

    done = subprocess.run(
        [hello, default_bundle, library],
        input=recording.read_bytes()[44:], check=True, capture_output=True,
    )  # fmt: skip

    found = re.findall(r"([\d.]+) s to +([\d.]+) s: speaker (\d+)", done.stdout.decode())
    turns = sorted((float(start), float(end), f"speaker_{n}") for start, end, n in found)
    expected = python_lines(default_bundle, recording)["turn"]
    assert done.stderr == b""
    assert [turn[2] for turn in turns] == [x["speaker"] for x in expected]
    assert [turn[:2] for turn in turns] == [
        pytest.approx((x["start_s"], x["end_s"]), abs=0.05) for x in expected
    ]
    assert len(turns) > 10


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "bundle: found none, expected the path of a folder"),
        (["/nowhere"], 3, "/nowhere: found no folder, expected a bundle: check the path"),
    ],
)
def test_the_program_in_the_header_says_what_is_wrong(
    words: list[str], code: int, message: str, hello: Path
) -> None:
    done = subprocess.run([hello, *words], input=bytes(100), check=False, capture_output=True)

    assert (done.returncode, done.stdout) == (code, b"")
    assert done.stderr.decode() == f"{message}\n"


def test_the_program_in_the_header_is_short() -> None:
    assert len([line for line in _opening_program().splitlines() if line]) <= 30


@pytest.mark.parametrize("room", BELOW)
def test_a_room_includes_only_rooms_below(room: str) -> None:
    assert list(_from_another_room(LIBECHO / "src" / room)) == []


def test_no_header_includes_itself_by_way_of_others() -> None:
    source = LIBECHO / "src"
    headers = {str(path.relative_to(source)): _included(path) for path in source.rglob("*.h")}
    while free := [name for name, used in headers.items() if not set(used) & headers.keys()]:
        for name in free:
            del headers[name]
    assert headers == {}


def test_the_program_needs_no_other_header() -> None:
    folder = EXAMPLES / "cli"
    own = {path.name for path in folder.glob("*.h")}
    assert {name for path in folder.glob("*.[ch]") for name in _included(path)} <= own


@pytest.mark.parametrize("path", sorted((LIBECHO / "src").rglob("*.c")), ids=lambda p: p.name)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    functions = re.findall(r"^\{$.*?^\}$", text, re.MULTILINE | re.DOTALL)

    assert len(text.splitlines()) <= 300
    assert max((len(body.splitlines()) for body in functions), default=0) <= 50
