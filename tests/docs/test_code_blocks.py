"""The code blocks of README.md, CONTRIBUTING.md and docs/ run as they stand.

Each page has a folder of its own, with the recordings and folders that the pages name. What cannot
run here has the comment `<!-- not run: REASON -->` above it.
"""

import difflib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "echo_edge" / "default_bundle"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "reference").glob("*.md")),
]
BLOCK = re.compile(r"(?ms)^(?:<!-- not run: ([^>]*) -->\n)?^```(\w*)\n(.*?)^```$")
REASONS = ("hardware", "network", "root", "time")
NEEDS = {"update.md": ("cryptography",), "bundle.md": ("cryptography", "model_signing")}
"""Modules beyond the runtime that the blocks of a page need."""
SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class Block:
    """A code block, and why it is not run, if it is not."""

    line: int
    language: str
    code: str
    reason: str | None


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        line = text.count("\n", 0, found.start(3)) + 1
        yield Block(line, found[2], found[3], found[1])


def runnable(page: Path) -> list[Block]:
    return [each for each in blocks(page) if each.language in ("sh", "python") and not each.reason]


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder with what the pages name, and HOME beside it."""
    demo, rate = soundfile.read(ROOT / "demo" / "conversation.flac", dtype="float32")
    assert rate == SAMPLE_RATE
    rows = (line.split() for line in (ROOT / "demo" / "conversation.rttm").read_text().splitlines())
    turns = [(float(row[3]), float(row[4])) for row in rows if row[7] == "anna"]
    ada = [demo[round(s * rate) : round((s + length) * rate)] for s, length in turns]
    work = tmp_path / "work"
    (work / "docs").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    soundfile.write(work / "meeting.wav", demo[: 17 * rate], rate)
    soundfile.write(work / "ada.wav", np.concatenate(ada), rate)
    (work / "interviews").mkdir()
    soundfile.write(work / "interviews" / "ada.wav", ada[0], rate)
    for name in ("demo", "models"):
        (work / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "docs" / "performance.md", work / "docs")
    return work


def environment(work: Path) -> dict[str, str]:
    """`echo-edge` and `python` are those of this checkout; nothing of the user's is touched."""
    programs = work.parent / "bin"
    programs.mkdir(exist_ok=True)
    for name, command in (
        ("echo-edge", f"{sys.executable} -m echo_edge"),
        ("python", sys.executable),
    ):
        (programs / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (programs / name).chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {
        "PATH": path,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "export")]),
        "HOME": str(work.parent / "home"),
        "BUNDLE": str(BUNDLE),
        "ECHO_EDGE_BUNDLE": str(BUNDLE),
        "LC_ALL": "C.UTF-8",
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if runnable(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_blocks_run(page: Path, workplace: Path) -> None:
    for module in NEEDS.get(page.name, ()):
        pytest.importorskip(module)
    if page.name == "bundle.md":
        shutil.copytree(BUNDLE, workplace / "bundle")
    for block in runnable(page):
        head = (
            ["bash", "-euo", "pipefail", "-c"] if block.language == "sh" else [sys.executable, "-c"]
        )
        done = subprocess.run(
            [*head, block.code],
            cwd=workplace,
            env=environment(workplace),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

        assert done.returncode == 0, f"{page.name}:{block.line}: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_have_a_language_and_a_reason(page: Path) -> None:
    found = list(blocks(page))

    assert len(found) * 2 == len(re.findall(r"(?m)^```", page.read_text(encoding="utf-8")))
    assert {each.language for each in found} <= {"", "sh", "python", "c", "json"}
    reasons = [each.reason for each in found if each.reason is not None]
    assert [each for each in reasons if not each.startswith(REASONS)] == []


def test_readme_shows_what_make_demo_prints(workplace: Path) -> None:
    """Times and speakers of each line, and most of the words: processors round int8 differently."""
    shown = next(each.code for each in blocks(ROOT / "README.md") if each.language == "")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    command = re.search(r"echo-edge (run demo/.*)", makefile)
    assert command
    done = subprocess.run(
        [sys.executable, "-m", "echo_edge", *command[1].split()],
        cwd=workplace,
        env=environment(workplace),
        capture_output=True,
        text=True,
        check=True,
    )

    lines = shown.splitlines()
    assert lines.pop() == "..."
    printed = done.stdout.splitlines()[: len(lines)]
    alike = difflib.SequenceMatcher(None, " ".join(lines).split(), " ".join(printed).split())
    assert alike.ratio() > 0.8


def test_the_c_program_is_that_of_the_header() -> None:
    """tests/firmware_examples builds and runs the one in the header."""
    (program,) = (each.code for each in blocks(ROOT / "docs" / "c.md") if each.language == "c")
    header = ROOT / "firmware_examples" / "libecho" / "include" / "echo_edge.h"
    comment = re.sub(r"(?m)^ \*(     )?", "", header.read_text(encoding="utf-8"))

    assert program in comment
