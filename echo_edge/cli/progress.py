"""How far a command is, for people: one line on a terminal, nothing anywhere else."""

import os
import sys


def show_progress(done_s: float | None, total_s: float | None, more: str = "") -> None:
    """One line on a terminal's stderr, with what fits of `more`; None clears it."""
    if not sys.stderr.isatty():
        return
    if done_s is None:
        line = ""
    elif total_s:
        line = f"{done_s:.0f} of {total_s:.0f} s ({min(done_s / total_s, 1.0):.0%})"
    else:
        line = f"{done_s:.0f} s"
    room = _columns() - 1
    if done_s is not None and more and len(line) + 2 < room:
        line += "  " + more[-(room - len(line) - 2) :]
    print(f"\r\x1b[K{line[:room]}", end="", file=sys.stderr, flush=True)


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80
