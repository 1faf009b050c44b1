"""What a notebook shows of a result."""

import re
from xml.etree import ElementTree

import pytest

from echo_edge.result import Result, Speaker, Turn, Word
from echo_edge.writers.timeline import to_html

NAME = "<script>alert('\"&\"')</script>"
SVG = "{http://www.w3.org/2000/svg}"
TALK = Result(
    turns=(
        Turn(0.0, 30.0, "speaker_1", 0.9),
        Turn(15.0, 60.0, "speaker_2", 0.8),
        Turn(40.0, 45.0, "speaker_1", 0.8),
    ),
    words=(
        Word(1.0, 1.5, "<b>", "speaker_1", 0.9),
        Word(41.0, 42.0, "again", "speaker_1", 0.9),
        Word(16.0, 17.0, "yes", "speaker_2", 0.9),
    ),
    duration_s=60.0,
    speakers=(Speaker("speaker_1", None, 35.0), Speaker("speaker_2", NAME, 45.0)),
)


def _tree(result: Result) -> ElementTree.Element:
    return ElementTree.fromstring(to_html(result))  # noqa: S314 - ours


def test_a_bar_for_every_turn() -> None:
    bars = [
        (bar.get("x"), bar.get("width"), bar.findtext(f"{SVG}title"))
        for bar in _tree(TALK).iter(f"{SVG}rect")
    ]

    assert bars == [
        ("0.000%", "50.000%", "speaker_1 0.00 - 30.00 s <b>"),
        ("66.667%", "8.333%", "speaker_1 40.00 - 45.00 s again"),
        ("25.000%", "75.000%", f"{NAME} 15.00 - 60.00 s yes"),
    ]


def test_a_row_for_every_speaker() -> None:
    tree = _tree(TALK)

    assert tree.findtext(f"{SVG}title") == "Result of 60.0 s: 2 speakers, 3 turns, 3 words"
    texts = [each.text for each in tree.findall(f"{SVG}text")]
    assert texts[-2:] == ["speaker_1 · 35.0 s", f"{NAME} · 45.0 s"]
    assert len({bar.get("fill") for bar in tree.iter(f"{SVG}rect")}) == 2


def test_asks_for_nothing_outside_and_runs_nothing() -> None:
    text = TALK._repr_html_()

    assert re.findall(r"[a-z]+://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<script|<style|<image|href|src=|url\(|\son[a-z]+=", text)
    assert float(re.findall(r'font-size="(\d+)"', text)[0]) >= 12


@pytest.mark.parametrize(
    ("duration_s", "first", "last", "n"),
    [(0.5, "0:00", "0:00", 1), (7.0, "0:00", "0:06", 4), (3700.0, "0:00", "1:00:00", 5),
     (400_000.0, "0:00", "96:00:00", 5)],
)  # fmt: skip
def test_ticks(duration_s: float, first: str, last: str, n: int) -> None:
    result = Result((Turn(0.0, duration_s, "speaker_1", 1.0),), duration_s=duration_s)

    ticks = [each.text for each in _tree(result).findall(f"{SVG}text")][:-1]

    assert (ticks[0], ticks[-1], len(ticks)) == (first, last, n)


def test_nobody_spoke() -> None:
    assert to_html(Result(duration_s=3.0)) == "<p>Result of 3.0 s: 0 speakers, 0 turns, 0 words</p>"


def test_short_repr() -> None:
    assert repr(TALK) == "<Result of 60.0 s: 2 speakers, 3 turns, 3 words>"
    one = Result(TALK.turns[:1], TALK.words[:1], 1.0, TALK.speakers[:1])
    assert repr(one) == "<Result of 1.0 s: 1 speaker, 1 turn, 1 word>"
