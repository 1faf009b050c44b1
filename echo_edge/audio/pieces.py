"""From what readers decode, of any rate and channel count, to blocks of 16 kHz mono.

Every reader yields `Piece`s and ends with `Cut` where it could not hear everything; one function,
`to_blocks`, turns them into what the rest of the program takes.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio.reading import Reading
from echo_edge.audio.wav import SAMPLE_RATE
from echo_edge.errors import AudioError

Array = NDArray[np.float32]

LOUDEST = 1e10
"""Beyond this a float32 power spectrum overflows; no audio comes near."""

PIECE_FRAMES = 4096
"""Frames read at a time: few, because a file may have a thousand channels."""

_SOURCE_RATES_HZ = (1_000, 1_000_000)


class Piece(NamedTuple):
    """Decoded audio: float32 `[frames, channels]`, nominally within -1 to 1, at `rate` Hz."""

    frames: Array
    rate: int


class Cut(Exception):  # noqa: N818 - ends a recording as StopIteration does
    """A recording of which a part could not be heard; the message says which part."""

    def __init__(self, message: str, ends: bool = True) -> None:
        super().__init__(message)
        self.ends = ends
        """Whether the audio breaks off there, rather than having a hole."""


def to_blocks(
    pieces: Iterator[Piece], name: str, block_s: float, reading: Reading | None = None
) -> Iterator[Array]:
    """Yield float32 `[samples]` at 16 kHz, blocks of `block_s` seconds; the last may be shorter.

    Raises AudioError at the first value that is not finite, and after everything else where
    `pieces` ends with `Cut`. `name` begins the message. `reading` says how channels become one and
    keeps what was found; UsageError for a channel that is not there.
    """
    size = max(1, round(block_s * SAMPLE_RATE))
    buffered: list[Array] = []
    try:
        for samples in _mono(pieces, name, reading or Reading()):
            buffered.append(samples)
            if sum(map(len, buffered)) >= size:
                joined = np.concatenate(buffered)
                whole = len(joined) // size * size
                yield from np.split(joined[:whole], whole // size)
                buffered = [joined[whole:]]
    except AudioError:
        yield from _rest(buffered)
        raise
    yield from _rest(buffered)


def joined(streams: list[Iterator[Piece]]) -> Iterator[Piece]:
    """Yield the streams of a file, one after the other, all of them whatever is missing of one.

    Raises Cut for the first of which something is missing.
    """
    cut = None
    for number, stream in enumerate(streams, 1):
        found = None
        try:
            yield from stream
        except Cut as error:
            found = error
        except AudioError:
            if number == 1:
                raise
            found = Cut("it cannot be read", ends=False)
        if found is not None and len(streams) > 1:
            found = Cut(f"stream {number} of {len(streams)}: {found}", ends=number == len(streams))
        cut = cut or found
    if cut is not None:
        raise cut


def check_block(block_s: float) -> None:
    """Raise ValueError for a length that is not positive."""
    if not block_s > 0:
        raise ValueError(f"block_s: found {block_s}, expected more than 0")


def check_rate(rate: float, name: str) -> None:
    """Raise AudioError for a sample rate that no recording has."""
    low, high = _SOURCE_RATES_HZ
    if not low <= rate <= high:
        raise AudioError(f"{name}: found a sample rate of {rate} Hz, expected {low} to {high} Hz")


def resampler(rate: int) -> Callable[[Array, bool], Array]:
    """Return `resample(samples, is_last)`, whose outputs, joined, do not depend on the pieces."""
    if rate == SAMPLE_RATE:
        return lambda samples, _: samples
    import soxr

    stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    return lambda samples, is_last: np.asarray(stream.resample_chunk(samples, last=is_last))


def _mono(pieces: Iterator[Piece], name: str, reading: Reading) -> Iterator[Array]:
    """Yield 16 kHz mono; where the rate changes, as in joined files, the resampler begins anew."""
    rate, heard_s, cut = SAMPLE_RATE, 0.0, None
    reading.downmix.name = name
    resample, nothing = resampler(rate), np.empty(0, np.float32)
    try:
        for piece in pieces:
            if piece.rate != rate:
                yield resample(nothing, True)
                check_rate(piece.rate, name)
                rate, resample = piece.rate, resampler(piece.rate)
            mono = reading.mono(piece.frames, rate)
            yield resample(_checked(mono, heard_s, rate, name), False)
            heard_s += len(piece.frames) / rate
    except Cut as found:
        cut = found
    yield resample(nothing, True)
    if cut is not None:
        place = f"breaks off at {heard_s:.3f} s, " if cut.ends else ""
        what = "incomplete" if cut.ends else "damaged"
        raise AudioError(f"{name}: {place}{cut}: the file is {what}; copy or record it again")


def _checked(mono: Array, start_s: float, rate: int, name: str) -> Array:
    """The samples, which must be finite."""
    wrong = ~(np.abs(mono) < LOUDEST)  # also true of NaN
    if wrong.any():
        at = int(wrong.argmax())
        raise AudioError(
            f"{name}: found a sample of {mono[at]:g} at {start_s + at / rate:.3f} s, expected "
            "finite values, nominally within -1 to 1: export or record the file again"
        )
    return mono


def _rest(buffered: list[Array]) -> Iterator[Array]:
    if sum(map(len, buffered)):
        yield np.concatenate(buffered)
