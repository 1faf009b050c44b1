"""A result as a timeline in HTML: a row per speaker, one SVG that asks for nothing outside.

Places are percentages of the width and texts have a size of their own, so it can be read on a
phone; text takes the colour of the page, dark or light.
"""

from collections.abc import Iterator
from html import escape

from echo_edge.result import Result, Turn

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
"""Of the speakers in turn: told apart by the colour-blind too (Okabe and Ito)."""
ROW_PX, BAR_PX, TEXT_PX = 40, 16, 12
TICKS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
MAX_TICKS = 6
MAX_TITLE = 300
"""Characters of a turn's words that are shown when it is pointed at."""


def to_html(result: Result) -> str:
    """An SVG of the turns; a line of text where there are none."""
    summary = escape(repr(result)[1:-1])
    if not result.turns or not result.duration_s:
        return f"<p>{summary}</p>"
    speakers = list(
        dict.fromkeys([*(x.id for x in result.speakers), *(t.speaker for t in result.turns)])
    )
    height = ROW_PX * len(speakers) + 2 * TEXT_PX
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="100%" height="{height}" role="img" '
        f'font-family="sans-serif" font-size="{TEXT_PX}" fill="currentColor">',
        f"<title>{summary}</title>",
        *_axis(result.duration_s, height),
    ]
    for number, speaker in enumerate(speakers):
        parts += _row(result, speaker, number)
    return "".join([*parts, "</svg>"])


def _axis(duration_s: float, height: int) -> Iterator[str]:
    """Yield a line and a time for each tick."""
    step_s = next((s for s in TICKS_S if duration_s / s <= MAX_TICKS), TICKS_S[-1])
    for number in range(int(duration_s / step_s) + 1):
        at = _percent(number * step_s, duration_s)
        anchor = "middle" if 3 < 100 * number * step_s / duration_s < 97 else "end"
        anchor = anchor if number else "start"
        yield (
            f'<line x1="{at}" x2="{at}" y1="0" y2="{height - TEXT_PX - 4}" stroke="currentColor" '
            f'stroke-opacity="0.15"/><text x="{at}" y="{height - 3}" text-anchor="{anchor}" '
            f'fill-opacity="0.7">{_clock(number * step_s)}</text>'
        )


def _row(result: Result, speaker: str, number: int) -> Iterator[str]:
    """Yield the name of a speaker and, below it, a bar for each turn."""
    turns = [turn for turn in result.turns if turn.speaker == speaker]
    speech_s = sum(turn.end_s - turn.start_s for turn in turns)
    top, colour = ROW_PX * number, COLOURS[number % len(COLOURS)]
    name = escape(result.names.get(speaker, speaker))
    yield f'<text x="0" y="{top + TEXT_PX}">{name} · {speech_s:.1f} s</text>'
    for turn in turns:
        start, width = (
            _percent(s, result.duration_s) for s in (turn.start_s, turn.end_s - turn.start_s)
        )
        yield (
            f'<rect x="{start}" y="{top + TEXT_PX + 5}" width="{width}" height="{BAR_PX}" '
            f'fill="{colour}"><title>{name} {escape(_title(result, turn))}</title></rect>'
        )


def _title(result: Result, turn: Turn) -> str:
    """Times and words of a turn."""
    said = " ".join(
        word.text
        for word in result.words
        if word.speaker == turn.speaker and turn.start_s <= word.start_s < turn.end_s
    )
    return f"{turn.start_s:.2f} - {turn.end_s:.2f} s {said[:MAX_TITLE]}".rstrip()


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.3f}%"


def _clock(seconds: int) -> str:
    minutes, left = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
