"""16 kHz mono 16-bit WAV files, written as they grow."""

import os
import struct
from contextlib import suppress
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from echo_edge.errors import OutputError

Array = NDArray[np.float32]

SAMPLE_RATE = 16000

_WAV_MAX_DATA_BYTES = 0xFFFFFFFF - 36


class WavWriter:
    """Write a 16 kHz mono 16-bit WAV of any length, block by block; a context manager.

    The file appears at `path` only when the context ends without an error: until then it is
    `path` + `.partial`, which an error removes. Raises OutputError if it cannot be written.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._partial = self._path + ".partial"
        self._data_bytes = 0

    def __enter__(self) -> Self:
        # Replacing a device or a pipe by a file would do harm, above all as root.
        target = Path(self._path)
        if target.exists() and not target.is_file():
            raise OutputError(
                f"{self._path}: not a regular file, expected one: choose another name"
            )
        try:
            self._file = open(self._partial, "wb")  # noqa: PTH123 - closed in __exit__
            self._file.write(wav_header(0))
        except OSError as error:
            raise self._cannot_write(error) from error
        return self

    def write(self, samples: Array) -> None:
        """Append float32 `[samples]`, clipped to [-1, 1]; ValueError if any is not finite."""
        if not np.isfinite(samples).all():
            raise ValueError(f"{self._path}: samples to write hold values that are not finite")
        data = np.rint(np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes()
        self._data_bytes += len(data)
        if self._data_bytes > _WAV_MAX_DATA_BYTES:
            raise OutputError(f"{self._path}: over 37 hours, more than a WAV file holds: split it")
        try:
            self._file.write(data)
        except OSError as error:
            raise self._cannot_write(error) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._file.seek(0)
                self._file.write(wav_header(self._data_bytes))
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
                Path(self._partial).replace(self._path)
        except OSError as failure:
            raise self._cannot_write(failure) from failure
        finally:
            with suppress(OSError):
                self._file.close()
            with suppress(OSError):
                Path(self._partial).unlink()

    def _cannot_write(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self._path}: cannot be written ({error.strerror}): "
            "choose a folder that exists, is writable and has room"
        )


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
