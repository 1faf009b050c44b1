"""A file object made of parts of a file, and of bytes that belong between them."""

import io
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from echo_edge.audio.pieces import Cut

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Part = bytes | tuple[int, int]
"""Bytes as they are, or the first byte and the one after the last of a stretch of the file."""


class Spliced(io.RawIOBase):
    """The parts, one after the other, as a file to read and to seek in.

    It never raises: it is called from C, where an exception would be printed. `failure` holds the
    first error of the file, which then seems to end there.
    """

    def __init__(self, file: BinaryIO, parts: list[Part]) -> None:
        self._file, self._parts = file, parts
        self._ends = list(accumulate(map(_length, parts)))
        self._at = 0
        self.failure: OSError | None = None

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Read as a file does; fewer bytes than asked for only at the end."""
        view = memoryview(buffer).cast("B")
        n_read = 0
        while n_read < len(view) and (index := bisect_right(self._ends, self._at)) < len(
            self._parts
        ):
            part, left = self._parts[index], self._ends[index] - self._at
            data = self._read(part, _length(part) - left, min(left, len(view) - n_read))
            if not data:
                break
            view[n_read : n_read + len(data)] = data
            n_read += len(data)
            self._at += len(data)
        return n_read

    def _read(self, part: Part, start: int, size: int) -> bytes:
        if isinstance(part, bytes):
            return part[start : start + size]
        try:
            self._file.seek(part[0] + start)
            return self._file.read(size)
        except OSError as error:
            self.failure = self.failure or error
            return b""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place, which a place before the start is not."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._ends[-1]}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """The place."""
        return self._at

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True


def _length(part: Part) -> int:
    return len(part) if isinstance(part, bytes) else part[1] - part[0]


class Stream(NamedTuple):
    """One of the streams that follow each other in a file: its parts, and what is missing."""

    parts: list[Part]
    cut: Cut | None = None
    n_samples: int | None = None
    """How many there are of each channel, where the decoder begins with some more."""
