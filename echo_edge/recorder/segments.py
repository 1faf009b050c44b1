"""Audio segments: 16 kHz mono 16-bit WAV files, each named after its first sample in the recording.

Samples are appended and fsynced; only then the header counts them. So at any moment, power cut
included, the header promises no more than is there, every player opens the file, and what lies
behind the promise is audio that `repair` adds to it. Where numbers leave a gap, nothing was
recorded.
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio import SAMPLE_RATE, wav_header
from echo_edge.errors import OutputError
from echo_edge.recorder.storage import sync_file, sync_folder

Samples = NDArray[np.int16]

HEADER_BYTES = 44
SAMPLE_BYTES = 2
READ_BYTES = SAMPLE_BYTES * SAMPLE_RATE // 2

_SETTLED_NS = 100_000_000
"""Changes of a folder closer together than this may bear the same time."""
_NAME = re.compile(r"audio-(\d{12})\.wav")


@dataclass(frozen=True, order=True)
class Segment:
    """One file; `start` is its first sample on the recording's time line."""

    start: int
    path: Path

    @property
    def n_samples(self) -> int:
        """Samples in the file, whatever its header says; 0 if it is gone."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return 0
        return max(0, size - HEADER_BYTES) // SAMPLE_BYTES

    @property
    def end(self) -> int:
        """The sample after the last."""
        return self.start + self.n_samples


def segments(folder: Path) -> list[Segment]:
    """The segments of a recording, in order of time."""
    found = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted(Segment(int(match[1]), path) for match, path in found if match)


def repair(folder: Path) -> int:
    """Make every header tell what its file holds; how many had to be changed.

    A segment with no whole header (a crash while it was made) holds nothing and is removed.
    """
    n_repaired = 0
    for segment in segments(folder):
        size = segment.path.stat().st_size
        if size <= HEADER_BYTES:
            segment.path.unlink()
            n_repaired += size < HEADER_BYTES
            continue
        n_bytes = segment.n_samples * SAMPLE_BYTES
        with segment.path.open("r+b") as file:
            if file.read(HEADER_BYTES) == wav_header(n_bytes) and not size % SAMPLE_BYTES:
                continue
            file.truncate(HEADER_BYTES + n_bytes)
            file.seek(0)
            file.write(wav_header(n_bytes))
            file.flush()
            os.fsync(file.fileno())
        n_repaired += 1
    return n_repaired


def forget(folder: Path, first: int, lacks: set[str] | None = None) -> None:
    """Delete the samples from `first` on."""
    for segment in reversed(segments(folder)):
        if segment.start >= first:
            segment.path.unlink()
        elif segment.end > first:
            n_bytes = SAMPLE_BYTES * (first - segment.start)
            with segment.path.open("r+b") as file:
                file.write(wav_header(n_bytes))
                file.flush()
                file.truncate(HEADER_BYTES + n_bytes)
                sync_file(file.fileno(), set() if lacks is None else lacks)
    sync_folder(folder, set() if lacks is None else lacks)


class SegmentWriter:
    """Appends samples; starts another file after `longest` samples and after every gap.

    Raises OutputError if the disk takes no more; what was written before stays and is whole. Then
    either the rest is written later (a disk that was full) or, where what was not synced may be
    lost, `take_back` and once storage is back `resume`. `lacks` takes what storage cannot do.
    """

    def __init__(self, folder: Path, longest: int, lacks: set[str] | None = None) -> None:
        self._folder, self._longest = folder, longest
        self._lacks = set[str]() if lacks is None else lacks
        self._unsynced: list[Samples] = []
        self.is_torn = False
        """Whether a sync failed: what was written since the last one may be lost."""
        self._file = -1
        self._start = 0
        self._n_bytes = 0
        self._header_bytes = 0
        self.position = 0
        """The next sample's place on the recording's time line."""

    def write(self, samples: Samples) -> None:
        """Append int16 `[n]`; after this they survive a crash of the program."""
        while len(samples):
            if self._file >= 0 and self.position - self._start >= self._longest:
                self.close()
            if self._file < 0:
                self._open()
            room = self._longest - (self.position - self._start)
            self._append(samples[:room])
            samples = samples[room:]

    def skip(self, n_samples: int) -> None:
        """Leave a gap of `n_samples` on the time line."""
        self.close()
        self.position += n_samples

    def take_back(self) -> Samples:
        """The samples written since the last sync, int16 `[n]`; the time line goes back there."""
        if self._file >= 0:
            with suppress(OSError):
                os.close(self._file)
            self._file = -1
        taken = np.concatenate([np.zeros(0, np.int16), *self._unsynced])
        self.position -= len(taken)
        self._unsynced, self.is_torn = [], False
        return taken

    def resume(self) -> None:
        """After `take_back`: remove what is there of it. OSError while storage is away."""
        forget(self._folder, self.position, self._lacks)

    def forget(self, n_samples: int) -> int:
        """Delete the last `n_samples` of the time line; the first sample that is gone."""
        self.close()
        first = max(0, self.position - n_samples)
        forget(self._folder, first, self._lacks)
        return first

    def sync(self) -> None:
        """After this, what was written survives a power cut."""
        if self._file < 0 or self._header_bytes == self._n_bytes:
            return
        try:
            sync_file(self._file, self._lacks)
            os.pwrite(self._file, wav_header(self._n_bytes), 0)
        except OSError as error:
            self.is_torn = True
            raise self._cannot_write(error) from error
        self._header_bytes = self._n_bytes
        self._unsynced = []

    def close(self) -> None:
        """End the segment that is being written, if any."""
        if self._file < 0:
            return
        try:
            self.sync()
            sync_file(self._file, self._lacks)
        except OSError as error:
            self.is_torn = True
            raise self._cannot_write(error) from error
        finally:
            with suppress(OSError):  # synced or not, as was found above
                os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        path = self._folder / f"audio-{self.position:012}.wav"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o600)
            try:
                _write_all(descriptor, wav_header(0))
                sync_file(descriptor, self._lacks)
                sync_folder(self._folder, self._lacks)
            except OSError:
                os.close(descriptor)
                with suppress(OSError):
                    path.unlink()
                raise
        except OSError as error:
            raise self._cannot_write(error) from error
        self._file, self._start = descriptor, self.position
        self._n_bytes = self._header_bytes = 0

    def _append(self, samples: Samples) -> None:
        data, written = samples.astype("<i2").tobytes(), 0
        try:
            _write_all(self._file, data)
            written = len(data)
        except OSError as error:
            # Part of it may be there: whole samples stay, and the header will tell of them.
            with suppress(OSError):
                written = os.fstat(self._file).st_size - HEADER_BYTES - self._n_bytes
                written -= written % SAMPLE_BYTES
                os.ftruncate(self._file, HEADER_BYTES + self._n_bytes + written)
            raise self._cannot_write(error) from error
        finally:
            self._n_bytes += written
            self.position += written // SAMPLE_BYTES
            self._unsynced.append(samples[: written // SAMPLE_BYTES])

    def _cannot_write(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self._folder}: audio cannot be written ({error.strerror}): "
            "what was recorded so far is kept; make room or check the disk"
        )


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class SegmentReader:
    """Reads a recording from its first sample on, in step with whoever is writing it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self._segment_start = -1
        self._position = 0
        self._listed: list[Segment] = []
        self._listed_at = (0, 0)

    def read(self) -> tuple[int, Samples] | None:
        """The next samples, at most half a second, and the place of the first; None if there are
        none yet."""
        while True:
            found = self._read_here()
            if found is not None:
                return found
            following = next(self._later(), None)
            if following is None:
                return None
            # A segment is complete before the next one is made: only now its end is the end.
            found = self._read_here()
            if found is not None:
                return found
            self._enter(following)

    def close(self) -> None:
        """Close the segment that is being read."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read_here(self) -> tuple[int, Samples] | None:
        if self._file is None:
            return None
        data = self._file.read(READ_BYTES)
        if len(data) % SAMPLE_BYTES:  # a sample that is just being written
            self._file.seek(-1, os.SEEK_CUR)
            data = data[:-1]
        if not data:
            return None
        place = self._position
        samples = np.frombuffer(data, "<i2").astype(np.int16)
        self._position += len(samples)
        return place, samples

    def _later(self) -> Iterator[Segment]:
        """The segments after the current one; a folder that did not change is not listed again."""
        changed_ns = self._folder.stat().st_mtime_ns
        if self._listed_at[0] != changed_ns or self._listed_at[1] < changed_ns + _SETTLED_NS:
            self._listed_at = (changed_ns, time.time_ns())
            self._listed = segments(self._folder)
        return (each for each in self._listed if each.start > self._segment_start)

    def _enter(self, segment: Segment) -> None:
        self.close()
        self._segment_start = self._position = segment.start
        with suppress(FileNotFoundError):  # old audio that was deleted to make room
            self._file = segment.path.open("rb", buffering=0)
            self._file.seek(HEADER_BYTES)
