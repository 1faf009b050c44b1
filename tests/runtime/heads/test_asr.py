"""Best path to words, from posteriors made by hand."""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from echo_edge.frontend import Chunk
from echo_edge.heads.asr import AsrDecoder
from echo_edge.heads.ctc import BestPath
from echo_edge.result import Word
from tests.conftest import DECODING

Array = NDArray[np.float32]

TOKENS = ("<blank>", " ", "a", "b", "é")
CHARACTERS = {"-": 0, "_": 1, "a": 2, "b": 3, "e": 4}
FRAME_S = 0.02
NONE = np.zeros(0, np.float32)


class Posteriors:
    """In place of a graph: the latents are the log-posteriors."""

    def run(self, latents: Array) -> dict[str, Array]:
        return {"logprobs": latents}


def _decoder() -> AsrDecoder:
    search = BestPath(TOKENS, round(DECODING.word_silence_s / FRAME_S))
    return AsrDecoder(Posteriors(), "logprobs", search, FRAME_S)  # type: ignore[arg-type]


def _logprobs(frames: str, posteriors: Iterable[float] = ()) -> Array:
    """One character per frame: `-` the blank, `_` the space; the best one's posterior or 0.9."""
    best = [*posteriors] or [0.9] * len(frames)
    values = np.full((1, len(frames), len(TOKENS)), 1e-4, np.float32)
    for frame, character in enumerate(frames):
        values[0, frame, CHARACTERS[character]] = best[frame]
    return np.log(values)


def _chunk(latents: Array, end_s: float = 1000.0) -> Chunk:
    return Chunk(NONE, NONE, latents, NONE, NONE, NONE, latents.shape[1], end_s, NONE)


def _spell(frames: str, end_s: float = 1000.0) -> list[Word]:
    decoder = _decoder()
    return decoder.push(_chunk(_logprobs(frames), end_s)) + decoder.finish()


@pytest.mark.parametrize(
    ("frames", "texts"),
    [
        pytest.param("-a-b-", ["ab"], id="blanks"),
        pytest.param("ab", ["ab"], id="no blanks"),
        pytest.param("aaabbb", ["ab"], id="repeats"),
        pytest.param("aa-aa", ["aa"], id="the same again after a blank"),
        pytest.param("a_b", ["a", "b"], id="space"),
        pytest.param("a-__-b", ["a", "b"], id="long space"),
        pytest.param("a_a", ["a", "a"], id="the same again after a space"),
        pytest.param("_a_", ["a"], id="space first and last"),
        pytest.param("___", [], id="only spaces"),
        pytest.param("---", [], id="only blanks"),
        pytest.param("", [], id="nothing"),
        pytest.param("e-b", ["éb"], id="beyond ASCII"),
        pytest.param("a" + "-" * 39 + "b", ["ab"], id="short silence is within the word"),
        pytest.param("a" + "-" * 40 + "b", ["a", "b"], id="0.8 s of silence end it"),
        pytest.param("a" + "-" * 90 + "_" + "-" * 90 + "b", ["a", "b"], id="silence and a space"),
    ],
)
def test_texts(frames: str, texts: list[str]) -> None:
    assert [word.text for word in _spell(frames)] == texts


@pytest.mark.parametrize(
    ("frames", "spans"),
    [
        pytest.param("--a-bb--", [(2, 7 - 1)], id="from its first to its last character"),
        pytest.param("a", [(0, 1)], id="one frame"),
        pytest.param("aaa", [(0, 3)], id="repeats count"),
        pytest.param("a--_--bb", [(0, 1), (6, 8)], id="two"),
        pytest.param("-a" + "-" * 60 + "b", [(1, 2), (62, 63)], id="ended by silence"),
    ],
)
def test_times(frames: str, spans: list[tuple[int, int]]) -> None:
    times = [(word.start_s, word.end_s) for word in _spell(frames)]

    assert times == [pytest.approx((start * FRAME_S, end * FRAME_S)) for start, end in spans]


@pytest.mark.parametrize(
    ("frames", "posteriors", "confidence"),
    [
        pytest.param("a", [0.8], 0.8, id="one"),
        pytest.param("ab", [0.9, 0.4], 0.6, id="geometric mean"),
        pytest.param("a-b", [0.9, 0.5, 0.4], 0.6, id="blanks do not count"),
        pytest.param("aab", [0.9, 0.3, 0.4], 0.6, id="nor do repeats"),
        pytest.param("ab_", [0.9, 0.4, 0.3], 0.6, id="nor does the space"),
    ],
)
def test_confidence(frames: str, posteriors: list[float], confidence: float) -> None:
    decoder = _decoder()

    (word,) = decoder.push(_chunk(_logprobs(frames, posteriors))) + decoder.finish()

    assert word.confidence == pytest.approx(confidence, abs=1e-4)


def test_a_word_is_given_out_once_it_is_complete() -> None:
    decoder = _decoder()

    texts = [
        [word.text for word in decoder.push(_chunk(_logprobs(frames)))]
        for frames in ("ab", "-a", "_b", "-" * 39, "-", "a")
    ]

    assert texts == [[], [], ["aba"], [], ["b"], []]
    assert [word.text for word in decoder.finish()] == ["a"]
    assert decoder.finish() == []


@pytest.mark.parametrize(("end_s", "span"), [(0.07, (0.04, 0.07)), (0.03, (0.03, 0.03))])
def test_no_word_ends_after_the_audio(end_s: float, span: tuple[float, float]) -> None:
    (word,) = _spell("--aabb", end_s)

    assert (word.start_s, word.end_s) == pytest.approx(span)
    assert word.speaker is None


@given(frames=st.text("-_ab", max_size=80), cuts=st.lists(st.integers(0, 80), max_size=6))
def test_any_cutting_gives_the_same_words(frames: str, cuts: list[int]) -> None:
    decoder = _decoder()
    bounds = sorted({0, len(frames), *(cut for cut in cuts if cut < len(frames))})

    words = [
        word
        for start, end in pairwise(bounds)
        for word in decoder.push(_chunk(_logprobs(frames[start:end])))
    ] + decoder.finish()

    assert words == _spell(frames)
