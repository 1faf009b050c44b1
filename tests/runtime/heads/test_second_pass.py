"""Two passes over a pretended encoder: what is read again, when, and what is refused."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from echo_edge.frontend import Chunk
from echo_edge.heads.asr import AsrDecoder
from echo_edge.heads.ctc import BestPath
from echo_edge.heads.second_pass import SecondPass
from echo_edge.heads.text_decoder import TextDecoder, TextWord
from echo_edge.result import Word
from tests.conftest import DECODING

TOKENS = ("<blank>", " ", "'", *"abcdefghijklmnopqrstuvwxyz")
STEP_S, CHUNK_STEPS, PER_STEP = 0.04, 5, 2
SURE = math.log(0.9)

NONE = np.zeros(0, np.float32)


class Graph:
    """An asr graph whose latents are log-posteriors."""

    def run(self, latents: np.ndarray) -> dict[str, np.ndarray]:
        return {"logprobs": latents}


class Reader(TextDecoder):
    """A second pass that says what it is told, and remembers what it was asked."""

    def __init__(self, say: Callable[[int], list[str] | None], max_steps: int = 100) -> None:
        self.say, self.max_steps = say, max_steps
        self.asked: list[np.ndarray] = []

    def read(self, latents: np.ndarray) -> list[TextWord] | None:
        assert 0 < len(latents) <= self.max_steps
        self.asked.append(latents)
        words = self.say(len(self.asked) - 1)
        return None if words is None else [TextWord(word, 0.75) for word in words]


def frames(text: str, *, seconds: float) -> np.ndarray:
    """Log-posteriors of a text, four frames a character, then blanks until `seconds`."""
    n_frames = round(seconds / STEP_S) * PER_STEP
    said = np.zeros(n_frames, np.intp)
    for i, character in enumerate(text):
        said[4 * i + 10 : 4 * i + 12] = TOKENS.index(character)
    rows = np.full((n_frames, len(TOKENS)), math.log(0.1 / (len(TOKENS) - 1)), np.float32)
    rows[np.arange(n_frames), said] = SURE
    return rows


def chunks(logprobs: np.ndarray) -> Sequence[Chunk]:
    size = CHUNK_STEPS * PER_STEP
    made = []
    for start in range(0, len(logprobs) // size * size, size):
        end_s = (start + size) / PER_STEP * STEP_S
        steps = np.arange(start // PER_STEP, start // PER_STEP + CHUNK_STEPS, dtype=np.float32)
        latents = np.repeat(steps[None, :, None], 2, 2)
        part = logprobs[None, start : start + size]
        made.append(Chunk(NONE, NONE, part, NONE, NONE, NONE, CHUNK_STEPS, end_s, latents))
    return made


def transcriber(
    reader: Reader, speech: Callable[[], tuple[int, np.ndarray]] | None = None, **rules: float
) -> SecondPass:
    """By default every step up to now is known, and nobody speaks beyond the words."""
    decoding = replace(DECODING, **{f"second_pass_{name}": value for name, value in rules.items()})
    frame_s = STEP_S / PER_STEP
    first = AsrDecoder(Graph(), "logprobs", BestPath(TOKENS, round(0.8 / frame_s)), frame_s)
    heard = speech or (lambda: (round(first.end_s / STEP_S) - 250, np.zeros(250, np.float32)))
    return SecondPass(first, reader, heard, TOKENS, STEP_S, decoding)


def texts(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)


def run(second: SecondPass, logprobs: np.ndarray) -> list[Word]:
    found: list[Word] = []
    for chunk in chunks(logprobs):
        before_s = second.next_s
        new = second.push(chunk)
        assert all(word.start_s >= before_s - 1e-6 for word in new)
        found += new
    found += second.finish()
    assert [w.start_s for w in found] == sorted(w.start_s for w in found)
    assert all(word.end_s <= logprobs.shape[0] * STEP_S / PER_STEP for word in found)
    return found


def test_a_stretch_is_read_when_it_ends() -> None:
    reader = Reader(lambda _: ["Helo,", "world."])
    second = transcriber(reader)
    given = chunks(frames("helo wrld", seconds=4))
    tentative, when = [], None
    for chunk in given:
        words = second.push(chunk)
        tentative.append(texts(second.peek()))
        if words:
            assert when is None
            when = chunk.end_s
            assert texts(words) == "Helo, world."
            assert words[0].start_s == pytest.approx(0.2, abs=0.05)
            assert words[1].start_s == pytest.approx(0.6, abs=0.05)
            assert {word.confidence for word in words} == {0.75}
    assert "helo wrld" in tentative
    assert when == pytest.approx(0.9 + 0.8, abs=0.25)
    assert second.finish() == []
    assert len(reader.asked) == 1
    # Of latents 0.2 s before the first word and 0.4 s after the last.
    assert reader.asked[0][0, 0] == 0
    assert reader.asked[0][-1, 0] == pytest.approx((0.9 + 0.4) / STEP_S, abs=3)


def test_a_text_that_was_not_said_is_refused() -> None:
    for invented in (["thank", "you", "for", "watching"], [], None, ["helo"] * 40):
        reader = Reader(lambda _, invented=invented: invented)
        assert texts(run(transcriber(reader), frames("helo wrld", seconds=3))) == "helo wrld"
        assert len(reader.asked) == 1


def test_nobody_speaks_and_nothing_is_read() -> None:
    reader = Reader(lambda _: ["thank", "you"])

    assert run(transcriber(reader), frames("", seconds=20)) == []
    assert reader.asked == []


def test_long_speech_is_read_in_parts() -> None:
    text = " ".join(["abc"] * 60)
    reader = Reader(lambda _: None, max_steps=100)
    second = transcriber(reader)

    words = run(second, frames(text, seconds=24))

    assert texts(words) == text
    assert len(reader.asked) >= 6
    assert len(second._latents) < 150


def test_memory_does_not_grow_in_silence() -> None:
    second = transcriber(Reader(lambda _: None))
    for chunk in chunks(frames("a", seconds=60)):
        second.push(chunk)
    assert len(second._latents) < 60


def test_numbers_lie_between_their_neighbours() -> None:
    reader = Reader(lambda _: ["at", "10", "o'clock"])
    words = run(transcriber(reader, max_loss=5.0), frames("at ten oclock", seconds=3))

    assert texts(words) == "at 10 o'clock"
    at, ten, clock = words
    assert at.end_s <= ten.start_s < ten.end_s <= clock.start_s


def test_a_stretch_is_as_long_as_somebody_speaks() -> None:
    """The first pass heard the words between one and two seconds only."""
    logprobs = frames("", seconds=6)
    logprobs[PER_STEP * 25 : PER_STEP * 50] = frames("helo", seconds=1)
    spoken = np.zeros(250, np.float32)
    spoken[10:80] = 1.0
    reader = Reader(lambda _: None)

    assert texts(run(transcriber(reader, lambda: (0, spoken)), logprobs)) == "helo"

    (asked,) = reader.asked
    assert [asked[0, 0], asked[-1, 0]] == [5, 89]


def test_what_a_later_window_says_of_speech_counts() -> None:
    spoken = np.zeros(250, np.float32)
    second = transcriber(Reader(lambda _: None), lambda: (-3, spoken))
    second.push(chunks(frames("a", seconds=2))[0])
    assert not second._active.any()
    spoken[3:6] = 0.9
    second.push(chunks(frames("a", seconds=2))[1])
    assert np.flatnonzero(second._active).tolist() == [0, 1, 2]


def test_memory_does_not_grow_where_sounds_are_taken_for_speech() -> None:
    second = transcriber(Reader(lambda _: None), lambda: (0, np.ones(5000, np.float32)))
    for chunk in chunks(frames("", seconds=60)):
        assert second.push(chunk) == []
        assert len(second._latents) < 100
        assert chunk.end_s - second.next_s < 4.0


def test_audio_that_is_pushed_at_once_is_read_alike() -> None:
    """A chunk may know that the audio goes on; nothing is said there yet."""
    given = chunks(frames("helo wrld", seconds=4))
    found, asked = [], []
    for end_s in (None, 4.0):
        reader = Reader(lambda _: ["Helo,", "world."])
        second = transcriber(reader, lambda: (-250, np.zeros(250, np.float32)))
        words = [second.push(replace(chunk, end_s=end_s or chunk.end_s)) for chunk in given]
        found.append([*words, second.finish()])
        asked.append([latents.tolist() for latents in reader.asked])

    assert found[0] == found[1]
    assert asked[0] == asked[1]
