"""C examples: built once per session, skipped with a reason where their tools are not here."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.firmware_examples.engines import EXAMPLES, ONNX, Engine
from tests.firmware_examples.example import Lines, read_lines
from tests.firmware_examples.scenes import SCENES, Reference, decode

REPLAY = EXAMPLES / "libecho/test"
APT = "apt install gcc g++ make libc6-dev g++-aarch64-linux-gnu qemu-user-static valgrind"


@contextmanager
def _nobody_else_builds() -> Iterator[None]:
    """Other test files may run at the same time and build in the same folders."""
    examples = os.open(EXAMPLES, os.O_RDONLY)
    try:
        fcntl.flock(examples, fcntl.LOCK_EX)
        yield
    finally:
        os.close(examples)  # and the lock is gone


def _make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run make in a folder; skips where a compiler or the network is missing, fails where the code
    does not build."""
    for tool in ("make", "gcc", "apt-get"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}: {APT}")
    command = ["make", "-C", str(folder), f"PYTHON={sys.executable}", *words]
    with _nobody_else_builds():
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    if "fetch_debs:" in done.stderr or "No matching distribution" in done.stderr:
        pytest.skip(f"cannot be fetched: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="session")
def make() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run make in a folder."""
    return _make


@pytest.fixture(scope="session")
def build_replay() -> Callable[..., Path]:
    """The program with an engine that replays recorded outputs, in a MODE of libecho.mk."""

    def build(mode: str, alsa: str = "no") -> Path:
        options = (f"MODE={mode}", f"ALSA={alsa}")
        _make(REPLAY, *options, "program")
        return Path(_make(REPLAY, *options, "-s", "where").stdout.strip())

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
    """The program of an engine's example, in a MODE of libecho.mk."""

    def build(engine: Engine, mode: str = "release") -> Path:
        options = (f"MODE={mode}", "ALSA=no", *engine.make_options())
        _make(engine.folder, *options, "program")
        return Path(_make(engine.folder, *options, "-s", "where").stdout.strip())

    return build


@pytest.fixture(scope="session")
def find_bundle(default_bundle: Path) -> Callable[[Engine], Path]:
    """A bundle for the engine: the one that ships, or one that is exported."""

    def find(engine: Engine) -> Path:
        if engine is ONNX:
            return default_bundle
        _make(engine.folder, "build/bundle/manifest.json")
        return engine.folder / "build/bundle"

    return find


@pytest.fixture(scope="session")
def recording() -> Path:
    """The demonstration as a WAV file."""
    _make(REPLAY, "build/conversation.wav")
    return REPLAY / "build/conversation.wav"


@pytest.fixture(scope="session")
def emulate() -> Callable[[Path, str], Lines]:
    """What the program of an example's folder prints of the first 12 s of the demonstration, on an
    emulated processor; skips where the tools are missing."""

    def run(folder: Path, cpu: str) -> Lines:
        for tool in ("qemu-aarch64-static", "aarch64-linux-gnu-g++"):
            if shutil.which(tool) is None:
                pytest.skip(f"needs {tool}: {APT}")
        printed = _make(folder, "-s", f"CPU={cpu}", "emulated").stdout.splitlines(True)
        return read_lines("".join(line for line in printed if line.startswith("{")))

    return run


@pytest.fixture(scope="session")
def references(
    default_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Reference]:
    """A simulated recording by name, decoded by Python once."""
    folder, made = tmp_path_factory.mktemp("scenes"), dict[str, Reference]()

    def get(name: str) -> Reference:
        if name not in made:
            made[name] = decode(SCENES[name], default_bundle, folder / str(SCENES[name].seed))
        return made[name]

    return get
