"""Plain samples from a file or a pipe, all of them, whatever the header tells of their number."""

import os
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from echo_edge.audio.forward import Forward
from echo_edge.audio.layout import NO_CHUNKS, W64_TAILS, Chunks, Layout, find_layout, find_magic
from echo_edge.audio.pieces import PIECE_FRAMES, Array, Cut, Piece

_WRAP = 1 << 32
_MAX_UNKNOWN_BYTES = 1 << 20
_TAIL_NAMES = (
    "LIST list id3  ID3  bext iXML axml cue  smpl inst fact PEAK plst acid JUNK junk PAD  FLLR "
    "DISP afsp LGWV minf elm1 regn umid _PMX aXML chna cart link MARK INST COMT NAME AUTH (c)  "
    "ANNO APPL AESD FVER free info strg mark uuid edct midi ovvw peak chan kuki pakt "
)
_KNOWN_CHUNKS = frozenset(_TAIL_NAMES[at : at + 4].encode() for at in range(0, len(_TAIL_NAMES), 5))


def linear_pieces(source: Forward, layout: Layout, piece_frames: int = 0) -> Iterator[Piece]:
    """Yield the samples that follow the head which `find_layout` read.

    They end where the header says, unless something follows that is no chunk: a writer that was
    killed, or whose 32 bits did not do, tells less than there is. Containers that follow are read
    too. Raises Cut where there is less than a header tells.
    """
    following: Layout | None = layout
    while following is not None:
        yield from _samples(source, following, piece_frames or PIECE_FRAMES)
        following = _following(source, following)


def _samples(source: Forward, layout: Layout, piece_frames: int) -> Iterator[Piece]:
    size = layout.frame_bytes
    want = size * piece_frames
    buffered, done, limit = b"", 0, layout.declared
    while True:
        if limit is not None and done == limit:
            if not source.peek(1) or _ends(source, layout):
                break
            limit += _WRAP  # 4 GiB on is the next place where a size that wrapped may end
        room = want - len(buffered)
        data = source.read(room if limit is None else min(room, limit - done))
        if not data:
            break
        done += len(data)
        buffered += data
        if n_bytes := len(buffered) // size * size:
            yield Piece(_decode(buffered[:n_bytes], layout), layout.rate)
            buffered = buffered[n_bytes:]
    promised = max(layout.declared or 0, layout.promised)
    if promised - done >= size:
        seconds = promised / size / layout.rate
        raise Cut(f"expected {seconds:.3f} s as its header promises")


def _following(source: Forward, layout: Layout) -> Layout | None:
    """The container that follows another and its last chunks, read as far as its samples.

    Raises Cut where its head cannot be read.
    """
    pads = (layout.declared or 0) % 2, 0
    while True:
        for pad in pads:
            if find_magic(source.peek(pad + 16)[pad:]):
                source.skip(pad)
                found = find_layout(source)
                if found is None or not found.encoding:
                    raise Cut("found another recording behind it whose head cannot be read")
                return found
        if layout.chunks is NO_CHUNKS or not _is_chunk(source, pads[0], layout.chunks):
            return None
        source.skip(pads[0])
        _, _, step = layout.chunks.read(source.read(layout.chunks.head_bytes))
        source.skip(step)
        pads = 0, 0


def linear_bytes(file: BinaryIO, start: int, layout: Layout) -> int:
    """Bytes of whole frames that `linear_pieces` will read, `start` being the first of them; those
    that the header promises if there are fewer."""
    n_there, declared = file.seek(0, os.SEEK_END) - start, layout.declared
    if declared is not None and declared < n_there:
        file.seek(start + declared)
        n_there = declared if _ends(Forward(file, ""), layout) else n_there
    n_bytes = n_there if declared is None else max(n_there, declared)
    return n_bytes // layout.frame_bytes * layout.frame_bytes


def _ends(source: Forward, layout: Layout) -> bool:
    """Whether chunks or a tag follow, rather than more samples."""
    for pad in sorted({(layout.declared or 0) % 2, 0}, reverse=True):
        rest = source.peek(pad + 129)[pad:]
        if not rest or (rest[:3] == b"TAG" and len(rest) == 128) or find_magic(rest):
            return True
        if layout.chunks is not NO_CHUNKS and _is_chunk(source, pad, layout.chunks):
            return True
    return False


def _is_chunk(source: Forward, at: int, chunks: Chunks) -> bool:
    """Whether a known chunk begins `at` bytes on, or others that fill what is left to its end."""
    while at < _MAX_UNKNOWN_BYTES:
        body_at = at + chunks.head_bytes
        try:
            name, size, step = chunks.read(source.peek(body_at)[at:])
        except ValueError:
            return False
        if name in _KNOWN_CHUNKS or name[4:] in W64_TAILS:
            return True
        if not (name.isascii() and name.decode("ascii").isprintable()):
            return False
        if not 0 <= size <= _MAX_UNKNOWN_BYTES:
            return False
        at = body_at + step
        n_left = len(source.peek(at + 1))
        if body_at + size <= n_left <= at:
            return True
        if n_left < at:
            return False
    return False


def _decode(data: bytes, layout: Layout) -> Array:
    """Float32 `[frames, channels]`: integers over their range, floats as they are."""
    kind, order = layout.encoding, ">" if layout.is_big else "<"
    samples: Array
    if kind in ("alaw", "ulaw"):
        samples = _TABLES[kind][np.frombuffer(data, np.uint8)]
    elif kind == "u1":
        samples = (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / np.float32(128)
    elif kind == "i3":
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, slice(0, 3) if layout.is_big else slice(1, 4)] = np.frombuffer(
            data, np.uint8
        ).reshape(-1, 3)
        samples = wide.view(order + "i4")[:, 0].astype(np.float32) / np.float32(2**31)
    elif kind[0] == "i":
        scale = np.float32(2 ** (8 * layout.width - 1))
        samples = np.frombuffer(data, order + kind).astype(np.float32) / scale
    else:
        with np.errstate(all="ignore"):  # of float64 too large: found where all values are checked
            samples = np.frombuffer(data, order + kind).astype(np.float32)
    frames: Array = samples.reshape(-1, layout.channels)
    return frames


def _alaw() -> Array:
    """ITU-T G.711 A-law, 13 bits as 16."""
    code = np.arange(256) ^ 0x55
    exponent, mantissa = code >> 4 & 7, code & 15
    value = np.where(exponent == 0, (mantissa << 4) + 8, (mantissa << 4) + 0x108)
    value = value << np.maximum(exponent - 1, 0)
    table: Array = (np.where(code & 0x80, value, -value) / 32768).astype(np.float32)
    return table


def _ulaw() -> Array:
    """ITU-T G.711 mu-law, 14 bits as 16."""
    code = ~np.arange(256) & 0xFF
    value = (((code & 15) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    table: Array = (np.where(code & 0x80, -value, value) / 32768).astype(np.float32)
    return table


_TABLES = {"alaw": _alaw(), "ulaw": _ulaw()}
