"""A command on a terminal of its own, as a person sees it."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self


class Terminal:
    """A command whose standard output and error are a terminal, and standard input too unless it is
    a pipe; a context manager, which ends it."""

    def __init__(
        self, words: Sequence[str], folder: Path, *, pipe: bool = False, columns: int = 80
    ) -> None:
        self._number, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.child = subprocess.Popen(
            words, cwd=folder, stdin=subprocess.PIPE if pipe else other, stdout=other,
            stderr=other, start_new_session=True,
        )  # fmt: skip
        os.close(other)
        self.raw = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.child.kill()
        self.child.wait()
        if self.child.stdin is not None:
            with suppress(BrokenPipeError):
                self.child.stdin.close()
        os.close(self._number)

    def read(self, until: Callable[[], bool] | None = None) -> None:
        """What is written, until that is so, or the command has ended; at most a minute."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if until is not None and until():
                return
            if select.select([self._number], [], [], 0.05)[0]:
                try:
                    data = os.read(self._number, 65536)
                except OSError:  # it was closed at the other end
                    return
                self.raw += data.decode()
            elif self.child.poll() is not None:
                return
        raise AssertionError(self.raw)

    def end(self) -> int:
        """Read to the end; the exit code."""
        self.read()
        return self.child.wait(60)

    @property
    def drawn(self) -> list[str]:
        """Every state of the line that is drawn anew."""
        return re.findall(r"\r\x1b\[K([^\r\n]+)(?=\r\x1b|$)", self.raw)

    @property
    def screen(self) -> list[str]:
        """What is left on it in the end."""
        lines = self.raw.replace("\r\n", "\n").split("\n")
        return [shown for line in lines if (shown := line.rpartition("\r\x1b[K")[2])]
