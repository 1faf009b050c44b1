"""Where in a recording one speaker is heard alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo_edge.errors import AudioError, UsageError
from echo_edge.recorder.voice_samples import MAX_S, MIN_S, Span, SpeakerSpan, clean_speech

SECOND = 16000


def _turn(start_s: float, end_s: float, speaker: str) -> SpeakerSpan:
    return SpeakerSpan(start_s, end_s, speaker)


def _seconds(spans: list[Span]) -> list[tuple[float, float]]:
    return [(start / SECOND, end / SECOND) for start, end in spans]


@pytest.mark.parametrize(
    ("turns", "spans"),
    [
        pytest.param([_turn(1, 4, "a")], [(1, 4)], id="one turn"),
        pytest.param([_turn(5, 7, "a"), _turn(1, 4, "a")], [(1, 4), (5, 7)], id="in order"),
        pytest.param([_turn(1, 4, "a"), _turn(3, 6, "b")], [(1, 3)], id="the end overlaps"),
        pytest.param([_turn(1, 4, "a"), _turn(0, 2, "b")], [(2, 4)], id="the start overlaps"),
        pytest.param([_turn(1, 9, "a"), _turn(4, 6, "b")], [(1, 4), (6, 9)], id="the middle"),
        pytest.param([_turn(1, 4, "a"), _turn(4, 6, "b")], [(1, 4)], id="they touch"),
        pytest.param([_turn(1, 2, "a"), _turn(5, 5.5, "a")], [(1, 2)], id="too short"),
        pytest.param(
            [_turn(0, 60, "a"), _turn(70, 150, "a")], [(0, 10), (70, 150)], id="enough is enough"
        ),
    ],
)
def test_clean_speech(turns: list[SpeakerSpan], spans: list[tuple[float, float]]) -> None:
    assert _seconds(clean_speech(turns, "a", "x.json")) == spans


def test_never_alone() -> None:
    turns = [_turn(0, 4, "a"), _turn(0.5, 3.5, "b")]

    with pytest.raises(AudioError, match=r"x.json: found no second in which a speaks alone"):
        clean_speech(turns, "a", "x.json")


def test_not_there() -> None:
    with pytest.raises(UsageError, match=r"found no speaker 'c', expected one of: a, b"):
        clean_speech([_turn(0, 4, "b"), _turn(5, 6, "a")], "c", "x.json")


@given(
    st.lists(
        st.tuples(st.integers(0, 200), st.integers(0, 60), st.sampled_from("abc")), max_size=30
    )
)
def test_what_always_holds(rows: list[tuple[int, int, str]]) -> None:
    """In order, long enough, not too much, where the speaker and nobody else has a turn."""
    turns = [_turn(start, start + length, speaker) for start, length, speaker in rows]
    try:
        spans = clean_speech(turns, "a", "x.json")
    except (AudioError, UsageError):
        return
    heard = {label: np.zeros(300, bool) for label in "abc"}
    for turn in turns:
        heard[turn.speaker][int(turn.start_s) : int(turn.end_s)] = True

    assert spans == sorted(spans)
    assert sum(end - start for start, end in spans) <= MAX_S * SECOND
    for start, end in _seconds(spans):
        assert end - start >= MIN_S
        part = slice(int(start), int(np.ceil(end)))
        assert heard["a"][part].all()
        assert not (heard["b"] | heard["c"])[part].any()
