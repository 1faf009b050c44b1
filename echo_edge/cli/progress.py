"""How far a command is, for people: one line on a terminal, nothing anywhere else."""

import sys


def show_progress(done_s: float | None, total_s: float | None) -> None:
    """One line on a terminal's stderr; None clears it."""
    if not sys.stderr.isatty():
        return
    if done_s is None:
        line = ""
    elif total_s:
        line = f"{done_s:.0f} of {total_s:.0f} s ({min(done_s / total_s, 1.0):.0%})"
    else:
        line = f"{done_s:.0f} s"
    print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
