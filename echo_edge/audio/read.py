"""Audio files and raw PCM to 16 kHz mono blocks.

Memory is bounded by the block, whatever the length of the recording, and nothing is cut short in
silence: a recording that breaks off is read to the break and then refused.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from os import PathLike
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio.header import Header, UnfinishedWav, inspect
from echo_edge.audio.wav import SAMPLE_RATE
from echo_edge.errors import AudioError

if TYPE_CHECKING:
    from soundfile import SoundFile

Array = NDArray[np.float32]

LOUDEST = 1e10
"""Beyond this a float32 power spectrum overflows; no audio comes near."""

_SOURCE_RATES_HZ = (1_000, 1_000_000)
# Frames read at a time: few, because a file may have a thousand channels.
_PIECE_FRAMES = 4096
_COUNT_UNKNOWN = 2**62


def read_blocks(path: str | PathLike[str], block_s: float = 10.0) -> Iterator[Array]:
    """Yield the recording as float32 `[samples]`, 16 kHz mono, nominally within -1 to 1.

    Reads every format libsndfile reads, at 1 kHz to 1 MHz and with any number of channels (their
    mean is taken). Every block but the last lasts `block_s` seconds; their concatenation does not
    depend on it. A valid file without samples yields nothing.

    Raises AudioError, at the first `next`, for what is not a readable audio file; and, after
    yielding all that comes before, where the file breaks off or holds values that are not finite.
    """
    if not block_s > 0:
        raise ValueError(f"block_s: found {block_s}, expected more than 0")
    size = max(1, round(block_s * SAMPLE_RATE))
    held: list[Array] = []
    try:
        for piece in _pieces(path):
            held.append(piece)
            if sum(map(len, held)) >= size:
                joined = np.concatenate(held)
                whole = len(joined) // size * size
                yield from np.split(joined[:whole], whole // size)
                held = [joined[whole:]]
    except AudioError:
        yield from _rest(held)
        raise
    yield from _rest(held)


def duration_s(path: str | PathLike[str]) -> float | None:
    """Length in seconds as the header tells it (in some MP3 a guess), None where it does not.

    Raises AudioError for what is not a readable audio file.
    """
    with _open(path, inspect(path)) as sound:
        known = sound.frames < _COUNT_UNKNOWN
        return float(sound.frames / sound.samplerate) if known else None


def pcm_blocks(stream: BinaryIO, block_s: float = 0.5) -> Iterator[Array]:
    """Yield raw 16 kHz mono signed 16-bit little-endian PCM as float32 `[samples]` in [-1, 1).

    Every block but the last lasts `block_s` seconds, however short the reads of the stream.
    Raises AudioError where the stream fails, or ends in the middle of a sample.
    """
    if not block_s > 0:
        raise ValueError(f"block_s: found {block_s}, expected more than 0")
    size = 2 * max(1, round(block_s * SAMPLE_RATE))
    while data := _read_fully(stream, size):
        pcm = np.frombuffer(data[: len(data) & ~1], dtype="<i2")
        if len(pcm):
            yield pcm.astype(np.float32) / np.float32(32768)
        if len(data) % 2:
            raise AudioError(
                "raw PCM: found an odd number of bytes, expected 16-bit samples: "
                "send 16 kHz mono signed 16-bit little-endian PCM"
            )


def _rest(held: list[Array]) -> Iterator[Array]:
    if sum(map(len, held)):
        yield np.concatenate(held)


def _read_fully(stream: BinaryIO, size: int) -> bytes:
    """Read `size` bytes, fewer only at the end of the stream."""
    data = bytearray()
    while len(data) < size:
        try:
            piece = stream.read(size - len(data))
        except OSError as error:
            raise AudioError(f"raw PCM: the stream failed ({error.strerror})") from error
        if piece is None:
            raise AudioError("raw PCM: found a non-blocking stream, expected a blocking one")
        if not piece:
            break
        data += piece
    return bytes(data)


def _pieces(path: str | PathLike[str]) -> Iterator[Array]:
    """Yield 16 kHz mono pieces; AudioError at the first value not finite and after a break."""
    header = inspect(path)
    with _open(path, header) as sound:
        rate, n_read, damage = sound.samplerate, 0, ""
        resample = resampler(rate)
        while not damage:
            frames, damage = _read_piece(sound)
            if not len(frames):
                break
            yield resample(_downmix(frames, n_read / rate, rate, path), False)
            n_read += len(frames)
        yield resample(np.empty(0, np.float32), True)
        if sound.frames >= _COUNT_UNKNOWN:
            damage = ""  # a FLAC that was piped: libsndfile fails at its end, damaged or not
        elif n_read < sound.frames and (sound.format != "MP3" or header.counts_mp3_frames):
            damage = f"expected {sound.frames / rate:.3f} s as its header promises"
    if header.cut or damage:
        raise AudioError(
            f"{path}: breaks off at {n_read / rate:.3f} s, {header.cut or damage}: "
            "the file is incomplete; copy or record it again"
        )


def _read_piece(sound: "SoundFile") -> tuple[Array, str]:
    """Read `[frames, channels]` and, where damage ends them, what libsndfile says of it."""
    from soundfile import SoundFileError

    piece = np.full((_PIECE_FRAMES, sound.channels), np.nan, np.float32)
    try:
        return np.asarray(sound.read(out=piece)), ""
    except SoundFileError as error:
        # What was decoded before the damage is there, only nothing tells how much.
        untouched = np.isnan(piece).any(axis=1)
        n_frames = int(untouched.argmax()) if untouched.any() else len(piece)
        return piece[:n_frames], str(error)


def resampler(rate: int) -> Callable[[Array, bool], Array]:
    """Return `resample(samples, is_last)`, whose outputs, joined, do not depend on the pieces."""
    if rate == SAMPLE_RATE:
        return lambda samples, _: samples
    import soxr

    stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    return lambda samples, is_last: np.asarray(stream.resample_chunk(samples, last=is_last))


def _downmix(frames: Array, start_s: float, rate: int, path: str | PathLike[str]) -> Array:
    """Mean over the channels of `[frames, channels]`, which must be finite."""
    with np.errstate(all="ignore"):  # infinities are looked for below
        mono = frames[:, 0] if frames.shape[1] == 1 else frames.mean(axis=1, dtype=np.float32)
    wrong = ~(np.abs(mono) < LOUDEST)  # also true of NaN
    if wrong.any():
        at = int(wrong.argmax())
        raise AudioError(
            f"{path}: found a sample of {mono[at]:g} at {start_s + at / rate:.3f} s, expected "
            "finite values, nominally within -1 to 1: export or record the file again"
        )
    return mono


@contextmanager
def _open(path: str | PathLike[str], header: Header) -> Iterator["SoundFile"]:
    import soundfile

    with ExitStack() as stack:
        try:
            source: str | PathLike[str] | UnfinishedWav = path
            if header.data_size:
                source = stack.enter_context(UnfinishedWav(path, header.data_size))
            sound = stack.enter_context(soundfile.SoundFile(source))
        except (soundfile.SoundFileError, OSError) as error:
            reason = getattr(error, "error_string", None) or str(error)
            raise AudioError(
                f"{path}: not audio that can be read ({reason.strip()}): "
                "expected WAV, FLAC, Ogg, MP3 or another format that libsndfile reads"
            ) from error
        low, high = _SOURCE_RATES_HZ
        if not low <= sound.samplerate <= high:
            raise AudioError(
                f"{path}: found a sample rate of {sound.samplerate} Hz, expected {low} to {high} Hz"
            )
        yield sound
