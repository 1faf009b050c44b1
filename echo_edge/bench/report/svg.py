"""Plots as inline SVG: lines, stacked bars and ratios. Knows nothing of what is plotted.

Colours are classes (`c0` to `c7`) and everything else inherits, so that the page's style sheet
decides, light or dark. All text is escaped here.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 12, 44
N_COLOURS = 8
ROW = 26
"""Height of one bar with the space around it."""
LABEL = 280
"""Width of the labels left of bars."""
MAX_LABEL = 42
MAX_POINTS = 400
MIN_SPAN = 1e-9
"""Values that differ by less are drawn as equal."""


@dataclass(frozen=True)
class Series:
    """One line: points in the order of x."""

    label: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False
    markers: bool = False
    colour: int = 0


@dataclass(frozen=True)
class Axis:
    """One direction of a plot: its label, and the range that it covers at least."""

    label: str
    low: float = 0.0
    high: float = 0.0
    min_step: float = 0.0
    """From tick to tick: 1 for what is counted."""


def ticks(low: float, high: float, max_ticks: int = 6, min_step: float = 0.0) -> list[float]:
    """Round numbers from at most `low` to at least `high`, no more than `max_ticks` + 2, at least
    `min_step` apart."""
    span = high - low
    if not span > MIN_SPAN:
        return [low, low + 1.0]
    magnitude = 10.0 ** math.floor(math.log10(span / max_ticks))
    multiples = (m * magnitude for m in (1, 2, 2.5, 5, 10, 20))
    step = next(each for each in multiples if span / each <= max_ticks)
    step = max(step, min_step)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def lines(series: Sequence[Series], x_axis: Axis, y_axis: Axis) -> str:
    """Lines over two axes with a grid."""
    points = [point for each in series for point in each.points]
    x_ticks = ticks(*_range([x for x, _ in points], x_axis), min_step=x_axis.min_step)
    y_ticks = ticks(*_range([y for _, y in points], y_axis))

    def at(x: float, y: float) -> tuple[float, float]:
        right, up = (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]), y - y_ticks[0]
        return (
            LEFT + right * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - up / (y_ticks[-1] - y_ticks[0]) * (HEIGHT - TOP - BOTTOM),
        )

    parts = [*_grid(at, x_ticks, y_ticks), *_axis_labels(x_axis, y_axis)]
    for each in series:
        parts += _line(each, [at(x, y) for x, y in _thinned(each.points)])
    return _svg(HEIGHT, parts, f"{y_axis.label} over {x_axis.label}")


def _range(values: Sequence[float], axis: Axis) -> tuple[float, float]:
    return min(axis.low, *values), max(axis.high, *values)


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """No more than a screen shows, always with the last."""
    stride = math.ceil(len(points) / MAX_POINTS)
    return [*points[:-1:stride], points[-1]]


def _line(series: Series, at: Sequence[tuple[float, float]]) -> Iterator[str]:
    colour, dashes = f"c{series.colour % N_COLOURS}", ' stroke-dasharray="5 4"' * series.dashed
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    title = f"<title>{escape(series.label)}</title>"
    yield f'<polyline class="line {colour}"{dashes} points="{path}">{title}</polyline>'
    if series.markers:
        for x, y in at:
            yield f'<circle class="dot {colour}" cx="{x:.1f}" cy="{y:.1f}" r="4">{title}</circle>'


def _grid(
    at: Callable[[float, float], tuple[float, float]],
    x_ticks: Sequence[float],
    y_ticks: Sequence[float],
) -> Iterator[str]:
    bottom, top = HEIGHT - BOTTOM, TOP
    for x in x_ticks:
        across, _ = at(x, y_ticks[0])
        yield _rule(across, top, across, bottom)
        yield _text(across, bottom + 16, _number(x), "middle")
    for y in y_ticks:
        _, up = at(x_ticks[0], y)
        yield _rule(LEFT, up, WIDTH - RIGHT, up)
        yield _text(LEFT - 6, up + 4, _number(y), "end")


def _axis_labels(x_axis: Axis, y_axis: Axis) -> Iterator[str]:
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_axis.label, "middle")
    middle = (TOP + HEIGHT - BOTTOM) / 2
    yield (
        f'<text transform="translate(14 {middle:.0f}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_axis.label)}</text>"
    )


def stacked_bars(rows: Sequence[tuple[str, Sequence[tuple[str, float]]]], unit: str) -> str:
    """One bar per row, made of named parts in the same order and colours everywhere."""
    longest = max(sum(value for _, value in parts) for _, parts in rows)
    across = (WIDTH - LABEL - 70) / longest if longest > 0 else 0.0
    drawn = []
    for index, (label, parts) in enumerate(rows):
        top, x = index * ROW, float(LABEL)
        drawn.append(_row_label(label, top))
        for colour, (name, value) in enumerate(parts):
            title = f"<title>{escape(name)}: {value:.2f} {escape(unit)}</title>"
            drawn.append(
                f'<rect class="bar c{colour % N_COLOURS}" x="{x:.1f}" y="{top + 4}" '
                f'width="{value * across:.1f}" height="{ROW - 8}">{title}</rect>'
            )
            x += value * across
        total = sum(value for _, value in parts)
        drawn.append(_text(x + 6, top + ROW / 2 + 4, f"{total:.2f} {unit}", "start"))
    return _svg(len(rows) * ROW + 4, drawn, f"{unit}, stacked")


def ratios(rows: Sequence[tuple[str, float, float, str]]) -> str:
    """One dot per row: label, ratio, the ratio that is still allowed, class of the dot."""
    values = [value for _, ratio, allowed, _ in rows for value in (ratio, allowed)]
    x_ticks = ticks(min(0.9, *values), max(1.1, *values))
    bottom = len(rows) * ROW + 4

    def at(ratio: float) -> float:
        return LABEL + (ratio - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]) * (WIDTH - LABEL - RIGHT)

    drawn = []
    for tick in x_ticks:
        drawn += [
            _rule(at(tick), 0, at(tick), bottom),
            _text(at(tick), bottom + 16, _number(tick), "middle"),
        ]
    drawn.append(f'<line class="one" x1="{at(1):.1f}" y1="0" x2="{at(1):.1f}" y2="{bottom}"/>')
    for index, (label, ratio, allowed, kind) in enumerate(rows):
        middle = index * ROW + ROW / 2
        drawn += [
            _row_label(label, index * ROW),
            f'<line class="limit" x1="{at(allowed):.1f}" y1="{middle - 8}" '
            f'x2="{at(allowed):.1f}" y2="{middle + 8}"><title>allowed</title></line>',
            f'<circle class="{kind}" cx="{at(ratio):.1f}" cy="{middle}" r="5">'
            f"<title>{escape(label)}: {ratio:.3f}</title></circle>",
        ]
    return _svg(bottom + 24, drawn, "new / old")


def _row_label(label: str, top: float) -> str:
    short = label if len(label) <= MAX_LABEL else f"{label[: MAX_LABEL - 1]}…"
    return _text(LABEL - 8, top + ROW / 2 + 4, short, "end")


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _number(value: float) -> str:
    return f"{value:g}"


def _svg(height: float, parts: Sequence[str], label: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )
