"""A microphone as blocks of audio for `run --mic`: text only, nothing is kept.

A device that goes and comes back is waited for, as `record` does; what it did not deliver becomes
silence, so that times stay those of the clock.
"""

import threading
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio import SAMPLE_RATE
from echo_edge.cli.stop import EndSoon
from echo_edge.cli.streams import say
from echo_edge.errors import EchoError
from echo_edge.recorder.capture import AudioInput, Block, BlockQueue, Converter

Array = NDArray[np.float32]

BLOCK_S = 0.2
"""Of audio, at least, between two looks at the model: text is not sooner with less."""
POLL_S = 0.1
GAP_S = 60.0
"""A gap beyond this, as of a device that was unplugged for hours, is heard as silence so long."""


def microphone_blocks(source: AudioInput, stop: EndSoon) -> Iterator[Array]:
    """Yield float32 `[samples]` at 16 kHz until the source ends or the first signal comes, with all
    that was recorded by then. EchoError where the source fails; one line on stderr for what does
    not end it."""
    queue, ended, failed = BlockQueue(), threading.Event(), list[EchoError]()

    def record() -> None:
        try:
            source.run(queue, ended)
        except EchoError as error:
            failed.append(error)
        finally:
            queue.close()

    thread = threading.Thread(target=record, daemon=True)
    thread.start()
    try:
        yield from _converted(source, queue, stop, ended)
    finally:
        ended.set()
        queue.close()
        thread.join()
    if failed:
        raise failed[0]
    if queue.lost_s:
        say(
            f"{source.name}: {queue.lost_s:.1f} s of audio were lost: the text did not keep up, "
            "try more --threads"
        )


def _converted(
    source: AudioInput, queue: BlockQueue, stop: EndSoon, ended: threading.Event
) -> Iterator[Array]:
    converter, complained = Converter(source.downmix), None
    waiting: list[Array] = []
    n_waiting = 0
    while True:
        if stop.number:
            ended.set()
        block = queue.get(POLL_S)
        if block is None and (queue.closed.is_set() or ended.is_set()):
            break
        if source.problem not in (None, complained):
            complained = source.problem
            say(complained)
        if block is None:
            continue
        waiting += _samples(converter, block)
        n_waiting = sum(map(len, waiting))
        if n_waiting >= BLOCK_S * SAMPLE_RATE:
            yield np.concatenate(waiting)
            waiting = []
    yield np.concatenate([*waiting, _float(converter.finish())])


def _samples(converter: Converter, block: Block) -> list[Array]:
    """The samples of a block, after the silence of a gap before it."""
    parts = []
    if block.gap_s or block.rate != converter.rate:
        parts.append(_float(converter.finish(block.rate)))
        parts.append(np.zeros(round(min(block.gap_s, GAP_S) * SAMPLE_RATE), np.float32))
    return [*parts, _float(converter.convert(block))]


def _float(samples: NDArray[np.int16]) -> Array:
    return samples.astype(np.float32) / np.float32(32768)
