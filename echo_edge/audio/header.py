"""What an audio file's own bytes say and libsndfile corrects, or passes over, in silence.

Knows of headers only, never of samples; `read.py` reads those.
"""

import io
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from echo_edge.errors import AudioError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_UNTIL_END = 0xFFFFFFFF
"""The data size that means: to the end of the file."""


@dataclass(frozen=True)
class Header:
    """What the bytes of a file say and libsndfile corrects, or passes over, in silence."""

    cut: str = ""
    """What was expected where the file breaks off; empty if nothing is known to be missing."""
    data_size: tuple[int, bytes] | None = None
    """Place and right value of the data size of a WAV whose writer never filled it in."""
    counts_mp3_frames: bool = False
    """Whether an MP3 says how long it is; otherwise libsndfile guesses, wrongly for VBR."""


def inspect(path: str | PathLike[str]) -> Header:
    """Look at a regular file that is not empty; AudioError if it is anything else."""
    try:
        status = os.stat(path)  # noqa: PTH116 - `path` may be a plain string
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or a pipe"
            raise AudioError(f"{path}: found {kind}, expected an audio file")
        if not status.st_size:
            raise AudioError(f"{path}: found an empty file, expected audio: record it again")
        with Path(path).open("rb") as file:
            head = file.read(12)
            if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:] == b"WAVE":
                return _inspect_wav(file, status.st_size)
            if head[:4] == b"OggS":
                return _inspect_ogg(file, status.st_size)
            return Header(counts_mp3_frames=_counts_mp3_frames(file))
    except OSError as error:
        raise AudioError(
            f"{path}: cannot be read ({error.strerror}): check the path and its permissions"
        ) from error


def _inspect_wav(file: BinaryIO, size: int) -> Header:
    """Compare the size of the `data` chunk with the bytes that are there."""
    byte_rate, frame_bytes, data_bytes_64, size_64_at = 1, 1, _UNTIL_END, 0
    for at, name, length in _chunks(file, 12, size):
        body = file.read(16)
        if name == b"ds64" and len(body) == 16:
            data_bytes_64, size_64_at = int.from_bytes(body[8:], "little"), at + 8
        elif name == b"fmt " and len(body) == 16:
            byte_rate, frame_bytes = struct.unpack("<8xIH2x", body)
        elif name == b"data":
            present, promised = size - at, data_bytes_64 if length == _UNTIL_END else length
            if promised == 0 and present and not _is_chunk_list(file, at, size):
                if length == _UNTIL_END:
                    return Header(data_size=(size_64_at, struct.pack("<Q", present)))
                return Header(data_size=(at - 4, struct.pack("<I", min(present, _UNTIL_END))))
            if promised != _UNTIL_END and promised - present >= max(1, frame_bytes):
                seconds = promised / max(1, byte_rate)
                return Header(cut=f"expected {seconds:.3f} s as its header promises")
            break
    return Header()  # where no `data` chunk is found, libsndfile says what is wrong


def _chunks(file: BinaryIO, at: int, size: int) -> Iterator[tuple[int, bytes, int]]:
    """Yield the start, name and length of up to 1000 RIFF chunks, the file placed at the start."""
    for _ in range(1000):
        file.seek(at)
        head = file.read(8)
        if at >= size or len(head) < 8:
            return
        name, length = struct.unpack("<4sI", head)
        yield at + 8, name, length
        at += 8 + length + length % 2


def _is_chunk_list(file: BinaryIO, at: int, size: int) -> bool:
    """Whether well-formed chunks, rather than audio, fill the file from `at` to its end."""
    end = at
    for start, name, length in _chunks(file, at, size):
        if not (name.isascii() and name.decode("ascii").isprintable()):
            return False
        end = start + length + length % 2
    return end == size


def _inspect_ogg(file: BinaryIO, size: int) -> Header:
    """Look whether the last page is whole; libsndfile drops it in silence if not."""
    file.seek(max(0, size - 65307))  # the longest page
    tail = file.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    n_segments = page[26] if len(page) > 26 else 255
    if len(page) < 27 + n_segments + sum(page[27 : 27 + n_segments]):
        return Header(cut="expected the rest of its last Ogg page")
    return Header()


def _counts_mp3_frames(file: BinaryIO) -> bool:
    """Whether the first MP3 frame, after any ID3v2 tag, is one that tells the length."""
    file.seek(0)
    tag = file.read(10)
    length = sum(
        (byte & 0x7F) << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=False)
    )
    file.seek(10 + length if tag[:3] == b"ID3" else 0)
    frame = file.read(256)
    return any(name in frame for name in (b"Xing", b"Info", b"VBRI"))


class UnfinishedWav(io.FileIO):
    """A WAV that reads as if its writer had filled in its `data_size`, a place and a value."""

    def __init__(self, path: str | PathLike[str], data_size: tuple[int, bytes]) -> None:
        super().__init__(os.fspath(path))
        self._data_size = data_size

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Read as any file does, with the bytes of the size replaced."""
        start = self.tell()
        n_read = super().readinto(buffer) or 0
        view = memoryview(buffer).cast("B")
        first, value = self._data_size
        for at, byte in enumerate(value, first - start):
            if 0 <= at < n_read:
                view[at] = byte
        return n_read
