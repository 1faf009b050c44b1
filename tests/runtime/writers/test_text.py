"""Text while a result grows: the same bytes, however it is cut into parts, as early as can be."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from echo_edge.result import END, Horizon, Result, Turn, Word
from echo_edge.session import Session
from echo_edge.writers.formats import FORMAT_NAMES, open_text

Spoken = Callable[..., NDArray[np.float32]]

STREAMED = [name for name in FORMAT_NAMES if name != "json"]


def _streamed(parts: list[Result], name: str) -> list[str]:
    text = open_text(name, "talk.wav")
    assert text is not None
    return [*(text.push(part) for part in parts), text.finish()]


def _whole(parts: list[Result], name: str) -> str:
    return "".join(_streamed([Result.joined(parts)], name))


times = st.floats(0, 30).flatmap(lambda t: st.tuples(st.just(t), st.floats(t, t + 5)))
speakers = st.sampled_from(["speaker_1", "speaker_2", "speaker_3"])
turns = st.builds(lambda t, s: Turn(*t, s, 0.5), times, speakers)
words = st.builds(lambda t, s: Word(*t, "w", s, 0.5), times, st.none() | speakers)


@st.composite
def grown(draw: st.DrawFn) -> list[Result]:
    """Any turns and words, in any order that their horizons allow."""
    said, spoken = draw(st.lists(words, max_size=12)), draw(st.lists(turns, max_size=8))
    n_parts = draw(st.integers(1, 6))
    of_word = [draw(st.integers(0, n_parts - 1)) for _ in said]
    of_turn = [draw(st.integers(0, n_parts - 1)) for _ in spoken]
    parts = []
    for n in range(n_parts):
        later = [w.start_s for w, part in zip(said, of_word, strict=True) if part > n]
        left = [t for t, part in zip(spoken, of_turn, strict=True) if part > n]
        horizon = Horizon(
            min(later, default=30.0),
            min((t.start_s for t in left), default=30.0),
            min((t.end_s for t in left), default=30.0),
        )
        parts.append(
            Result(
                tuple(t for t, part in zip(spoken, of_turn, strict=True) if part == n),
                tuple(w for w, part in zip(said, of_word, strict=True) if part == n),
                horizon=horizon,
            )
        )
    return parts


@pytest.mark.parametrize("name", STREAMED)
@given(parts=grown())
def test_any_parts_give_the_same_text(name: str, parts: list[Result]) -> None:
    assert "".join(_streamed(parts, name)) == _whole(parts, name)


@pytest.fixture
def talk(spoken: Spoken) -> NDArray[np.float32]:
    """Three people, one of whom says no word; two at once; pauses."""
    return spoken(
        [(1.6, (0,), 2), (0.4, (0,), 1), (1.2, (1,), 3), (2.0, (), 0), (1.6, (2,), 0),
         (0.8, (0, 1), 2), (0.6, (1,), 1), (0.8, (0,), 4), (3.0, (), 0), (0.8, (1,), 2)]
    )  # fmt: skip


@pytest.mark.parametrize("name", STREAMED)
def test_turns_that_end_together(name: str) -> None:
    """In the order of the whole text, whichever came first."""
    early, late = Turn(1.0, 2.0, "speaker_1", 0.5), Turn(0.0, 2.0, "speaker_2", 0.5)
    until = Horizon(words_s=30.0, turns_s=0.0, turn_ends_s=2.0)
    parts = [Result((early,), horizon=until), Result((late,), horizon=END)]

    assert "".join(_streamed(parts, name)) == _whole(parts, name)


@pytest.mark.parametrize("latency_s", [0.0, 0.4, 2.0, math.inf])
@pytest.mark.parametrize("form", ["plain", "exclusive"])
@pytest.mark.parametrize("block", [700, 16_000])
def test_streams_as_it_renders(
    fake_session: Session, talk: NDArray[np.float32], latency_s: float, form: str, block: int
) -> None:
    stream = fake_session.stream(latency_s)
    parts = [stream.push(talk[n : n + block]) for n in range(0, len(talk), block)]
    parts.append(stream.finish())
    parts = [part.exclusive() for part in parts] if form == "exclusive" else parts

    for name in STREAMED:
        pieces = _streamed(parts, name)
        assert "".join(pieces) == _whole(parts, name)
        early = "".join(pieces[:-2])
        assert bool(early) == (math.isfinite(latency_s) or name == "vtt"), pieces


@pytest.mark.parametrize("latency_s", [0.0, 0.4, 2.0])
@pytest.mark.parametrize("form", ["plain", "exclusive"])
def test_nothing_comes_before_the_horizon(
    fake_session: Session, talk: NDArray[np.float32], latency_s: float, form: str
) -> None:
    stream = fake_session.stream(latency_s)
    parts = [stream.push(talk[n : n + 4000]) for n in range(0, len(talk), 4000)]
    parts.append(stream.finish())
    parts = [part.exclusive() for part in parts] if form == "exclusive" else parts

    for n, part in enumerate(parts):
        for later in parts[n + 1 :]:
            assert all(word.start_s >= part.horizon.words_s for word in later.words)
            assert all(turn.start_s >= part.horizon.turns_s for turn in later.turns)
            assert all(turn.end_s >= part.horizon.turn_ends_s for turn in later.turns)
    assert parts[-1].horizon == END
    assert all(part.duration_s - part.horizon.words_s < 6.0 for part in parts[:-1])
