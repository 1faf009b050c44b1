"""The frames of an MP3 file (ISO 11172-3, 13818-3), counted.

libsndfile guesses the length of a file without an index from its first frame, of joined files it
takes the first's, and stops there. So the streams are found frame by frame, and one without a
right index is given one.
"""

import struct
from typing import BinaryIO, NamedTuple

from echo_edge.audio.pieces import Cut
from echo_edge.audio.splice import Stream

_KBPS = {
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_WINDOW_BYTES = 1 << 16


class Frame(NamedTuple):
    """A frame of layer III, from the four bytes of its head."""

    rate: int
    channels: int
    n_bytes: int
    n_samples: int
    index_at: int
    """Where an index would begin that is there instead of audio."""

    @property
    def key(self) -> tuple[int, int]:
        """Rate and channels, which do not change within a stream."""
        return self.rate, self.channels


def parse_frame(head: bytes) -> Frame | None:
    """The frame that begins with these four bytes, if one does."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    kbps, rate = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer != 1 or rate == 3 or not 1 <= kbps <= 14:
        return None
    is_1, channels = version == 3, 1 if head[3] >> 6 == 3 else 2
    hz, n_samples = _RATES[version][rate], 1152 if is_1 else 576
    n_bytes = n_samples // 8 * 1000 * _KBPS[1 if is_1 else 2][kbps] // hz + (head[2] >> 1 & 1)
    side = (17 if channels == 1 else 32) if is_1 else (9 if channels == 1 else 17)
    return Frame(hz, channels, n_bytes, n_samples, 4 + side)


class _Found:
    """A stream as its frames come."""

    def __init__(self, at: int, head: bytes, frame: Frame, declared: int | None) -> None:
        self.head, self.frame, self.declared = head, frame, declared
        self.ranges: list[tuple[int, int]] = []
        self.n_frames = 0
        self.index = (at, at + frame.n_bytes) if declared is not None else None

    def add(self, at: int, n_bytes: int) -> None:
        self.n_frames += 1
        if self.ranges and self.ranges[-1][1] == at:
            self.ranges[-1] = (self.ranges[-1][0], at + n_bytes)
        else:
            self.ranges.append((at, at + n_bytes))

    def stream(self, cut: Cut | None) -> Stream:
        """Its parts: an index that is right, or says that more was there, and all frames."""
        if self.index and self.declared and self.declared >= self.n_frames:
            return Stream([self.index, *self.ranges], cut)
        n_samples = self.n_frames * self.frame.n_samples
        return Stream([_index(self.head, self.n_frames, self.ranges), *self.ranges], cut, n_samples)


def id3_end(file: BinaryIO) -> int:
    """Where the ID3v2 tags in front of a file end."""
    return _skip_id3(_Window(file, 0), 0)


def mp3_streams(file: BinaryIO, size: int) -> list[Stream]:
    """Split where a new index, another rate or another number of channels begins; no streams if
    there are no frames of layer III."""
    window = _Window(file, size)
    found: list[tuple[_Found, Cut | None]] = []
    at, is_sync, lost_at = _skip_id3(window, 0), False, 0
    cut: Cut | None = None
    while (place := _next_frame(window, at, is_sync)) is not None:
        here, frame = place
        if is_sync and here != at and not _is_tag(window, at, here):
            lost_at = at
        if here + frame.n_bytes > size:
            if is_sync and here == at:
                cut = Cut("expected the rest of its last MP3 frame")
            break
        declared = declared_frames(window.get(here, 200), frame)
        stream = found[-1][0] if found else None
        if (
            stream is None
            or declared is not None
            or stream.frame.key != frame.key
            or (stream.declared and stream.n_frames == stream.declared)
        ):
            stream = _Found(here, window.get(here, 4), frame, declared)
            found.append((stream, None))
        if declared is None:
            if lost_at and found[-1][1] is None and stream.n_frames:
                lost = Cut(f"bytes {lost_at} to {here} are damaged and not heard", ends=False)
                found[-1] = (stream, lost)
            stream.add(here, frame.n_bytes)
        at, is_sync, lost_at = here + frame.n_bytes, True, 0
    if found:
        found[-1] = (found[-1][0], found[-1][1] or cut)
    return [stream.stream(hole) for stream, hole in found if stream.n_frames or stream.declared]


def _next_frame(window: "_Window", at: int, is_sync: bool) -> tuple[int, Frame] | None:
    """The next frame, here if one follows another; elsewhere only if one follows it."""
    if is_sync and (frame := parse_frame(window.get(at, 4))):
        return at, frame
    at = _skip_id3(window, at)
    while (at := window.find(b"\xff", at)) >= 0:
        frame = parse_frame(window.get(at, 4))
        if frame:
            after = parse_frame(window.get(at + frame.n_bytes, 4))
            if (after and after.key == frame.key) or at + frame.n_bytes == window.size:
                return at, frame
        at += 1
    return None


def _is_tag(window: "_Window", at: int, end: int) -> bool:
    """Whether what is between two frames is a tag or padding rather than damaged audio."""
    head = window.get(at, 16)
    return (
        head[:3] in (b"ID3", b"TAG")
        or head[:8] in (b"APETAGEX", b"LYRICSBE")
        or (not any(window.get(at, min(end - at, 4096))))
    )


def _skip_id3(window: "_Window", at: int) -> int:
    """Where the ID3v2 tags that begin there end."""
    while (head := window.get(at, 10))[:3] == b"ID3" and len(head) == 10:
        a, b, c, d = head[6:]
        length = (a & 127) << 21 | (b & 127) << 14 | (c & 127) << 7 | d & 127
        at += 10 + length + (10 if head[5] & 0x10 else 0)
    return at


def declared_frames(data: bytes, frame: Frame) -> int | None:
    """The number of frames that an index tells, 0 if it is of no use; None for a frame of audio."""
    mark = data[frame.index_at : frame.index_at + 144]
    if mark[:4] in (b"Xing", b"Info"):
        padding = int.from_bytes(mark[141:144], "big")  # at the start and at the end, 12 bits each
        if mark[7:8] == b"\x0f" and (padding >> 12) + (padding & 0xFFF) > 4 * frame.n_samples:
            return 0  # no encoder pads so much, and the decoder would drop it
        return int.from_bytes(mark[8:12], "big") if len(mark) >= 12 and mark[7] & 1 else 0
    if data[36:40] == b"VBRI":
        return 0
    return None


def _index(head: bytes, n_frames: int, ranges: list[tuple[int, int]]) -> bytes:
    """An index of these frames and of one more, which is silence and begins here.

    libmpg123 drops its own delay, 529 samples, from the start of what has an index, not of what has
    none; so it drops them of the silence, of which `sound_pieces` drops the rest.
    """
    silence = _head(head, 1)
    index = _head(head, 14)
    n_bytes = len(index) + len(silence) + sum(end - start for start, end in ranges)
    tag = struct.pack(">4sIII", b"Info", 3, n_frames + 1, n_bytes)
    frame = parse_frame(head)
    at = frame.index_at if frame else 0
    return index[:at] + tag + index[at + len(tag) :] + silence


def _head(head: bytes, kbps: int) -> bytes:
    """A frame of zeros with this head, without a checksum, and the bit rate of this number."""
    head = bytes([head[0], head[1] | 1, head[2] & 0x0D | kbps << 4, head[3]])
    frame = parse_frame(head)
    return head.ljust(frame.n_bytes if frame else 0, b"\0")


class _Window:
    """A file, a stretch of which is in memory."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self.size = file, size
        self._start, self._data = 0, b""

    def get(self, at: int, n_bytes: int) -> bytes:
        """Bytes from a place, fewer only at the end."""
        if not (self._start <= at and at + n_bytes <= self._start + len(self._data)):
            self._file.seek(at)
            self._start, self._data = at, self._file.read(max(n_bytes, _WINDOW_BYTES))
        return self._data[at - self._start : at - self._start + n_bytes]

    def find(self, what: bytes, at: int) -> int:
        """The next place of a byte, -1 if there is none."""
        while at < self.size:
            self.get(at, 1)
            found = self._data.find(what, at - self._start)
            if found >= 0:
                return self._start + found
            at = self._start + max(1, len(self._data))
        return -1
