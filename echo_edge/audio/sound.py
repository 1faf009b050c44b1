"""Audio that libsndfile decodes: FLAC, Ogg, MP3 and compressed WAV, read forward."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from echo_edge.audio.pieces import PIECE_FRAMES, Array, Cut, Piece, check_rate
from echo_edge.audio.quiet import quiet_c_stderr
from echo_edge.audio.splice import Part, Spliced, Stream
from echo_edge.errors import AudioError

if TYPE_CHECKING:
    from soundfile import SoundFile

COUNT_UNKNOWN = 2**62


class NotSound(AudioError):  # noqa: N818 - another decoder may take it
    """libsndfile does not take it; the message is its reason."""


def sound_pieces(file: BinaryIO, stream: Stream, name: str) -> Iterator[Piece]:
    """Yield what a stream of a file holds.

    Raises NotSound before anything is yielded, and Cut where not all could be decoded.
    """
    yield from _decoded(file, stream, name)
    if stream.cut is not None:
        raise stream.cut


def _decoded(file: BinaryIO, stream: Stream, name: str) -> Iterator[Piece]:
    with open_sound(file, stream.parts, name) as sound:
        rate, n_read, damage = sound.samplerate, 0, ""
        n_drop = max(0, sound.frames - stream.n_samples) if stream.n_samples is not None else 0
        while not damage:
            frames, damage = _read_piece(sound)
            if not len(frames):
                break
            n_read += len(frames)
            if len(frames) > n_drop:
                yield Piece(frames[n_drop:], rate)
            n_drop = max(0, n_drop - len(frames))
        if n_read + _slack(sound) < sound.frames < COUNT_UNKNOWN:
            raise Cut(f"expected {sound.frames / rate:.3f} s as its header promises")
        if damage and n_read < sound.frames:  # not of a tag behind them all
            raise Cut(damage.strip().rstrip("."))


def _slack(sound: "SoundFile") -> int:
    """How many more frames than there are a header may promise: MP3 in WAV counts whole ones."""
    return 2 * 1152 if sound.subtype.startswith("MPEG") and sound.format != "MP3" else 0


@contextmanager
def open_sound(file: BinaryIO, parts: list[Part], name: str) -> Iterator["SoundFile"]:
    """Open `parts` of a file, or the whole file; NotSound if libsndfile does not take it."""
    import soundfile

    class Forward(soundfile.SoundFile):  # type: ignore[misc]
        """It never seeks: soundfile does after every read, and an MP3 decoder then has lost the
        bits of the frames before."""

        def seekable(self) -> bool:
            return False

    spliced = Spliced(file, parts) if parts else None
    if spliced is None:
        os.lseek(file.fileno(), 0, os.SEEK_SET)
    try:
        with quiet_c_stderr():
            sound = Forward(spliced or file.fileno(), closefd=False)
    except (soundfile.SoundFileError, OSError) as error:
        reason = getattr(error, "error_string", None) or str(error)
        if "not a regular file" in reason:  # said of some files in which it finds nothing
            reason = "nothing to decode"
        raise NotSound(reason.strip().rstrip(".")) from error
    with sound:
        check_rate(sound.samplerate, name)
        yield sound
    if spliced and spliced.failure:
        raise AudioError(f"{name}: cannot be read ({spliced.failure.strerror})")


def _read_piece(sound: "SoundFile") -> tuple[Array, str]:
    """Read `[frames, channels]` and, where damage ends them, what libsndfile says of it."""
    from soundfile import SoundFileError

    piece = np.full((PIECE_FRAMES, sound.channels), np.nan, np.float32)
    try:
        with quiet_c_stderr():
            return np.asarray(sound.read(out=piece)), ""
    except SoundFileError as error:
        # What was decoded before the damage is there, only nothing tells how much.
        untouched = np.isnan(piece).any(axis=1)
        n_frames = int(untouched.argmax()) if untouched.any() else len(piece)
        return piece[:n_frames], str(error)
