"""The page: well-formed, loads nothing, escapes what it shows, draws what it says."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo_edge.bench.report.compare import allowances, compare
from echo_edge.bench.report.html_page import page
from echo_edge.bench.report.svg import Axis, Series, lines, ratios, stacked_bars, ticks

VOID = {"meta"}


class Balanced(HTMLParser):
    """Fails on a tag that is not closed; keeps attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, _: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(html: str) -> Balanced:
    parser = Balanced()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser


def drawing(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314  # our own


def svgs(html: str) -> list[ElementTree.Element]:
    return [drawing(svg) for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]


def test_a_page_of_two_runs_and_their_comparison(make: Any) -> None:
    new = [make(rtf=0.25), make(threads=2)]
    html = page(new, compare(new, [make(), make(threads=2)], allowances([])))
    text = parsed(html).text
    assert "echo-edge bench: Pi 5" in text
    assert "comparison: FAILED" in text
    # latency, phases, threads, memory, temperature, clock, and one per compared pair
    assert len(svgs(html)) == 8
    assert html.count("<tr>") == 1 + 2 + 1


def test_nothing_is_loaded_from_anywhere(make: Any) -> None:
    html = page([make()])
    names = {name for name, _ in parsed(html).attributes}
    assert names & {"src", "href", "onload", "action"} == set()
    assert not re.search(r"https?://|url\(|@import|<script", html)
    assert "default-src 'none'" in html


def test_what_records_say_is_escaped(make: Any) -> None:
    board = {"model": "<img src=x> & 'Pi'"}
    record = make(board=board, bundle={"recipe": "a|b<script>"}, why=["<b>hot</b>"], valid=False)
    html = page([record])
    parser = parsed(html)
    assert "<img" not in html
    assert "<script" not in html
    assert "<img src=x> & 'Pi'" in parser.text
    assert "1 of 1 rows do not count: <b>hot</b>" in parser.text


def test_a_record_of_the_first_version_has_a_page(make: Any) -> None:
    record = make(reference=None, live=None, rss_mib_over_time=None, thermal={})
    assert len(svgs(page([record]))) == 2


def test_figures_next_to_nothing_do_not_break_the_plots(make: Any) -> None:
    look = {"t_s": 0, "hottest_c": 50, "clock_mhz": None}
    old = make(rtf=5e-324, thermal={"over_time": [look, look]})
    html = page([old], compare([make()], [old], allowances([])))
    assert len(svgs(html)) == 5


def test_what_differs_has_a_plot_and_is_in_the_names(make: Any) -> None:
    records = [make(threads=n, chunk_s=s) for n in (1, 2) for s in (0.16, 0.48)]
    html = page(records)
    text = parsed(html).text
    assert "Real-time factor by threads" in text
    assert "Real-time factor by length of a chunk" in text
    labels = {text.text for svg in svgs(html) for text in svg.iter("text")}
    assert {"float32, null, 160 ms, threads 1", "float32, null, 480 ms, threads 2"} <= labels
    assert "float32, null" in {
        text.text for svg in svgs(page([make()])) for text in svg.iter("text")
    }
    assert "Real-time factor" not in page([make()])


def test_the_heading_says_what_all_rows_share(make: Any) -> None:
    records = [make(valid=False, why=["hot", "too short: 1 s"]), make(valid=False, why=["hot"])]
    assert "2 of 2 rows do not count: hot; see below" in parsed(page(records)).text
    assert "2 of 3 rows do not count: hot; see" in parsed(page([*records, make()])).text


def test_threads_are_whole(make: Any) -> None:
    drawn = svgs(page([make(threads=1), make(threads=2)]))[2]
    numbers = [text.text for text in drawn.iter("text") if text.attrib["text-anchor"] == "middle"]
    assert numbers[:4] == ["0", "1", "2", "3"]


@given(
    st.floats(-1e9, 1e9, allow_nan=False, allow_subnormal=False),
    st.floats(1e-6, 1e9, allow_nan=False),
)
def test_ticks_are_few_even_and_cover(low: float, span: float) -> None:
    high = low + span
    if high - low < 1e-9 * abs(low):
        return
    found = ticks(low, high)
    steps = [after - before for before, after in pairwise(found)]
    assert 2 <= len(found) <= 8
    assert min(steps) > 0
    assert max(steps) == pytest.approx(min(steps), rel=1e-3)
    assert found[0] <= low + max(steps) * 1e-6
    assert found[-1] >= high - max(steps) * 1e-6


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (0, 0.05, [0, 0.01, 0.02, 0.03, 0.04, 0.05]),
        (3, 3, [3, 4]),
        (0, 11.9, [0, 2, 4, 6, 8, 10, 12]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_a_line_goes_from_corner_to_corner() -> None:
    drawn = drawing(lines([Series("a", [(0, 0), (5, 50), (10, 100)])], Axis("x"), Axis("y")))
    (line,) = drawn.iter("polyline")
    first, middle, last = [
        tuple(map(float, point.split(","))) for point in line.attrib["points"].split()
    ]
    assert first == (64, 256)
    assert last == (624, 12)
    assert middle == (344, 134)


def test_bars_are_as_long_as_their_values() -> None:
    rows = [("a", [("x", 1.0), ("y", 3.0)]), ("b", [("x", 2.0), ("y", 0.0)])]
    drawn = drawing(stacked_bars(rows, "ms"))
    widths = [float(bar.attrib["width"]) for bar in drawn.iter("rect")]
    assert widths[1] == pytest.approx(3 * widths[0], abs=0.2)
    assert widths[2] == pytest.approx(2 * widths[0], abs=0.2)
    assert widths[3] == 0
    assert "4.00 ms" in {text.text for text in drawn.iter("text")}


def test_ratios_have_their_limit() -> None:
    drawn = drawing(ratios([("rtf", 1.2, 1.1, "worse"), ("p50", 0.95, 1.1, "ok")]))
    worse, better = drawn.iter("circle")
    limits = [line for line in drawn.iter("line") if line.attrib["class"] == "limit"]
    assert float(worse.attrib["cx"]) > float(limits[0].attrib["x1"])
    assert float(better.attrib["cx"]) < float(limits[1].attrib["x1"])
    assert [dot.attrib["class"] for dot in (worse, better)] == ["worse", "ok"]


@pytest.mark.parametrize("points", [[(0.0, 0.0)], [(1.0, 5.0), (1.0, 5.0)], [(0.0, 1e-9)]])
def test_plots_of_next_to_nothing(points: list[tuple[float, float]]) -> None:
    drawing(lines([Series("a", points)], Axis("x"), Axis("y")))


def test_many_points_are_thinned_and_the_last_stays() -> None:
    drawn = drawing(lines([Series("a", [(n, n) for n in range(10_001)])], Axis("x"), Axis("y")))
    (line,) = drawn.iter("polyline")
    points = line.attrib["points"].split()
    assert len(points) <= 401
    assert points[-1] == "624.0,12.0"
