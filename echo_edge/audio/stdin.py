"""Standard input: raw PCM, or a container recognised by its first bytes."""

import os
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, cast

import numpy as np

from echo_edge.audio.forward import Forward
from echo_edge.audio.kinds import HEAD_BYTES, Kind, find_kind, is_text
from echo_edge.audio.layout import find_layout
from echo_edge.audio.linear import linear_pieces
from echo_edge.audio.media import check_media
from echo_edge.audio.pieces import PIECE_FRAMES, Array, check_block, to_blocks
from echo_edge.audio.read import file_pieces
from echo_edge.audio.reading import Reading
from echo_edge.audio.wav import SAMPLE_RATE
from echo_edge.errors import AudioError

_NAME = "standard input"
_SPOOL_FOLDER = "/var/tmp"  # noqa: S108 - anonymous; on a disk, where /tmp may be memory
_COPY_BYTES = 1 << 20


def stdin_blocks(
    stream: BinaryIO, block_s: float = 0.5, reading: Reading | None = None
) -> Iterator[Array]:
    """Yield what a pipe holds as float32 `[samples]`, 16 kHz mono, nominally within -1 to 1.

    WAV, RF64, W64, AIFF, CAF and AU are heard as they come, whatever their header tells of their
    length. Every other container that `read_blocks` reads is kept in a file without a name until
    the pipe ends, and read then. What is none is raw 16 kHz mono signed 16-bit little-endian PCM.
    Every block but the last lasts `block_s` seconds. `reading` and errors as of `read_blocks` and
    `pcm_blocks`.
    """
    check_block(block_s)
    source = Forward(stream, _NAME)
    reading, kind = reading or Reading(), _kind(source)
    if kind is None:
        _check_mono(reading)
        yield from _pcm(source, block_s)
    elif not kind.reader:
        raise AudioError(f"{_NAME}: found {kind.title}, expected audio, or raw PCM")
    elif kind.reader == "linear":
        yield from _linear(source, block_s, reading)
    else:
        if kind.reader == "media":
            check_media(kind, _NAME)
        yield from _whole(source, block_s, reading)


def pcm_blocks(stream: BinaryIO, block_s: float = 0.5) -> Iterator[Array]:
    """Yield raw 16 kHz mono signed 16-bit little-endian PCM as float32 `[samples]` in [-1, 1).

    Every block but the last lasts `block_s` seconds, however short the reads of the stream.
    Raises AudioError where the stream fails, or ends in the middle of a sample.
    """
    check_block(block_s)
    yield from _pcm(Forward(stream, "raw PCM"), block_s)


def _pcm(source: Forward, block_s: float) -> Iterator[Array]:
    size = 2 * max(1, round(block_s * SAMPLE_RATE))
    while data := source.read(size):
        pcm = np.frombuffer(data[: len(data) & ~1], dtype="<i2")
        if len(pcm):
            yield pcm.astype(np.float32) / np.float32(32768)
        if len(data) % 2:
            raise AudioError(
                "raw PCM: found an odd number of bytes, expected 16-bit samples: "
                "send 16 kHz mono signed 16-bit little-endian PCM"
            )


def _check_mono(reading: Reading) -> None:
    """UsageError if another than the only channel is asked for."""
    reading.downmix.name = "raw PCM"
    reading.mono(np.zeros((0, 1), np.float32), SAMPLE_RATE)


def _kind(source: Forward) -> Kind | None:
    """The container; more than 16 bytes are waited for only if these may begin one."""
    head = source.peek(16)
    kind = find_kind(head)
    if kind is None and (head[:1] in (b"\xff", b"G") or is_text(head)):
        kind = find_kind(source.peek(HEAD_BYTES))
    return kind


def _linear(source: Forward, block_s: float, reading: Reading) -> Iterator[Array]:
    """A container of plain samples as it comes; one of compressed samples when it has ended."""
    with _temporary() as file:
        source.copy_to = file
        layout = find_layout(source)
        if layout is None or not layout.encoding:
            _spool(source)
            yield from to_blocks(file_pieces(file, _NAME), _NAME, block_s, reading)
            return
        source.copy_to = None
    n_frames = max(1, min(PIECE_FRAMES, round(layout.rate * block_s)))
    yield from to_blocks(linear_pieces(source, layout, n_frames), _NAME, block_s, reading)


def _whole(source: Forward, block_s: float, reading: Reading) -> Iterator[Array]:
    """Audio that can only be read when it has ended."""
    with _temporary() as file:
        source.copy_to = file
        _spool(source)
        yield from to_blocks(file_pieces(file, _NAME), _NAME, block_s, reading)


def _spool(source: Forward) -> None:
    while source.read(_COPY_BYTES):
        pass
    source.copy_to = None


def _temporary() -> BinaryIO:
    """A file without a name."""
    folder = _SPOOL_FOLDER if os.access(_SPOOL_FOLDER, os.W_OK) else None
    try:
        return cast(BinaryIO, tempfile.TemporaryFile(dir=folder, buffering=0))
    except OSError as error:
        raise AudioError(
            f"{_NAME}: cannot be kept in a file ({error.strerror}): set TMPDIR, or give a file"
        ) from error
