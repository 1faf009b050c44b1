"""The writer thread: the queue's blocks to segments, and whatever else is done to the audio."""

import errno
import threading
import time
from collections import deque
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio import SAMPLE_RATE
from echo_edge.audio.channels import Downmix
from echo_edge.errors import EchoError, OutputError
from echo_edge.recorder.capture import BlockQueue, Converter
from echo_edge.recorder.segments import SegmentWriter
from echo_edge.recorder.storage import is_full

SYNC_S = 0.5
"""A power cut takes at most this much, and what waits in the queue or was just being written."""
FILL_S = 2.0
"""A gap up to this long is filled with silence; after a longer one another file begins."""
FULL_S = 30.0
"""A disk that is full this long ends the recording: `BlockQueue` holds no more than that."""
LAST_S = 5.0
"""So long storage that is away is waited for at the end of a recording."""
_POLL_S = 0.1
_RETRY_S = 0.5


class Storage(Protocol):
    """Where a recording's folder is."""

    def is_there(self) -> bool:
        """Whether what is written gets to where the folder is."""

    def reopen(self, segments: SegmentWriter) -> SegmentWriter:
        """Go on after a failure, here or in a new recording. OutputError while that cannot be."""


class Writer:
    """Writes until the queue is closed and empty. Only its thread ever touches the segments."""

    def __init__(
        self,
        queue: BlockQueue,
        segments: SegmentWriter,
        storage: Storage,
        downmix: Downmix | None = None,
    ) -> None:
        self._queue, self._segments, self._storage = queue, segments, storage
        self._pending: deque[NDArray[np.int16] | int] = deque()
        """Samples, and lengths of gaps, on their way to the disk."""
        self._reopens = False
        self.n_failures = 0
        """How often writing failed."""
        self.problem = ""
        """Why it failed last."""
        self._away_since_s = self._next_try_s = 0.0
        self._closed_s: float | None = None
        self.away: str | None = None
        """Why nothing can be written at the moment."""
        self._converter = Converter(downmix)
        self._forget: SimpleQueue[tuple[float, Future[tuple[int, int]]]] = SimpleQueue()
        self._synced_s = time.monotonic()
        self.error: EchoError | None = None
        """Why it ended, if not because there was no more."""
        self.ended = False
        """Whether it ended by either, and not by a bug."""
        self.recorded_s = 0.0
        """The time of the recording up to which audio was written."""
        self.peak = 0.0
        """Loudest sample of the last tenth of a second, 0 to 1."""
        self.alive_s = time.monotonic()
        """When it last did something, on the monotonic clock."""
        self.thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def forget(self, seconds: float) -> "Future[tuple[int, int]]":
        """Delete the last `seconds`: first sample that is gone, and first after it."""
        done: Future[tuple[int, int]] = Future()
        self._forget.put((seconds, done))
        return done

    @property
    def unwritten_s(self) -> float:
        """Audio in memory that is not written yet."""
        waiting = sum(len(each) for each in self._pending if not isinstance(each, int))
        return self._queue.queued_s + waiting / SAMPLE_RATE

    def _run(self) -> None:
        try:
            while self._step():
                self.alive_s = time.monotonic()
            self.ended = True
        except EchoError as error:
            self.error, self.ended = error, True
            self._close_quietly()
        finally:
            self._queue.close()

    def _step(self) -> bool:
        """Do what there is to do; whether there may be more. EchoError ends the recording."""
        try:
            if self.away is not None:
                self._try_again()
            self._delete()
            more = self._take_block()
            if not more or time.monotonic() - self._synced_s >= SYNC_S:
                self._sync()
            if not more:
                self._segments.close()
            return more
        except OutputError as error:
            self._wait_for_storage(error)
            return True

    def _take_block(self) -> bool:
        block = self._queue.get(_POLL_S)
        if block is not None:
            if block.gap_s or block.rate != self._converter.rate:
                self._pending.append(self._converter.finish(block.rate))
                self._gap(block.gap_s)
            self._pending.append(self._converter.convert(block))
            level = np.abs(block.frames).max(initial=0.0)
            self.peak = float(np.nan_to_num(level))
        elif self._queue.closed.is_set():
            self._pending.append(self._converter.finish())
        self._write()
        return block is not None or not self._queue.closed.is_set()

    def _gap(self, gap_s: float) -> None:
        n_samples = round(gap_s * SAMPLE_RATE)
        if n_samples:
            silence = gap_s <= FILL_S
            self._pending.append(np.zeros(n_samples, np.int16) if silence else n_samples)

    def _write(self) -> None:
        """Write what is pending, as far as storage takes it. OutputError."""
        while self._pending:
            each, before = self._pending[0], self._segments.position
            if isinstance(each, int):
                self._segments.skip(each)
            else:
                try:
                    self._segments.write(each)
                except OutputError:
                    self._pending[0] = each[self._segments.position - before :]
                    raise
            self._pending.popleft()
        self.recorded_s = self._segments.position / SAMPLE_RATE

    def _sync(self) -> None:
        if not self._storage.is_there():
            raise OutputError("the session's folder is gone: storage is away or it was deleted")
        self._segments.sync()
        self._synced_s = time.monotonic()

    def _delete(self) -> None:
        while not self._forget.empty():
            seconds, done = self._forget.get()
            self._pending.append(self._converter.finish())
            try:
                self._write()
                first = self._segments.forget(round(seconds * SAMPLE_RATE))
            except (OSError, OutputError) as error:
                done.set_exception(error)
            else:
                done.set_result((first, self._segments.position))

    def _wait_for_storage(self, error: OutputError) -> None:
        """Keep in memory what is not on the disk for certain; OutputError once that is too long."""
        now_s = time.monotonic()
        if self.away is None:
            self._away_since_s = now_s
        if self._queue.closed.is_set():
            self._closed_s = self._closed_s or now_s
        too_long = is_full(error) and now_s - self._away_since_s > FULL_S
        if too_long or (self._closed_s is not None and now_s - self._closed_s > LAST_S):
            lost = (
                f"; {self.unwritten_s:.1f} s that waited for it are lost"
                if self.unwritten_s
                else ""
            )
            raise OutputError(f"{error}{lost}") from error.__cause__
        if not is_full(error) or self._segments.is_torn:  # else only what is to come has no room
            if len(taken := self._segments.take_back()):
                self._pending.appendleft(taken)
            self._reopens = True
        self.n_failures += 1
        self.away = self.problem = str(error)
        time.sleep(_POLL_S)

    def _try_again(self) -> None:
        """Write what waits; OutputError while storage does not take it."""
        while time.monotonic() < self._next_try_s and not self._queue.closed.is_set():
            time.sleep(_POLL_S)
            self.alive_s = time.monotonic()
        self._next_try_s = time.monotonic() + _RETRY_S
        while not self._forget.empty():
            self._forget.get()[1].set_exception(OSError(errno.ENODEV, "storage is away"))
        if self._reopens:
            self._segments = self._storage.reopen(self._segments)
            self._reopens = False
        self._write()
        self._sync()
        self.away = None

    def _close_quietly(self) -> None:
        """The first error is the one to tell."""
        try:
            self._segments.close()
        except EchoError:
            return
