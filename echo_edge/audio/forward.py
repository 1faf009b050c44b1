"""Bytes read forward from a file or a pipe, with a look at what comes next."""

import errno
import os
from typing import BinaryIO

from echo_edge.errors import AudioError

_SKIP_BYTES = 65536


class Forward:
    """A binary stream read once, from its beginning. Raises AudioError where the stream fails."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream, self._name = stream, name
        self._ahead = bytearray()
        self.position = 0
        """Bytes read so far."""
        self.copy_to: BinaryIO | None = None
        """A file that gets what is read."""

    def read(self, size: int) -> bytes:
        """Read `size` bytes, fewer only at the end of the stream."""
        self._fill(size)
        data = bytes(self._ahead[:size])
        del self._ahead[:size]
        self.position += len(data)
        if self.copy_to is not None and data:
            try:
                if self.copy_to.write(data) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as error:
                raise AudioError(
                    f"{self._name}: cannot be kept in a file ({error.strerror}): give a file"
                ) from error
        return data

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end of the stream; they stay unread."""
        self._fill(size)
        return bytes(self._ahead[:size])

    def skip(self, size: int) -> None:
        """Pass over `size` bytes, or to the end."""
        while size > 0 and (data := self.read(min(size, _SKIP_BYTES))):
            size -= len(data)

    def _fill(self, size: int) -> None:
        while len(self._ahead) < size:
            try:
                piece = self._stream.read(size - len(self._ahead))
            except OSError as error:
                raise AudioError(f"{self._name}: the stream failed ({error.strerror})") from error
            if piece is None:
                raise AudioError(
                    f"{self._name}: found a non-blocking stream, expected a blocking one"
                )
            if not piece:
                return
            self._ahead += piece
