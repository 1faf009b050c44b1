"""The standard streams of the command: whatever is at their other end, writing to them never fails.

What cannot be written to standard output is dropped, the work goes on, and `Streams.error` says so
at the end. Standard output is UTF-8, as files are; what UTF-8 cannot hold is written with `\\`.
"""

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from echo_edge.errors import OutputError


class Sink(io.RawIOBase):
    """A descriptor that takes everything; the first `error` ends what is written."""

    def __init__(self, number: int, error: OSError | None = None) -> None:
        super().__init__()
        self._number = number
        self.error = error
        """Why what was written since then is lost; None while nothing is."""
        self._missing = error is not None
        self.lost = False

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Write all of it, waiting for who reads."""
        view = memoryview(data).cast("B")
        done = 0
        try:
            while done < len(view) and self.error is None:
                try:
                    done += os.write(self._number, view[done:])
                except BlockingIOError:  # shared with a program that does not wait
                    select.select([], [self._number], [])
        except OSError as error:
            self.error = error
        except BaseException:  # nobody reads, and who waits for it is told to end at once
            self.error = OSError(errno.EINTR, os.strerror(errno.EINTR))
            raise
        self.lost = self.lost or (done < len(view) and self.error is not None)
        return len(view)

    def fileno(self) -> int:
        """The descriptor."""
        return self._number

    def isatty(self) -> bool:
        """Whether a person may be looking."""
        return not self._missing and os.isatty(self._number)

    def writable(self) -> bool:
        """It is."""
        return True


class Streams:
    """The three streams while a command runs."""

    def __init__(self) -> None:
        self.sink: Sink | None = None
        """Standard output, if it is ours and no caller's in Python."""

    @property
    def reader_has_gone(self) -> bool:
        """Whether nobody reads standard output any more, or it is no longer waited for."""
        error = self.sink.error if self.sink is not None else None
        return error is not None and error.errno in (errno.EPIPE, errno.EINTR)

    def error(self) -> OutputError | None:
        """That something could not be written to standard output."""
        sys.stdout.flush()
        if self.sink is None or not self.sink.lost or self.sink.error is None:
            return None
        reason = self.sink.error.strerror
        return OutputError(f"standard output: cannot be written ({reason}): write to a file")

    def check(self) -> None:
        """OutputError if standard output is closed: to know before the work."""
        if self.sink is not None and self.sink.error is not None:
            raise OutputError("standard output: closed, expected one, or --out FILE: name a file")


ACTIVE = Streams()
"""Standard streams of the command that runs."""


def say(text: object) -> None:
    """One line on standard error, whatever names in it hold."""
    shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in str(text))
    print(f"echo-edge: {shown}", file=sys.stderr, flush=True)


@contextmanager
def standard_streams() -> Iterator[Streams]:
    """Put streams that never fail in the place of those of the process, and back at the end.

    Streams that a caller in Python put there are left as they are.
    """
    global ACTIVE
    missing = [_fill(number) for number in range(3)]
    before = sys.stdin, sys.stdout, sys.stderr, ACTIVE
    ACTIVE = streams = Streams()
    if sys.stdout is sys.__stdout__:
        streams.sink = Sink(1, _closed() if missing[1] or sys.stdout is None else None)
        sys.stdout = _text(streams.sink, "utf-8")
    if sys.stderr is sys.__stderr__:
        encoding = "utf-8" if sys.stderr is None else sys.stderr.encoding
        sys.stderr = _text(Sink(2, _closed() if missing[2] else None), encoding)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - a descriptor
    try:
        yield streams
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdin, sys.stdout, sys.stderr, ACTIVE = before


def _fill(number: int) -> bool:
    """Whether a descriptor was closed; it is nothing then, lest a file that is opened get its
    number and what libraries print."""
    try:
        os.fstat(number)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:
            os.dup2(null, number)
            os.close(null)
        os.set_inheritable(number, True)
        return True
    return False


def _closed() -> OSError:
    return OSError(errno.EBADF, "it is closed")


def _text(sink: Sink, encoding: str) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(sink),  # type: ignore[type-var]  # it is raw
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=sink.isatty() or sink.fileno() == 2,
        write_through=sink.fileno() == 2,
    )
