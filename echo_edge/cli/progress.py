"""How far a command is, for people: one line on a terminal, nothing anywhere else."""

import os
import sys
from collections.abc import Mapping, Sequence
from itertools import takewhile

from echo_edge.result import Word

BAR_CHARACTERS = 12


def show_line(text: str) -> None:
    """Draw the last line of a terminal's stderr anew, cut to its width; empty text clears it."""
    if is_watched():
        print(f"\r\x1b[K{text[: columns()]}", end="", file=sys.stderr, flush=True)


def is_watched() -> bool:
    """Whether stderr is a terminal, so that somebody may be looking."""
    return sys.stderr.isatty()


def columns() -> int:
    """Characters that fit on one line of the terminal without a line break."""
    try:
        found = os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:
        found = 0
    return (found or 80) - 1


def bar(share: float, wall_s: float, heard_s: float) -> str:
    """How far a job is whose `share`, 0 to 1, is done: a bar, x real time and the time left.

    `heard_s` of audio took `wall_s` so far; what they do not tell yet is left out.
    """
    share = min(max(share, 0.0), 1.0)
    filled = round(share * BAR_CHARACTERS)
    line = f"[{'#' * filled}{'.' * (BAR_CHARACTERS - filled)}] {share:4.0%}"
    if wall_s >= 0.5 and heard_s > 0.0:
        line += f"  {speed(heard_s, wall_s)}"
    if wall_s >= 0.5 and share > 0.0:
        line += f"  {clock(wall_s * (1.0 - share) / share)} left"
    return line


def speed(heard_s: float, wall_s: float) -> str:
    """Audio time / processing time."""
    ratio = heard_s / max(wall_s, 1e-9)
    return f"{ratio:.0f} x real time" if ratio >= 9.95 else f"{ratio:.1f} x real time"


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
    )


def spoken_now(words: Sequence[Word], names: Mapping[str, str], room: int) -> str:
    """What whoever speaks now has said, from these words by start; its end if there is no room for
    all of it. A word that is nobody's yet is taken for the same speaker's."""
    if not words:
        return ""
    speaker = next((word.speaker for word in reversed(words) if word.speaker), None)
    own = list(takewhile(lambda word: word.speaker in (speaker, None), reversed(words)))
    text = " ".join(" ".join(word.text for word in reversed(own)).split())
    name = "" if speaker is None else f"{names.get(speaker, speaker)}: "
    left = room - len(name) - 1
    if left < 8:
        return ""
    return f"{name}{text if len(text) <= left else '…' + text[len(text) - left + 1 :]}…"
