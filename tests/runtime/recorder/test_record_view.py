"""What the recorder shows and hears from outside."""

import io
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from echo_edge.errors import EchoError
from echo_edge.recorder import controls
from echo_edge.recorder.messages import (
    Event,
    SpeakerName,
    Tentative,
    WordGroup,
)
from echo_edge.recorder.view import JsonView, Status, TerminalView, WordGroups, clock, meter
from echo_edge.result import Turn, Word


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _word(start_s: float, text: str, speaker: str | None = "speaker_1") -> Word:
    return Word(start_s, start_s + 0.3, text, speaker, 0.9)


def test_words_become_lines() -> None:
    groups = WordGroups()
    said = [_word(0.0, "good"), _word(0.4, "morning"), _word(0.8, "hello", "speaker_2")]

    out = [line for word in said if (line := groups.add(word))]
    early, late = groups.take_before(1.0), groups.take_before(2.0)

    assert [(line.speaker, line.text) for line in out] == [("speaker_1", "good morning")]
    assert early is None
    assert late is not None
    assert (late.start_s, late.end_s, late.text) == (0.8, pytest.approx(1.1), "hello")
    assert groups.take() is None


def test_the_terminal_shows_transcript_and_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    out = Terminal()
    view = TerminalView(out)

    view.show(Turn(0.0, 12.3, "speaker_1", 0.9))
    view.show(WordGroup(61.0, 62.0, None, "good\x1b[2Jmorning"))
    view.status(Status(3725.0, 1.25, 0.1, False, None))
    view.status(Status(3725.0, 1.25, 0.0, True, "pulse: gone"))
    view.show(Event("device lost", 5.0, "x", {"reason": "pulse: gone"}))
    view.close()

    *_, drawn, paused, lost, last = out.getvalue().split("\r\x1b[K")
    assert "[00:01:01] ?: good [2Jmorning\n" in out.getvalue()
    assert drawn == "rec 01:02:05 ###########..... -20 dB lag 1.2 s  speaker_1 12 s"
    assert paused == "paused 01:02:05 ................ -60 dB lag 1.2 s  pulse: gone"
    assert lost == "[00:00:05] (device lost: reason pulse: gone)\n"
    assert last == ""


def test_the_terminal_shows_what_is_being_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = Terminal()
    view = TerminalView(out)
    first = _word(0.0, "yes", "speaker_2")
    coming = [_word(1.0, text) for text in ("good", "morn")]

    view.show(SpeakerName("speaker_1", "Ada"))
    for words in ([first, *coming], [first, *coming * 9], []):
        view.show(Tentative((), tuple(words)))
        view.status(Status(3725.0, 1.25, 0.1, False, None))

    _, short, long, nothing = out.getvalue().split("\r\x1b[K")
    assert short == "rec 01:02:05 ###########..... -20 dB lag 1.2 s  Ada: good morn…"
    assert long.endswith("Ada: …morn good morn good morn…")
    assert len(long) == 79
    assert "Ada" not in nothing


def test_a_pipe_gets_the_transcript_only() -> None:
    out = io.StringIO()
    view = TerminalView(out)

    view.show(WordGroup(1.0, 2.0, "speaker_1", "good"))
    view.status(Status(1.0, 0.0, 0.5, False, None))
    view.close()

    assert out.getvalue() == "[00:00:01] speaker_1: good\n"


def test_json_for_programs() -> None:
    out = io.StringIO()
    view = JsonView(out)

    view.show(WordGroup(0.0, 1.0, None, "grüß\n"))
    view.status(Status(1.0, 0.0, 0.5, False, None))

    assert json.loads(out.getvalue()) == {
        "type": "words", "start_s": 0.0, "end_s": 1.0, "speaker": None, "text": "grüß\n",
    }  # fmt: skip
    assert out.getvalue().count("\n") == 1


@pytest.mark.parametrize("asked", [False, True])
def test_json_of_what_is_not_final_is_asked_for(asked: bool) -> None:
    out = io.StringIO()

    JsonView(out, tentative=asked).show(Tentative())

    assert bool(out.getvalue()) == asked


@pytest.mark.parametrize("make", [JsonView, TerminalView])
def test_a_reader_that_has_gone_stops_nothing(make: type) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as out:
        view = make(out)
        for _ in range(3):
            view.show(WordGroup(0.0, 1.0, None, "x" * 10_000))
        view.close()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)  # what is left in the buffer


def test_clock_and_meter() -> None:
    assert [clock(0.0), clock(59.9), clock(360_000.0)] == ["00:00:00", "00:00:59", "100:00:00"]
    assert [meter(0.0)[:16], meter(1.0)] == ["." * 16, "#" * 16 + "   0 dB"]


@pytest.mark.parametrize("ignored", [False, True], ids=["SIGINT", "SIGINT ignored"])
def test_signals(ignored: bool) -> None:
    """Whoever runs the tests may ignore SIGINT: a shell does in the background."""
    before = signal.getsignal(signal.SIGTERM)
    outside = signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        with controls.Controls(keys=False) as control:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert control.paused
            os.kill(os.getpid(), signal.SIGUSR2)
            assert not control.paused
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            assert control.n_stops == (1 if ignored else 2)
    finally:
        signal.signal(signal.SIGINT, outside)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_request_to_delete(tmp_path: Path) -> None:
    def answer() -> None:
        while not controls.requested_delete_min(tmp_path):
            time.sleep(0.01)
        asked.append(controls.requested_delete_min(tmp_path))
        controls.answer_delete(tmp_path)

    asked: list[float] = []
    recorder = threading.Thread(target=answer)
    recorder.start()
    controls.request_delete(tmp_path, 2.5)
    recorder.join()

    assert asked == [2.5]
    assert list(tmp_path.iterdir()) == []


def test_a_request_that_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(EchoError, match="did not answer"):
        controls.request_delete(tmp_path, 1.0, timeout_s=0.1)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "x", "-3", "nan nan"])
def test_a_request_of_nonsense_deletes_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / controls.DELETE_REQUEST).write_text(text)

    assert controls.requested_delete_min(tmp_path) == 0.0


@pytest.mark.parametrize("make", [JsonView, TerminalView])
def test_a_reader_that_sleeps_stops_nothing(make: type) -> None:
    """A pipe that nobody empties, as under `| less`: all comes once somebody reads, in order."""
    reading, writing = os.pipe()
    texts = [f"{n:03}" for n in range(999)]
    with os.fdopen(writing, "w") as out, os.fdopen(reading) as reader:
        view = make(out)
        for text in texts:
            view.show(WordGroup(0.0, 1.0, None, text + "x" * 400))
            view.status(Status(1.0, 0.0, 0.5, False, None))
        slow = threading.Thread(target=view.close)
        slow.start()
        found = [reader.readline() for _ in texts]
        slow.join()

    assert [f"{n:03}x" in line for n, line in enumerate(found)] == [True] * 999
