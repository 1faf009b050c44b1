"""Ctrl-C, SIGTERM and SIGHUP: the first asks to come to an end, the second ends at once.

Exit codes are those of a shell: 128 and the number of the signal, so 130 after Ctrl-C, 143 after
SIGTERM, 129 after SIGHUP. A signal that is ignored, as under nohup, stays ignored.
"""

import array
import fcntl
import io
import os
import select
import signal
import stat
import termios
import threading
from types import FrameType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A signal ends the work here."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class _Handlers:
    """Handlers of the signals while the context lasts; of none outside the main thread."""

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, _: FrameType | None) -> None:
        raise Stopped(number)


class EndAtOnce(_Handlers):
    """Every signal raises Stopped: what is half done is undone on the way out."""


class EndSoon(_Handlers):
    """The first signal is remembered, the second raises Stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        """Of the signal, 0 while there was none."""
        self._waker, self._wake = -1, -1

    @property
    def exit_code(self) -> int:
        """128 and the number of the signal; 0 without one."""
        return 128 + self.number if self.number else 0

    def __enter__(self) -> Self:
        self._waker, self._wake = os.pipe()
        return super().__enter__()

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        os.close(self._waker)
        os.close(self._wake)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            for again in self._before:
                signal.signal(again, signal.SIG_DFL)  # the third does not wait for anything
            super()._take(number, frame)
        self.number = number
        os.write(self._wake, b"!")

    def input(self, number: int) -> io.BufferedReader:
        """The input of a descriptor, until its end or the first signal."""
        return io.BufferedReader(_Input(number, self._waker))


class _Input(io.RawIOBase):
    """A descriptor that ends when another can be read, after what is in its pipe by then."""

    def __init__(self, number: int, waker: int) -> None:
        super().__init__()
        self._number, self._waker = number, waker
        self._left: int | None = None
        """Bytes until the end, once there is one."""

    def readable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._number

    def readinto(self, buffer: Any) -> int:
        """The next bytes, as many as there are; 0 at the end."""
        view = memoryview(buffer).cast("B")
        while True:
            if self._left is None:
                ready = select.select([self._number, self._waker], [], [])[0]
                if self._waker in ready:
                    self._left = _waiting(self._number)
            size = len(view) if self._left is None else min(len(view), self._left)
            try:
                data = os.read(self._number, size)
            except BlockingIOError:
                if self._left is None:
                    continue
                data = b""
            if self._left is not None:
                self._left -= len(data)
            view[: len(data)] = data
            return len(data)


def _waiting(number: int) -> int:
    """Bytes that were written to a pipe and not read yet; 0 for what is no pipe."""
    if not stat.S_ISFIFO(os.fstat(number).st_mode):
        return 0
    size = array.array("i", [0])
    fcntl.ioctl(number, termios.FIONREAD, size)
    return size[0]
