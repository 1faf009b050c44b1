"""A microphone as an iterator of 16 kHz mono blocks, for programs that listen themselves."""

import math
import threading
import time
from collections.abc import Iterator
from typing import Self

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio import SAMPLE_RATE
from echo_edge.errors import AudioError, EchoError, UsageError
from echo_edge.recorder.capture import BLOCK_S, BlockQueue, Converter
from echo_edge.recorder.microphone import Microphone

Samples = NDArray[np.int16]

MUTE_S = 10.0
"""A microphone that delivers nothing for so long is given up."""


class Listening:
    """A microphone that is heard while the context lasts. Errors as of `Microphone`."""

    def __init__(
        self, device: str | None, channel: str, block_s: float, seconds: float = math.inf
    ) -> None:
        """Blocks of `block_s` seconds, and audio of `seconds` in all."""
        if not seconds > 0:
            raise UsageError(f"seconds: found {seconds}, expected more than 0")
        self._microphone = Microphone(device, channel)
        self._block_samples = round(block_s * SAMPLE_RATE)
        self._seconds = seconds
        self._queue, self._stop = BlockQueue(), threading.Event()
        self._thread = threading.Thread(target=self._record, daemon=True)
        self._failure: BaseException | None = None
        self.end: BaseException | None = None
        """What ended the blocks before their time: Ctrl-C, or an AudioError."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._queue.close()
        self._thread.join()

    def blocks(self) -> Iterator[Samples]:
        """Yield int16 `[samples]` until `seconds` are full or something is the `end`: Ctrl-C, or
        that nothing comes for 10 s. What the microphone lost is silence, so that times stay those
        of the clock.
        """
        left = math.inf if math.isinf(self._seconds) else round(self._seconds * SAMPLE_RATE)
        waiting = np.zeros(0, np.int16)
        try:
            for samples in self._converted():
                waiting = np.concatenate([waiting, samples])
                if len(waiting) >= min(left, self._block_samples):
                    ready = waiting if left > len(waiting) else waiting[: int(left)]
                    yield ready
                    left, waiting = left - len(ready), waiting[len(ready) :]
                if left <= 0:
                    return
        except (KeyboardInterrupt, EchoError) as error:
            self.end = error
        yield waiting

    def _converted(self) -> Iterator[Samples]:
        """Yield what arrives, at 16 kHz and one channel, gaps as silence. AudioError."""
        converter, heard_s = Converter(self._microphone.downmix), time.monotonic()
        while True:
            block = self._queue.get(BLOCK_S)
            if self._failure is not None:
                raise self._failure
            if block is None:
                if time.monotonic() - heard_s > MUTE_S:
                    problem = self._microphone.problem or f"{self._microphone.name}: no audio comes"
                    raise AudioError(f"microphone: {problem}: check its cable and its settings")
                continue
            heard_s = time.monotonic()
            if block.rate != converter.rate:
                yield converter.finish(block.rate)
            if block.gap_s:
                yield np.zeros(round(block.gap_s * SAMPLE_RATE), np.int16)
            yield converter.convert(block)

    def _record(self) -> None:
        try:
            self._microphone.run(self._queue, self._stop)
        except BaseException as error:  # it is raised where the blocks are taken
            self._failure = error
