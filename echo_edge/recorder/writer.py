"""The writer thread: the queue's blocks to segments, and whatever else is done to the audio."""

import threading
import time
from concurrent.futures import Future
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio import SAMPLE_RATE
from echo_edge.errors import EchoError
from echo_edge.recorder.capture import BlockQueue, Converter
from echo_edge.recorder.segments import SegmentWriter

SYNC_S = 0.5
"""A power cut takes at most this much, and what waits in the queue or was just being written."""
FILL_S = 2.0
"""A gap up to this long is filled with silence; after a longer one another file begins."""
_POLL_S = 0.1


class Writer:
    """Writes until the queue is closed and empty. Only its thread ever touches the segments."""

    def __init__(self, queue: BlockQueue, segments: SegmentWriter) -> None:
        self._queue, self._segments = queue, segments
        self._converter = Converter()
        self._forget: SimpleQueue[tuple[float, Future[tuple[int, int]]]] = SimpleQueue()
        self._synced_s = time.monotonic()
        self.error: EchoError | None = None
        """Why it ended, if not because there was no more."""
        self.ended = False
        """Whether it ended by either, and not by a bug."""
        self.recorded_s = 0.0
        """The session's time up to which audio was written."""
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
        while not self._forget.empty():
            seconds, done = self._forget.get()
            self._write(self._converter.finish())
            try:
                first = self._segments.forget(round(seconds * SAMPLE_RATE))
            except OSError as error:
                done.set_exception(error)
            else:
                done.set_result((first, self._segments.position))
        block = self._queue.get(_POLL_S)
        if block is not None:
            if block.gap_s or block.rate != self._converter.rate:
                self._write(self._converter.finish(block.rate))
                self._gap(block.gap_s)
            self._write(self._converter.convert(block))
            level = np.abs(block.frames).max(initial=0.0)
            self.peak = float(np.nan_to_num(level))
        elif self._queue.closed.is_set():
            self._write(self._converter.finish())
            self._segments.close()
            return False
        if time.monotonic() - self._synced_s >= SYNC_S:
            self._segments.sync()
            self._synced_s = time.monotonic()
        return True

    def _write(self, samples: NDArray[np.int16]) -> None:
        self._segments.write(samples)
        self.recorded_s = self._segments.position / SAMPLE_RATE

    def _gap(self, gap_s: float) -> None:
        n_samples = round(gap_s * SAMPLE_RATE)
        if gap_s <= FILL_S:
            self._write(np.zeros(n_samples, np.int16))
        else:
            self._segments.skip(n_samples)

    def _close_quietly(self) -> None:
        """The first error is the one to tell."""
        try:
            self._segments.close()
        except EchoError:
            return
