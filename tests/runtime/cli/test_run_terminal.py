"""`run` as people see it: text while it is spoken, one line under it, and a last one in the end."""

import re
import signal
import sys
from pathlib import Path

import pytest
import soundfile

from echo_edge.bundle.find import find_bundle
from echo_edge.cli import progress
from echo_edge.result import Word
from tests.runtime.cli.processes import COMMAND
from tests.runtime.cli.terminal import Terminal

CLIP = find_bundle(None) / "selftest" / "labelled.flac"
LINE = r"\[00:00:\d\d\.\d - 00:00:\d\d\.\d\] speaker_\d: [a-z' ]+"


def _beginning(path: Path, seconds: float) -> Path:
    samples, rate = soundfile.read(CLIP, frames=round(16000 * seconds), dtype="int16")
    soundfile.write(path, samples, rate)
    return path


def test_pipe_and_ctrl_c(tmp_path: Path) -> None:
    """Words stand on the last line first, then on one of their own; Ctrl-C keeps them all."""
    pcm = soundfile.read(CLIP, dtype="int16")[0].tobytes()
    with Terminal([*COMMAND, "run", "-", "--no-voices"], tmp_path, pipe=True) as terminal:
        assert terminal.child.stdin is not None
        terminal.child.stdin.write(pcm[: 32000 * 12])
        terminal.child.stdin.flush()
        terminal.read(until=lambda: any("0:12" in line for line in terminal.drawn))
        before = terminal.screen
        terminal.child.send_signal(signal.SIGINT)
        assert terminal.end() == 130

    *text, interrupted, summary = terminal.screen
    assert before[:-1] == text[: len(before) - 1] != []
    assert all(re.fullmatch(LINE, line) for line in text)
    assert interrupted == "echo-edge: interrupted: what was heard, 12.0 s, is written"
    assert re.fullmatch(r"echo-edge: 0:12 of audio, \d speakers?, [\d.]+ x real time", summary)
    first_words = text[0].partition(": ")[2].split()[:3]
    assert any(" ".join(first_words) in line for line in terminal.drawn)
    assert all(len(line) < 80 for line in terminal.drawn)


def test_file(tmp_path: Path) -> None:
    """A bar with the time left, text before the end, and what was written."""
    _beginning(tmp_path / "a.wav", 25.0)
    words = [*COMMAND, "run", "a.wav", "--no-voices", "--out", "a.srt"]
    with Terminal(words, tmp_path) as terminal:
        terminal.read(until=lambda: any("100%" in line for line in terminal.drawn))
        assert terminal.end() == 0

    assert re.search(
        r"\[#+\.+\]  \d\d%  [\d.]+ x real time  0:\d\d left  \S+", "\n".join(terminal.drawn)
    )
    (summary,) = terminal.screen
    assert re.fullmatch(
        r"echo-edge: 0:25 of audio, \d speakers?, [\d.]+ x real time; written: a.srt", summary
    )


def test_text_of_a_file_comes_while_it_is_heard(tmp_path: Path) -> None:
    _beginning(tmp_path / "a.wav", 25.0)
    with Terminal([*COMMAND, "run", "a.wav", "--no-voices"], tmp_path) as terminal:
        terminal.read(until=lambda: "speaker_1: " in "\n".join(terminal.screen[:-1]))
        assert not any("100%" in line for line in terminal.drawn)
        assert terminal.end() == 0


MIC = """
import sys
from echo_edge import cli
from echo_edge.recorder.capture import FileInput
import echo_edge.cli.run as run
run.Microphone = lambda device, channel: FileInput(sys.argv[1], 4.0)
sys.exit(cli.main(["run", "--mic", "--no-voices", *sys.argv[2:]]))
"""


@pytest.mark.parametrize("options", [[], ["--out", "a.txt"]], ids=["screen", "file"])
def test_microphone(tmp_path: Path, options: list[str]) -> None:
    """As a pipe, but Ctrl-C is its end: exit code 0, and not a word of an interruption."""
    words = [sys.executable, "-c", MIC, str(CLIP), *options]
    with Terminal(words, tmp_path) as terminal:
        terminal.read(until=lambda: any(line.startswith("0:10") for line in terminal.drawn))
        terminal.child.send_signal(signal.SIGINT)
        assert terminal.end() == 0

    *text, summary = terminal.screen
    assert any(line.startswith(f"listening to {CLIP}"[:70]) for line in terminal.drawn)
    assert re.match(r"echo-edge: 0:\d\d of audio, \d speakers?, ", summary)
    if options:
        assert summary.endswith("; written: a.txt")
        text = (tmp_path / "a.txt").read_text().splitlines()
    assert text
    assert all(re.fullmatch(LINE, line) for line in text)


@pytest.mark.parametrize(
    ("words", "room", "shown"),
    [
        pytest.param([], 40, "", id="nothing"),
        pytest.param([("a", "good"), ("b", "so")], 40, "Bo: so…", id="who speaks now, by name"),
        pytest.param([("a", "good"), (None, "so")], 40, "a: good so…", id="nobody's yet"),
        pytest.param([(None, "so")], 40, "so…", id="nobody's at all"),
        pytest.param([("a", "one two three")], 12, "a: …o three…", id="its end"),
        pytest.param([("a", "one two three")], 9, "", id="no room"),
    ],
)
def test_spoken_now(words: list[tuple[str | None, str]], room: int, shown: str) -> None:
    made = [Word(0.0, 1.0, text, speaker, 1.0) for speaker, text in words]

    found = progress.spoken_now(made, {"b": "Bo"}, room)

    assert found == shown
    assert len(found) <= room


@pytest.mark.parametrize(
    ("share", "wall_s", "heard_s", "line"),
    [
        pytest.param(0.0, 0.0, 0.0, "[............]   0%", id="begin"),
        pytest.param(
            0.25, 2.0, 30.0, "[###.........]  25%  15 x real time  0:06 left", id="quarter"
        ),
        pytest.param(
            0.01, 60.0, 90.0, "[............]   1%  1.5 x real time  1:39:00 left", id="hours"
        ),
        pytest.param(
            1.2, 2.0, 30.0, "[############] 100%  15 x real time  0:00 left", id="longer than told"
        ),
    ],
)
def test_bar(share: float, wall_s: float, heard_s: float, line: str) -> None:
    assert progress.bar(share, wall_s, heard_s) == line
