"""16 kHz mono 16-bit WAV files, written as they grow."""

import os
import struct
from os import PathLike
from typing import Self

import numpy as np
from numpy.typing import NDArray

from echo_edge.disk import cannot_write
from echo_edge.errors import OutputError
from echo_edge.files import WholeFile

Array = NDArray[np.float32]

SAMPLE_RATE = 16000

_WAV_MAX_DATA_BYTES = 0xFFFFFFFF - 36


class WavWriter:
    """Write a 16 kHz mono 16-bit WAV of any length, block by block; a context manager.

    A `files.WholeFile`: it appears at `path` only when the context ends without an error. Raises
    OutputError if it cannot be written, or is no regular file.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self._file = WholeFile(path, regular=True)
        self._data_bytes = 0

    def __enter__(self) -> Self:
        self._file.__enter__()
        try:
            self._file.write(wav_header(0))
        except OutputError:
            self._file.withdraw()
            raise
        return self

    def write(self, samples: Array) -> None:
        """Append float32 `[samples]`, clipped to [-1, 1]; ValueError if any is not finite."""
        if not np.isfinite(samples).all():
            raise ValueError(f"{self._file.name}: samples hold values that are not finite")
        data = np.rint(np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes()
        if self._data_bytes + len(data) > _WAV_MAX_DATA_BYTES:
            raise OutputError(
                f"{self._file.name}: over 37 hours, more than a WAV file holds: split it"
            )
        self._file.write(data)
        self._data_bytes += len(data)

    def __exit__(self, *exc: object) -> None:
        if exc[0] is None:
            try:
                os.pwrite(self._file.number, wav_header(self._data_bytes), 0)
            except OSError as failure:
                self._file.withdraw()
                raise cannot_write(self._file.name, failure) from failure
        self._file.__exit__(*exc)


def write_wav(path: str | PathLike[str], samples: Array) -> None:
    """Write float32 `[samples]` at 16 kHz as `WavWriter` does, in one go; same errors."""
    with WavWriter(path) as writer:
        writer.write(samples)


def wav_header(data_bytes: int) -> bytes:
    """The 44 bytes before so many bytes of 16 kHz mono 16-bit samples."""
    riff = struct.pack("<4sI4s", b"RIFF", 36 + data_bytes, b"WAVE")
    pcm, channels, bits = 1, 1, 16
    byte_rate = SAMPLE_RATE * bits // 8
    fmt = (16, pcm, channels, SAMPLE_RATE, byte_rate, bits // 8, bits)
    return riff + struct.pack("<4sIHHIIHH4sI", b"fmt ", *fmt, b"data", data_bytes)
