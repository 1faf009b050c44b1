"""The terminal that a recorder may have been started from: its keys, while it is ours.

A job in the background that reads a terminal or changes its mode is stopped by the kernel (SIGTTIN,
SIGTTOU), and one that was put there with Ctrl-Z and `bg` would take the keys of whoever types next.
So the terminal is touched only while we are its foreground process group, which is looked up each
time; what we changed is put back before Ctrl-Z stops us.
"""

import os
import select
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Any, Self

_STDIN = 0


def is_foreground(descriptor: int) -> bool:
    """Whether it is a terminal, that of this session, and we are the job in its foreground."""
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:  # no terminal, one of another session, or none any more
        return False


def say(text: object) -> None:
    """One line on stderr. Nobody reads it, or there is no stderr: recording goes on."""
    if sys.stderr is None:
        return
    with suppress(OSError, ValueError):
        try:
            waits = not select.select([], [sys.stderr.fileno()], [], 1.0)[1]
        except (OSError, ValueError):  # in Python's memory
            waits = False
        if not waits:
            print(f"echo-edge: {text}", file=sys.stderr, flush=True)


class Keys:
    """Keys that are pressed while the context lasts and the terminal is ours; else none."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted and os.isatty(_STDIN)
        self._mode: list[Any] | None = None
        """The mode to put back, while ours is set."""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTTIN, signal.SIGTTOU):  # also without keys: for what is written
            self._before[number] = signal.signal(number, signal.SIG_IGN)
        if self._wanted and signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL:
            self._before[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._suspend)
        return self

    def read(self) -> str:
        """The keys that were pressed since the last call."""
        if not self._wanted:
            return ""
        if not is_foreground(_STDIN):
            self._mode = None  # whoever has the terminal now has set its mode
            return ""
        try:
            self._take()
            if not select.select([_STDIN], [], [], 0)[0]:
                return ""
            data = os.read(_STDIN, 64)
        except OSError:  # it was closed, or we lost it a moment ago
            return ""
        self._wanted = bool(data)
        return data.decode(errors="ignore")

    def __exit__(self, *exc: object) -> None:
        self._give_back()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self) -> None:
        """Keys come at once and are not shown."""
        if self._mode is None:
            import termios
            import tty

            with suppress(termios.error):
                mode = termios.tcgetattr(_STDIN)
                tty.setcbreak(_STDIN, termios.TCSANOW)  # not waiting: output may be held by Ctrl-S
                self._mode = mode

    def _give_back(self) -> None:
        if self._mode is not None and is_foreground(_STDIN):
            import termios

            with suppress(termios.error):
                termios.tcsetattr(_STDIN, termios.TCSANOW, self._mode)
        self._mode = None

    def _suspend(self, number: int, _: FrameType | None) -> None:
        """Ctrl-Z: stop as any program does, with the terminal as we found it."""
        self._give_back()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)  # we are stopped in here, until `fg` or `bg`
        signal.signal(number, self._suspend)
