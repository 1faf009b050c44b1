"""Where audio comes from, and the bounded queue that takes it away from there.

A source knows its device or file, not what happens to the audio; it never waits for the disk, let
alone for an engine. Where the queue is full, a file waits; a microphone cannot, and what it loses
is counted, reported and put on the time line as a gap.
"""

import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio import (
    SAMPLE_RATE,
    Reading,
    duration_s,
    read_blocks,
    resampler,
    stdin_blocks,
)
from echo_edge.audio.channels import AUTO, Downmix
from echo_edge.errors import AudioError

Array = NDArray[np.float32]
Samples = NDArray[np.int16]

BLOCK_S = 0.1
QUEUE_S = 30.0
"""How long the disk may stall before audio is lost."""


@dataclass(frozen=True)
class Block:
    """Audio of an input: float32 `[frames, channels]` at `rate` Hz, `gap_s` after the last one."""

    frames: Array
    rate: int
    gap_s: float = 0.0


class BlockQueue:
    """Blocks on their way from the source to the writer; at most `QUEUE_S` seconds of them."""

    def __init__(self, max_s: float = QUEUE_S) -> None:
        self._blocks: deque[Block] = deque()  # append and popleft are atomic
        self._max_s = max_s
        self._in_s = self._out_s = 0.0
        self._gap_s = 0.0
        self._arrived = threading.Event()
        self.closed = threading.Event()
        self.flows = threading.Event()
        """Set once the source delivers, or would if somebody spoke."""
        self.paused = False
        """While set, blocks are dropped; their time is not."""
        self.lost_s = 0.0
        """How much was dropped because the queue was full."""
        self.n_overruns = 0
        """How often the device said that it lost frames."""

    @property
    def queued_s(self) -> float:
        """Audio that waits for the writer."""
        return self._in_s - self._out_s

    def put(self, block: Block, wait: bool = False) -> None:
        """Add a block. If there is no room, `wait` for it or drop the block and count it."""
        block_s = len(block.frames) / block.rate
        while wait and self.queued_s + block_s > self._max_s and not self.closed.is_set():
            time.sleep(BLOCK_S / 10)
        self.flows.set()
        self._gap_s += block.gap_s
        if self.paused:
            self._gap_s += block_s
        elif self.queued_s + block_s > self._max_s:
            self._gap_s += block_s
            self.lost_s += block_s
        else:
            self._in_s += block_s
            self._blocks.append(Block(block.frames, block.rate, self._gap_s))
            self._gap_s = 0.0
            self._arrived.set()

    def get(self, timeout_s: float) -> Block | None:
        """The oldest block; None if there is none within `timeout_s`."""
        if not self._blocks and not self.closed.is_set():
            self._arrived.wait(timeout_s)
        self._arrived.clear()
        if not self._blocks:
            return None
        block = self._blocks.popleft()
        self._out_s += len(block.frames) / block.rate
        if self._blocks:
            self._arrived.set()
        return block

    def close(self) -> None:
        """No more blocks will come."""
        self.closed.set()
        self._arrived.set()


class AudioInput(Protocol):
    """A microphone, a file or a pipe."""

    name: str
    problem: str | None
    """Why it cannot record at the moment; None if it can."""
    downmix: Downmix
    """How the frames that it puts into the queue become one channel."""

    @property
    def finding(self) -> str:
        """Everything about its audio that is not nominal; empty if nothing."""

    def run(self, queue: BlockQueue, stop: threading.Event) -> None:
        """Put blocks into `queue` until the source ends or `stop` is set. Raises AudioError."""


class FileInput:
    """An audio file as if it were a microphone, `pace` times as fast; 0 is as fast as it goes."""

    problem: str | None = None

    def __init__(self, path: str, pace: float = 1.0, channel: str = AUTO) -> None:
        duration_s(path)  # raises if this is no audio
        with suppress(AudioError):  # which comes when it is heard
            next(read_blocks(path, BLOCK_S, Reading(channel)), None)  # raises if it has no such one
        self.name, self._pace = path, pace
        self._reading, self.downmix = Reading(channel), Downmix()

    @property
    def finding(self) -> str:
        """See AudioInput."""
        return self._reading.finding

    def run(self, queue: BlockQueue, stop: threading.Event) -> None:
        """See AudioInput."""
        queue.flows.set()
        started, n_samples = time.monotonic(), 0
        for block in read_blocks(self.name, BLOCK_S, self._reading):
            n_samples += len(block)
            due = started + n_samples / SAMPLE_RATE / self._pace if self._pace else 0.0
            # A microphone hands a block over when its last sample was recorded, not before.
            if stop.wait(max(0.0, due - time.monotonic())):
                return
            queue.put(Block(block[:, None], SAMPLE_RATE), wait=True)


class PcmInput:
    """Raw 16 kHz mono signed 16-bit little-endian PCM, or any container, from a binary stream."""

    problem: str | None = None

    def __init__(self, stream: object, name: str = "stdin", channel: str = AUTO) -> None:
        self.name, self._stream = name, stream
        self._reading, self.downmix = Reading(channel), Downmix()

    @property
    def finding(self) -> str:
        """See AudioInput."""
        return self._reading.finding

    def run(self, queue: BlockQueue, stop: threading.Event) -> None:
        """See AudioInput."""
        queue.flows.set()
        blocks = stdin_blocks(self._stream, BLOCK_S, self._reading)  # type: ignore[arg-type]
        for block in blocks:
            if stop.is_set():
                return
            queue.put(Block(block[:, None], SAMPLE_RATE), wait=True)


class Converter:
    """Any rate and channel count to 16 kHz mono int16, without a seam between blocks."""

    def __init__(self, downmix: Downmix | None = None) -> None:
        self._downmix = downmix or Downmix()
        self.rate = SAMPLE_RATE
        """Of the blocks it takes."""
        self._resample = resampler(SAMPLE_RATE)

    def convert(self, block: Block) -> Samples:
        """The samples that are complete with this block, int16 `[n]`."""
        return _to_int16(self._resample(self._downmix.push(block.frames, block.rate), False))

    def finish(self, rate: int | None = None) -> Samples:
        """The samples that are left, int16 `[n]`; the next block may have another `rate`."""
        rest = _to_int16(self._resample(np.zeros(0, np.float32), True))
        self.rate = rate or self.rate
        self._resample = resampler(self.rate)
        return rest


def _to_int16(samples: Array) -> Samples:
    """Exact for what was 16-bit; what is not finite (a broken driver) becomes silence."""
    scaled = np.rint(np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0) * 32768.0)
    samples_16: Samples = np.clip(scaled, -32768, 32767).astype(np.int16)
    return samples_16
