"""C examples: built once per session, skipped with a reason where their tools are not here."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.firmware_examples.example import Lines, read_lines

EXAMPLES = Path(__file__).parents[2] / "firmware_examples"
APT = "apt install gcc make libc6-dev gcc-aarch64-linux-gnu qemu-user-static valgrind"


def _make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    for tool in ("make", "gcc", "apt-get"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}: {APT}")
    command = ["make", "-C", str(folder), f"PYTHON={sys.executable}", *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if "fetch_debs:" in done.stderr or "No matching distribution" in done.stderr:
        pytest.skip(f"cannot be fetched: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="session")
def make() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run make in a folder; skips where a compiler or the network is missing, fails where the code
    does not build."""
    return _make


@pytest.fixture(scope="session")
def build_replay() -> Callable[[str], Path]:
    """The shared code with an engine that replays recorded outputs, in a MODE of common.mk."""

    def build(mode: str) -> Path:
        options = (f"MODE={mode}", "ALSA=no")
        _make(EXAMPLES / "common", *options, "replay")
        return Path(_make(EXAMPLES / "common", *options, "-s", "where").stdout.strip())

    return build


@pytest.fixture(scope="session")
def run_program() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a built program with these arguments; `pcm` goes to its stdin."""

    def run(*command: object, pcm: bytes = b"") -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"UBSAN_OPTIONS": "print_stacktrace=1"}
        words = [str(word) for word in command]
        done = subprocess.run(words, input=pcm, env=environment, check=False, capture_output=True)
        return subprocess.CompletedProcess(
            words, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    return run


@pytest.fixture(scope="session")
def build_example() -> Callable[..., Path]:
    """The program of an example's folder, in a MODE of common.mk, with more options for make."""

    def build(folder: Path, mode: str = "release", *options: str) -> Path:
        _make(folder, f"MODE={mode}", "ALSA=no", *options, "program")
        return Path(_make(folder, f"MODE={mode}", "ALSA=no", "-s", "where").stdout.strip())

    return build


@pytest.fixture(scope="session")
def recording() -> Path:
    """The demonstration as a WAV file."""
    _make(EXAMPLES / "common", "build/conversation.wav")
    return EXAMPLES / "common/build/conversation.wav"


@pytest.fixture(scope="session")
def emulate() -> Callable[[Path, str], Lines]:
    """What the program of an example's folder prints of the first 12 s of the demonstration, on an
    emulated processor; skips where the tools are missing."""

    def run(folder: Path, cpu: str) -> Lines:
        for tool in ("qemu-aarch64-static", "aarch64-linux-gnu-gcc"):
            if shutil.which(tool) is None:
                pytest.skip(f"needs {tool}: {APT}")
        printed = _make(folder, "-s", f"CPU={cpu}", "emulated").stdout.splitlines(True)
        return read_lines("".join(line for line in printed if line.startswith("{")))

    return run
