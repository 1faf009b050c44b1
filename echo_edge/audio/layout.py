"""Where the samples of a container of plain samples are, and how they are written.

WAV (RIFF, RF64, BW64), W64, AIFF, AIFF-C, CAF and AU. Headers only, read forward, so that a pipe
will do. The forms are those of "Multimedia Programming Interface and Data Specifications 1.0",
EBU Tech 3306 (RF64), Sony's W64, "Audio Interchange File Format AIFF-C", Apple's CAF and Sun's .au.
"""

import struct
from dataclasses import dataclass

from echo_edge.audio.forward import Forward

_MAX_CHUNKS = 1000
_MAX_CHANNELS = 1024  # libsndfile's bound
_W64_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")
_W64_RIFF = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
W64_TAILS = (_W64_TAIL, bytes.fromhex("2f91cf11a5d628db04c10000"))
"""Ends of the names of a W64's chunks: of most, and of lists."""


@dataclass(frozen=True)
class Chunks:
    """How a container writes a chunk's head: its name, then its size."""

    name_bytes: int
    size: str
    """The struct format."""
    counts_head: bool = False
    align: int = 2
    """Chunks begin at multiples of this."""

    def read(self, head: bytes) -> tuple[bytes, int, int]:
        """Name, bytes of the body, and bytes from there to the next chunk; ValueError if none."""
        width = struct.calcsize(self.size)
        if len(head) < self.name_bytes + width:
            raise ValueError("no chunk")
        name = head[: self.name_bytes]
        (size,) = struct.unpack_from(self.size, head, self.name_bytes)
        if self.counts_head:
            size -= self.name_bytes + width
        return name, size, size + -size % self.align

    @property
    def head_bytes(self) -> int:
        """Bytes of name and size."""
        return self.name_bytes + struct.calcsize(self.size)


RIFF = Chunks(4, "<I")
FORM = Chunks(4, ">I")
CAF = Chunks(4, ">q", align=1)
W64 = Chunks(16, "<Q", counts_head=True, align=8)
NO_CHUNKS = Chunks(0, "")


@dataclass(frozen=True)
class Layout:
    """A container of plain samples, read as far as the first of them."""

    encoding: str
    """`u1`, `i1` to `i4`, `f4`, `f8`, `alaw` or `ulaw`; empty if they are compressed."""
    is_big: bool
    rate: int
    channels: int
    chunks: Chunks
    declared: int | None
    """Bytes of samples as the header tells them, None if it says: to the end."""
    size_at: int = 0
    """Where a WAV tells the size of the samples."""
    promised: int = 0
    """Bytes that another part of the header promises."""

    @property
    def width(self) -> int:
        """Bytes of a sample."""
        return 1 if self.encoding.endswith("law") else int(self.encoding[1:])

    @property
    def frame_bytes(self) -> int:
        """Bytes of a sample of every channel."""
        return self.width * self.channels


def find_magic(head: bytes) -> str:
    """`wav`, `w64`, `aiff`, `caf` or `au` if the first 16 bytes are such a container's."""
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return "wav"
    if head[:16] == _W64_RIFF:
        return "w64"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[:4] == b"caff":
        return "caf"
    return "au" if head[:4] == b".snd" else ""


def find_layout(source: Forward) -> Layout | None:
    """Read the head of a container of plain samples; None for everything else, and where the
    head is no such head: `source` has then been read from."""
    kind = find_magic(source.peek(16))
    if kind == "wav":
        source.skip(12)
        return _wav(source, RIFF, b"fmt ", b"data")
    if kind == "w64":
        source.skip(40)
        return _wav(source, W64, b"fmt " + _W64_TAIL, b"data" + _W64_TAIL)
    if kind == "aiff":
        source.skip(12)
        return _aiff(source)
    if kind == "caf":
        source.skip(8)
        return _caf(source)
    return _au(source) if kind == "au" else None


def _wav(source: Forward, chunks: Chunks, fmt: bytes, data: bytes) -> Layout | None:
    form: tuple[str, int, int] | None = None
    declared_64, size_64_at = 0, 0
    for _ in range(_MAX_CHUNKS):
        try:
            name, size, step = chunks.read(source.read(chunks.head_bytes))
        except ValueError:
            return None
        if name == b"ds64" and step >= 16:
            size_64_at = source.position + 8
            _, declared_64 = struct.unpack("<QQ", source.peek(16).ljust(16, b"\0"))
        elif name == fmt and size >= 16:
            form = _wav_form(source.peek(40))
        elif name == data:
            if form is None:
                return None
            declared: int | None = size
            size_at = source.position - struct.calcsize(chunks.size)
            if size_64_at and size == 0xFFFFFFFF:
                declared, size_at = declared_64, size_64_at
            if chunks is RIFF and _is_placeholder(size) and not size_64_at:
                declared = None
            if chunks is W64 and size < 0:
                declared = 0
            if declared is not None and declared >= 1 << 62:
                declared = None
            encoding, rate, channels = form
            return Layout(encoding, False, rate, channels, chunks, declared, size_at)
        source.skip(step)
    return None


def _is_placeholder(size: int) -> bool:
    """Whether a 32-bit size is one that writers to a pipe leave: ffmpeg 0xFFFFFFFF, arecord
    0x80000000 or 0x7FFFFF00, sox 0x7FFFF000, with or without the 36 bytes of a header."""
    return size >= 0xFFFFFF00 or 0x7FFFEF00 <= size <= 0x80000100


def _wav_form(fmt: bytes) -> tuple[str, int, int] | None:
    """Encoding, rate and channels of a `fmt ` chunk; None if they cannot be."""
    if len(fmt) < 16:
        return None
    tag, channels, rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", fmt)
    if tag == 0xFFFE and len(fmt) >= 26:
        (tag,) = struct.unpack_from("<H", fmt, 24)
    if not 1 <= channels <= _MAX_CHANNELS:
        return None
    width = frame_bytes // channels
    if frame_bytes % channels or not width:
        width = (bits + 7) // 8
    known = {1: ("u1", "i2", "i3", "i4"), 3: ("", "", "", "f4", "", "", "", "f8")}
    if tag in known:
        encoding = known[tag][width - 1] if 1 <= width <= len(known[tag]) else ""
    else:
        encoding = {6: "alaw", 7: "ulaw"}.get(tag, "") if width == 1 else ""
    return encoding, rate, channels


def _aiff(source: Forward) -> Layout | None:
    encoding, rate, channels, n_frames, is_big = "", 0, 0, 0, True
    for _ in range(_MAX_CHUNKS):
        try:
            name, size, step = FORM.read(source.read(8))
        except ValueError:
            return None
        if name == b"COMM" and size >= 18:
            body = source.peek(22)
            if len(body) < 18:
                return None
            channels, n_frames, bits = struct.unpack_from(">HIH", body)
            rate = _extended(body[8:18])
            kind = body[18:22] if size >= 22 else b"NONE"
            encoding, is_big = _aiff_encoding(kind, (bits + 7) // 8)
        elif name == b"SSND":
            start = source.read(8)
            if not encoding or not 1 <= channels <= _MAX_CHANNELS or len(start) < 8:
                return None
            offset = int.from_bytes(start[:4], "big")
            source.skip(offset)
            declared = None if _is_endless_aiff(size) else max(0, size - 8 - offset)
            found = Layout(encoding, is_big, rate, channels, FORM, declared)
            promised = n_frames * found.frame_bytes
            if declared is None or _is_endless_aiff(promised):
                promised = 0
            return Layout(encoding, is_big, rate, channels, FORM, declared, promised=promised)
        source.skip(step)
    return None


def _is_endless_aiff(size: int) -> bool:
    """Whether a size is one that sox leaves in a pipe, 0x7F000000 in whole frames, or the end."""
    return 0x7F000000 - 1024 <= size <= 0x7F000000 + 64 or _is_placeholder(size)


def _aiff_encoding(kind: bytes, width: int) -> tuple[str, bool]:
    """Encoding and whether the first byte is the most significant."""
    if kind in (b"NONE", b"twos", b"in24", b"in32") and 1 <= width <= 4:
        return f"i{width}", True
    if kind == b"sowt" and 1 <= width <= 4:
        return f"i{width}", False
    named = {b"fl32": "f4", b"FL32": "f4", b"fl64": "f8", b"FL64": "f8", b"raw ": "u1"}
    named |= {b"alaw": "alaw", b"ALAW": "alaw", b"ulaw": "ulaw", b"ULAW": "ulaw"}
    return named.get(kind, ""), True


def _extended(data: bytes) -> int:
    """An 80-bit float, rounded: the rate of an AIFF."""
    exponent = (int.from_bytes(data[:2], "big") & 0x7FFF) - 16383 - 63
    mantissa = int.from_bytes(data[2:], "big")
    if not -64 <= exponent <= 0:
        return 0  # below 1 Hz or beyond all rates
    return (mantissa + (1 << -exponent >> 1)) >> -exponent


def _caf(source: Forward) -> Layout | None:
    encoding, rate, channels, is_big = "", 0.0, 0, True
    for _ in range(_MAX_CHUNKS):
        try:
            name, size, step = CAF.read(source.read(12))
        except ValueError:
            return None
        if name == b"desc" and size == 32 and len(body := source.peek(32)) == 32:
            rate, kind, flags, _, _, channels, bits = struct.unpack(">d4sIIIII", body)
            width, is_big = (bits + 7) // 8, not flags & 2
            encoding = {b"alaw": "alaw", b"ulaw": "ulaw"}.get(kind, "")
            if kind == b"lpcm" and width in ((4, 8) if flags & 1 else (1, 2, 3, 4)):
                encoding = f"{'f' if flags & 1 else 'i'}{width}"
        elif name == b"data":
            source.skip(4)
            if not encoding or not 1 <= channels <= _MAX_CHANNELS or not 0 < rate < 2**31:
                return None
            declared = None if size < 0 else max(0, size - 4)
            return Layout(encoding, is_big, round(rate), channels, CAF, declared)
        if size < 0:
            return None
        source.skip(step)
    return None


def _au(source: Forward) -> Layout | None:
    head = source.read(24)
    if len(head) < 24:
        return None
    start, size, kind, rate, channels = struct.unpack(">4xIIIII", head)
    kinds = {1: "ulaw", 2: "i1", 3: "i2", 4: "i3", 5: "i4", 6: "f4", 7: "f8", 27: "alaw"}
    if kind not in kinds or not 1 <= channels <= _MAX_CHANNELS or start < 24:
        return None
    source.skip(start - 24)
    declared = None if size == 0xFFFFFFFF or not size else size
    return Layout(kinds[kind], True, rate, channels, NO_CHUNKS, declared)
