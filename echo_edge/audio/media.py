"""Recordings of phones, browsers and Windows (M4A, MP4, WebM, WMA, AMR), decoded by FFmpeg.

Through PyAV if it is installed, else through the `ffmpeg` on PATH. Either is given an open file and
the one container to take it for, so that nothing in the file makes it open another file or address.
"""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, BinaryIO, NoReturn, cast

import numpy as np

from echo_edge.audio.forward import Forward
from echo_edge.audio.kinds import Kind
from echo_edge.audio.layout import find_layout
from echo_edge.audio.linear import linear_pieces
from echo_edge.audio.pieces import Cut, Piece, joined
from echo_edge.audio.splice import Spliced
from echo_edge.errors import AudioError

if TYPE_CHECKING:
    from av import AudioFrame

_END_TOLERANCE_S = 0.25
"""How much earlier than its header says a track may end: an encoder's delay, a frame or two."""
_MAX_BOXES = 100_000
_WINDOW_BYTES = 1 << 20
_JOINED = {
    "matroska": b"\x1a\x45\xdf\xa3",
    "asf": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
}
"""First bytes of a file, which are looked for within one."""


def media_pieces(
    file: BinaryIO, kind: Kind, name: str, parts: Sequence[tuple[int, int]] = ()
) -> Iterator[Piece]:
    """Yield the first audio track, of each of the `parts` where they are known, each a first byte
    and the one after the last. AudioError, before anything is yielded, if that cannot be."""
    check_media(kind, name)
    decode = _with_pyav if _has_pyav() else _with_ffmpeg
    starts = list(_movies(file) if kind.demuxer == "mov" else _marks(file, kind.demuxer))
    ends = [*starts[1:], file.seek(0, os.SEEK_END)]
    parts = parts or list(zip(starts, ends, strict=True))
    yield from joined([decode(file, part, kind, name) for part in parts])


def can_read_media() -> bool:
    """Whether PyAV or ffmpeg is there."""
    return _has_pyav() or shutil.which("ffmpeg") is not None


def check_media(kind: Kind, name: str) -> None:
    """Raise AudioError, with what to do about it, if neither PyAV nor ffmpeg is there."""
    if not can_read_media():
        raise AudioError(
            f"{name}: found {kind.title}, which FFmpeg reads, but neither ffmpeg nor PyAV: "
            f"apt install ffmpeg (or pip install av), or convert it elsewhere: {_command(name)}"
        )


def _movies(file: BinaryIO) -> Iterator[int]:
    """Where joined MP4 files begin, of which FFmpeg reads the first."""
    size, at = file.seek(0, os.SEEK_END), 0
    yield 0
    for _ in range(_MAX_BOXES):
        file.seek(at)
        head = file.read(16)
        n_bytes = int.from_bytes(head[:4], "big")
        if n_bytes == 1:
            n_bytes = int.from_bytes(head[8:], "big")
        if at and head[4:8] == b"ftyp":
            yield at
        if len(head) < 8 or n_bytes < 8 or at + n_bytes > size:
            return
        at += n_bytes


def _marks(file: BinaryIO, demuxer: str) -> Iterator[int]:
    """Where joined WebM or WMA files begin, of which FFmpeg reads some."""
    yield 0
    mark, at = _JOINED.get(demuxer, b""), 0
    while mark:
        file.seek(at)
        window = file.read(_WINDOW_BYTES)
        found = 0
        while (found := window.find(mark, found + 1)) >= 0:
            head = window[found : found + 64]
            if demuxer != "matroska" or b"webm" in head or b"matroska" in head:
                yield at + found
        if len(window) < _WINDOW_BYTES:
            return
        at += len(window) - 64


def _has_pyav() -> bool:
    return find_spec("av") is not None


def _command(name: str) -> str:
    """The command that converts a file."""
    stem = os.path.splitext(name)[0]  # noqa: PTH122 - `name` may be no path
    wav = f"{stem}.wav" if f"{stem}.wav" != name else f"{stem}-converted.wav"
    return f"ffmpeg -i {shlex.quote(name)} {shlex.quote(wav)}"


def _refuse(kind: Kind, name: str, reason: str) -> NoReturn:
    raise AudioError(
        f"{name}: found {kind.title} that cannot be read ({_one_line(reason)}), expected audio: "
        f"copy or record it again, or see what this says: {_command(name)}"
    )


def _one_line(text: str) -> str:
    """The output of another program, fit for a message."""
    text = re.sub(r"^\[[^]]*\] *|\S*/dev/fd/\d+: *", "", text)
    return "".join(c if c.isprintable() else " " for c in text).strip().rstrip(".")


def _with_pyav(file: BinaryIO, part: tuple[int, int], kind: Kind, name: str) -> Iterator[Piece]:
    import av

    try:
        container = av.open(Spliced(file, [part]), "r", format=kind.demuxer, io_open=_open_nothing)
    except Exception as error:  # as many kinds as PyAV has
        _refuse(kind, name, getattr(error, "strerror", None) or str(error))
    with container:
        if not container.streams.audio:
            _refuse(kind, name, "it has no audio track")
        stream = container.streams.audio[0]
        promised_s = 0.0
        if stream.duration and stream.time_base:
            promised_s = float(stream.duration * stream.time_base)
        elif len(container.streams.get()) == 1 and container.duration:
            promised_s = container.duration / 1_000_000
        heard_s, damage = 0.0, ""
        try:
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except Exception as error:
                    reason = getattr(error, "strerror", None) or str(error)
                    damage = damage or f"a packet at {heard_s:.3f} s is damaged ({reason})"
                    continue
                for frame in frames:
                    piece = _piece(frame)
                    heard_s += len(piece.frames) / piece.rate
                    yield piece
        except Exception as error:  # an IndexError too, of a track that begins later
            damage = damage or str(error)
    if not heard_s and damage:
        _refuse(kind, name, damage)
    if heard_s < promised_s - _END_TOLERANCE_S:
        raise Cut(f"expected {promised_s:.3f} s as its header promises")
    if damage:
        raise Cut(_one_line(damage), ends=False)


def _open_nothing(*_: object) -> NoReturn:
    raise PermissionError("a file that names another file")


def _piece(frame: "AudioFrame") -> Piece:
    samples = frame.to_ndarray()
    channels = frame.layout.nb_channels
    frames = samples.T if frame.format.is_planar else samples.reshape(-1, channels)
    if samples.dtype.kind == "f":
        return Piece(frames.astype(np.float32), frame.sample_rate)
    scale = np.float32(2 ** (8 * samples.dtype.itemsize - 1))
    middle = 128 if samples.dtype == np.uint8 else 0
    return Piece((frames.astype(np.float32) - middle) / scale, frame.sample_rate)


def _with_ffmpeg(file: BinaryIO, part: tuple[int, int], kind: Kind, name: str) -> Iterator[Piece]:
    number = file.fileno()
    command = ["ffmpeg", "-nostdin", "-v", "error", "-protocol_whitelist", "file,pipe,subfile"]
    place = f"subfile,,start,{part[0]},end,{part[1]},,:file:/dev/fd/{number}"
    command += ["-f", kind.demuxer, "-i", place, "-map", "0:a:0"]
    command += ["-f", "wav", "-c:a", "pcm_f32le", "pipe:1"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=(number,),
            process_group=0,  # Ctrl-C is for us: it finishes what was heard
        )
        n_pieces = 0
        try:
            source = Forward(cast(BinaryIO, process.stdout), name)
            if (layout := find_layout(source)) is not None:
                for piece in linear_pieces(source, layout):
                    n_pieces += 1
                    yield piece
            process.wait()
        finally:
            process.kill()
            process.wait()
            cast(BinaryIO, process.stdout).close()
        log.seek(0)
        lines = log.read(4096).decode(errors="replace").strip().splitlines()
    if not n_pieces and (lines or process.returncode):
        _refuse(kind, name, lines[0] if lines else f"exit code {process.returncode}")
    if lines or process.returncode:
        raise Cut(_one_line(lines[0] if lines else f"exit code {process.returncode}"), ends=False)
