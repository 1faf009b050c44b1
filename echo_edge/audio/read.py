"""Audio files to 16 kHz mono blocks.

Memory is bounded by the block, whatever the length of the recording, and nothing is cut short in
silence: a recording that breaks off is read to the break and then refused.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from typing import BinaryIO

import numpy as np

from echo_edge.audio.flac import flac_streams
from echo_edge.audio.forward import Forward
from echo_edge.audio.kinds import HEAD_BYTES, Kind, find_kind, has_mp3_within
from echo_edge.audio.layout import Layout, find_layout
from echo_edge.audio.linear import linear_bytes, linear_pieces
from echo_edge.audio.media import can_read_media, media_pieces
from echo_edge.audio.mp3 import id3_end, mp3_streams
from echo_edge.audio.ogg import ogg_streams
from echo_edge.audio.pieces import (
    Array,
    Cut,
    Piece,
    check_block,
    check_rate,
    joined,
    to_blocks,
)
from echo_edge.audio.reading import PEEK_S, Reading
from echo_edge.audio.sound import COUNT_UNKNOWN, NotSound, open_sound, sound_pieces
from echo_edge.audio.splice import Part, Stream
from echo_edge.errors import AudioError

_SEARCH_BYTES = 1 << 16
_SPLITTERS = {"ogg": ogg_streams, "flac": flac_streams, "mp3": mp3_streams}


def read_blocks(
    path: str | PathLike[str], block_s: float = 10.0, reading: Reading | None = None
) -> Iterator[Array]:
    """Yield the recording as float32 `[samples]`, 16 kHz mono, nominally within -1 to 1.

    Reads WAV, RF64, W64, AIFF, CAF, AU, FLAC, Ogg, MP3 and whatever else libsndfile reads; M4A,
    MP4, WebM, WMA, AMR and the like where PyAV or ffmpeg is installed; at 1 kHz to 1 MHz and with
    any number of channels: their mean is taken, or what `reading` says, which keeps what was found.
    Every block but the last lasts `block_s` seconds; their concatenation does not depend on it. A
    valid file without samples yields nothing.

    Raises AudioError, at the first `next`, for what is not a readable audio file; and, after
    yielding all that could be read, where the file breaks off, is damaged or holds values that are
    not finite; UsageError for a channel that is not there.
    """
    check_block(block_s)
    reading, name = reading or Reading(), str(path)
    with _open(path) as file:
        reading.expect(_float_peak(file, name))
        yield from to_blocks(file_pieces(file, name), name, block_s, reading)


def duration_s(path: str | PathLike[str]) -> float | None:
    """Length in seconds as the header or the bytes tell it, None where neither does.

    Raises AudioError for what is not a readable audio file.
    """
    name = str(path)
    with _open(path) as file:
        kind = _kind(file)
        if (found := _linear(file, name, kind)) is not None:
            source, layout = found
            check_rate(layout.rate, name)
            return linear_bytes(file, source.position, layout) / layout.frame_bytes / layout.rate
        if kind is None or kind.reader in _SPLITTERS:
            with suppress(NotSound):
                return _sound_s(file, kind, name)
        _check(file_pieces(file, name))
        return None


def _sound_s(file: BinaryIO, kind: Kind | None, name: str) -> float | None:
    """Length of what libsndfile decodes, None if unknown; NotSound if it does not."""
    total_s = 0.0
    for stream in _streams(file, kind, name):
        with open_sound(file, stream.parts, name) as sound:
            n_samples = sound.frames if stream.n_samples is None else stream.n_samples
            if n_samples >= COUNT_UNKNOWN:
                return None
            total_s += n_samples / sound.samplerate
    return total_s


def _check(pieces: Iterator[Piece]) -> None:
    """Raise AudioError if there is nothing to hear because it is no audio."""
    with suppress(Cut):
        next(pieces, None)


def file_pieces(file: BinaryIO, name: str) -> Iterator[Piece]:
    """Yield what a file holds that can be seeked in. Raises AudioError if it is no audio, and Cut
    at the end if not all could be heard."""
    kind = _kind(file)
    if kind is not None and not kind.reader:
        raise _not_audio(name, f"it is {kind.title}")
    if kind is not None and kind.reader == "media":
        yield from media_pieces(file, kind, name)
    elif (found := _linear(file, name, kind)) is not None:
        yield from linear_pieces(*found)
    else:
        yield from _decoded(file, kind, name)


def _kind(file: BinaryIO) -> Kind | None:
    """The container, after any ID3v2 tag in front."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if head[:3] == b"ID3":
        file.seek(id3_end(file))
        head = file.read(HEAD_BYTES)
    file.seek(0)
    return find_kind(head)


def _linear(file: BinaryIO, name: str, kind: Kind | None) -> tuple[Forward, Layout] | None:
    """A container of plain samples, read as far as these."""
    if kind is None or kind.reader != "linear":
        return None
    file.seek(0)
    source = Forward(file, name)
    layout = find_layout(source)
    return (source, layout) if layout is not None and layout.encoding else None


def _float_peak(file: BinaryIO, name: str) -> float:
    """The loudest of the first samples of a file of floating-point ones; 0 of any other."""
    found = _linear(file, name, _kind(file))
    if found is None or not found[1].encoding.startswith("f"):
        return 0.0
    peak, heard_s = 0.0, 0.0
    with suppress(Cut):
        for frames, rate in linear_pieces(*found):
            peak = max(peak, float(np.abs(frames[np.isfinite(frames)]).max(initial=0.0)))
            heard_s += len(frames) / rate
            if heard_s >= PEEK_S:
                break
    return peak


def _streams(file: BinaryIO, kind: Kind | None, name: str) -> list[Stream]:
    """Streams for libsndfile, one after the other."""
    size = file.seek(0, os.SEEK_END)
    reader = kind.reader if kind is not None else ""
    if reader == "linear":
        return [Stream(_sized(file, name, size))]
    if not reader:
        file.seek(0)
        if has_mp3_within(file.read(_SEARCH_BYTES)):
            reader = "mp3"
        else:
            with open_sound(file, [], name) as sound:
                reader = "mp3" if sound.format == "MP3" else ""
    split = _SPLITTERS.get(reader)
    return (split(file, size) if split else []) or [Stream([])]


def _sized(file: BinaryIO, name: str, size: int) -> list[Part]:
    """Parts of a compressed WAV; its size is told where its writer never did."""
    file.seek(0)
    source = Forward(file, name)
    layout = find_layout(source)
    if layout is None or layout.declared or not layout.size_at:
        return []
    declared = min(size - source.position, 0xFFFFFFFF).to_bytes(4, "little")
    return [(0, layout.size_at), declared, (layout.size_at + 4, size)]


def _decoded(file: BinaryIO, kind: Kind | None, name: str) -> Iterator[Piece]:
    """Yield all streams that libsndfile decodes, or FFmpeg the whole if it takes none."""
    streams: list[Stream] = []
    try:
        streams = _streams(file, kind, name)
        yield from joined([sound_pieces(file, stream, name) for stream in streams])
    except NotSound as error:
        if kind is None or not can_read_media():
            raise _not_audio(name, str(error)) from error
        parts = [part for stream in streams for part in stream.parts if isinstance(part, tuple)]
        yield from _other_codec(file, parts if kind.reader == "ogg" else [], kind, name, str(error))


def _other_codec(
    file: BinaryIO, parts: list[tuple[int, int]], kind: Kind, name: str, reason: str
) -> Iterator[Piece]:
    """Yield what FFmpeg makes of a container that libsndfile did not take, for this reason."""
    n_pieces = 0
    try:
        for piece in media_pieces(file, kind, name, parts):
            n_pieces += 1
            yield piece
    except AudioError as error:
        if n_pieces:
            raise
        raise _not_audio(name, reason) from error


def _not_audio(name: str, reason: str) -> AudioError:
    more = "" if can_read_media() else ", and FFmpeg more: apt install ffmpeg, or pip install av"
    return AudioError(
        f"{name}: not audio that can be read ({reason}): "
        f"expected WAV, FLAC, Ogg, MP3 or another format that libsndfile reads{more}"
    )


@contextmanager
def _open(path: str | PathLike[str]) -> Iterator[BinaryIO]:
    """Open a regular file that is not empty; AudioError if it is anything else."""
    try:
        status = os.stat(path)  # noqa: PTH116 - `path` may be a plain string
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or a pipe"
            raise AudioError(f"{path}: found {kind}, expected an audio file")
        if not status.st_size:
            raise AudioError(f"{path}: found an empty file, expected audio: record it again")
        file = open(path, "rb", buffering=0)  # noqa: PTH123, SIM115 - closed below
    except OSError as error:
        raise AudioError(
            f"{path}: cannot be read ({error.strerror}): check the path and its permissions"
        ) from error
    with file:
        yield file
