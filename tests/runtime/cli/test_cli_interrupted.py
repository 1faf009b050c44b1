"""Text while it is spoken, and what a signal or a kill leaves of it."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echo_edge.bundle.find import find_bundle
from tests.runtime.cli.processes import COMMAND

STOPS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}


class Feeder:
    """`run -` of the labelled minute, fed bit by bit, twice as fast as it was spoken."""

    def __init__(self, folder: Path, *options: str, **world: str) -> None:
        self.folder = folder
        clip = find_bundle(None) / "selftest" / "labelled.flac"
        self.pcm = soundfile.read(clip, dtype="int16")[0].tobytes()
        self.err = (folder / "err.txt").open("wb")
        self.out = (folder / "stdout.txt").open("wb")
        self.child = subprocess.Popen(
            [*COMMAND, "run", "-", "--no-voices", *options], cwd=folder, stdin=subprocess.PIPE,
            stdout=self.out, stderr=self.err, env=os.environ | world,
        )  # fmt: skip

    def feed(self, seconds: float, *, wait_for: Callable[[], bool] | None = None) -> None:
        assert self.child.stdin is not None
        for at in range(0, round(seconds * 32000), 3200):
            self.child.stdin.write(self.pcm[at : at + 3200])
            self.child.stdin.flush()
        deadline = time.monotonic() + 60
        while wait_for is not None and not wait_for():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def stop(self, number: int) -> int:
        self.child.send_signal(number)
        return self.child.wait(60)

    def close(self) -> None:
        self.child.kill()
        self.child.wait()
        assert self.child.stdin is not None
        with suppress(BrokenPipeError):
            self.child.stdin.close()
        self.err.close()
        self.out.close()


@pytest.fixture
def feeder(tmp_path: Path) -> Iterator[Callable[..., Feeder]]:
    made: list[Feeder] = []

    def make(*options: str, **world: str) -> Feeder:
        made.append(Feeder(tmp_path, *options, **world))
        return made[-1]

    yield make
    for each in made:
        each.close()


def _lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


@pytest.mark.parametrize("name", STOPS)
def test_text_comes_while_it_is_spoken(
    feeder: Callable[..., Feeder], tmp_path: Path, name: str
) -> None:
    """And a signal while the pipe is silent ends in all that was heard, and the exit code."""
    run = feeder()
    shown = tmp_path / "stdout.txt"

    run.feed(20.0, wait_for=lambda: _lines(shown) >= 4)
    before = shown.read_text()
    code = run.stop(getattr(signal, name))

    assert code == STOPS[name]
    text = shown.read_text()
    assert text.startswith(before)
    assert len(text) > len(before)
    assert (tmp_path / "err.txt").read_text() == (
        "echo-edge: interrupted: what was heard, 20.0 s, is written\n"
    )


@pytest.mark.parametrize("format_name", ["txt", "rttm", "ctm", "srt", "vtt", "json"])
@pytest.mark.parametrize("latency", ["2", "inf"])
def test_signal_leaves_what_the_end_would(
    feeder: Callable[..., Feeder], tmp_path: Path, format_name: str, latency: str
) -> None:
    """The same 8 s to their end: the file of the interrupted run is as that of the other."""
    options = ("--format", format_name, "--latency-s", latency)
    run = feeder(*options, "--out", "stopped")

    run.feed(8.0)
    time.sleep(0.3)  # a signal that comes before is still heard after all that is in the pipe
    code = run.stop(signal.SIGINT)

    heard_s = float((tmp_path / "err.txt").read_text().split()[-4])
    done = subprocess.run(
        [*COMMAND, "run", "-", "--no-voices", *options], input=run.pcm[: round(heard_s * 32000)],
        capture_output=True, check=True,
    )  # fmt: skip
    assert code == 130
    stopped, whole = (tmp_path / "stopped").read_text(), done.stdout.decode()
    if format_name == "json":
        stopped, whole = (str({**json.loads(t), "timing": None}) for t in (stopped, whole))
    assert stopped == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["err.txt", "stdout.txt", "stopped"]


def test_second_signal_ends_at_once() -> None:
    """Nobody reads the pipe: the first signal waits for a reader, the second does not."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, bytes(4096))
    os.set_blocking(writing, True)
    clip = find_bundle(None) / "selftest" / "labelled.flac"
    child = subprocess.Popen(
        [*COMMAND, "run", str(clip), "--no-voices", "--latency-s", "2"],
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    time.sleep(8.0)
    child.send_signal(signal.SIGINT)
    time.sleep(1.0)
    assert child.poll() is None
    child.send_signal(signal.SIGINT)

    assert child.wait(20) == 130
    assert child.stderr is not None
    assert child.stderr.read() == b"echo-edge: interrupted\n"
    child.stderr.close()
    os.close(reading)
    os.close(writing)


def test_killed_leaves_the_text_so_far(feeder: Callable[..., Feeder], tmp_path: Path) -> None:
    """Whole lines, in the file beside; the old file is as it was."""
    (tmp_path / "out.txt").write_text("old\n")
    run = feeder("--out", "out.txt")

    def partial() -> Path | None:
        return next(tmp_path.glob("out.txt.*.partial"), None)

    run.feed(20.0, wait_for=lambda: (p := partial()) is not None and _lines(p) >= 3)
    assert run.stop(signal.SIGKILL) == -9

    left = partial()
    assert left is not None
    assert left.read_text().endswith("\n")
    assert (tmp_path / "out.txt").read_text() == "old\n"


@pytest.mark.parametrize("live", [False, True])
def test_voices_of_an_interrupted_run_are_whole(tmp_path: Path, live: bool) -> None:
    clip = find_bundle(None) / "selftest" / "labelled.flac"
    options = ["--latency-s", "2"] if live else []
    child = subprocess.Popen(
        [*COMMAND, "run", str(clip), "--no-voices", "--separate", "v", "--out", "t.txt", *options],
        cwd=tmp_path, stderr=subprocess.PIPE,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not any(p.stat().st_size > 32000 for p in tmp_path.glob("v/*.partial")):
        assert time.monotonic() < deadline
        time.sleep(0.02)

    child.send_signal(signal.SIGTERM)

    assert child.wait(60) == 143
    assert child.stderr is not None
    assert b"interrupted" in child.stderr.read()
    child.stderr.close()
    wavs = sorted((tmp_path / "v").iterdir())
    assert wavs
    assert all(path.suffix == ".wav" for path in wavs)
    lengths = {soundfile.info(path).frames for path in wavs}
    assert len(lengths) == 1
    assert 16000 < lengths.pop() <= soundfile.info(clip).frames
    assert "speaker_1" in (tmp_path / "t.txt").read_text()


def test_signals_that_are_ignored_stay_ignored(tmp_path: Path) -> None:
    """As in the background of a script, or under nohup."""
    line = "trap '' INT HUP; exec echo-edge run - --out out.txt"
    words = " ".join(f"'{word}'" for word in COMMAND)
    child = subprocess.Popen(
        ["bash", "-c", line.replace("echo-edge", words)], cwd=tmp_path, stdin=subprocess.PIPE
    )
    assert child.stdin is not None
    child.stdin.write(np.zeros(16000, "<i2").tobytes())
    child.stdin.flush()
    time.sleep(2.0)
    child.send_signal(signal.SIGINT)
    child.send_signal(signal.SIGHUP)
    child.stdin.write(np.zeros(16000, "<i2").tobytes())
    child.stdin.close()

    assert child.wait(60) == 0
    assert (tmp_path / "out.txt").read_text() == "(no speech found)\n"
