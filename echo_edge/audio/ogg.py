"""The streams that are chained in an Ogg file, and its pages (RFC 3533).

libsndfile reads the first stream only, and passes over damaged pages without a word.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from echo_edge.audio.pieces import Cut
from echo_edge.audio.splice import Stream

_FIRST_PAGE = 2
_WINDOW_BYTES = 1 << 16
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class _Page(NamedTuple):
    at: int
    end: int
    kind: int
    granule: int
    serial: int
    number: int
    body: bytes


def ogg_streams(file: BinaryIO, size: int) -> list[Stream]:
    """Split at pages that begin a stream after pages that do not."""
    streams: list[Stream] = []
    start, cut, begins = 0, None, False
    last: dict[int, _Page] = {}
    rate, end = 0, 0
    for page in _pages(file, size):
        is_first = bool(page.kind & _FIRST_PAGE)
        if is_first and not begins and last:
            streams.append(Stream([(start, page.at)], cut))
            start, cut, last, rate = page.at, None, {}, 0
        begins, end = is_first, page.end
        if is_first and not rate:
            rate = _granule_rate(page.body)
        before = last.get(page.serial)
        if before and page.number != (before.number + 1) % (1 << 32) and cut is None:
            cut = _hole(before, page, rate)
        last[page.serial] = page
    cut = cut or _unfinished(file, end, size)
    return [*streams, Stream([(start, size)], cut)] if last else []


def _hole(before: _Page, page: _Page, rate: int) -> Cut:
    lost = page.granule - before.granule
    around = f"up to {lost / rate:.3f} s" if rate and 0 < lost < 1 << 40 else "some"
    return Cut(f"{around} before byte {page.at} cannot be heard: Ogg pages are damaged", ends=False)


def _unfinished(file: BinaryIO, end: int, size: int) -> Cut | None:
    """The page that began after the last whole one, if there is one."""
    file.seek(end)
    if b"OggS" in file.read(min(size - end, _WINDOW_BYTES)):
        return Cut("expected the rest of its last Ogg page")
    return None


def _pages(file: BinaryIO, size: int) -> Iterator[_Page]:
    """Yield the pages that are whole and whose checksum is right."""
    at = 0
    while at + 27 <= size:
        file.seek(at)
        head = file.read(27 + 255)
        if head[:4] == b"OggS" and len(head) >= 27 and len(head) >= 27 + head[26]:
            n_bytes = 27 + head[26] + sum(head[27 : 27 + head[26]])
            file.seek(at)
            page = file.read(n_bytes)
            if len(page) == n_bytes and _is_right(page):
                kind, granule, serial, number = struct.unpack_from("<5xBqII", page)
                body = page[27 + head[26] :]
                yield _Page(at, at + n_bytes, kind, granule, serial, number, body[:64])
                at += n_bytes
                continue
        at = _next_mark(file, at + 1, size)


def _next_mark(file: BinaryIO, at: int, size: int) -> int:
    """Where the next page may begin; `size` if nowhere."""
    while at < size:
        file.seek(at)
        window = file.read(_WINDOW_BYTES)
        found = window.find(b"OggS")
        if found >= 0:
            return at + found
        if len(window) < _WINDOW_BYTES:
            break
        at += len(window) - 3
    return size


def _is_right(page: bytes) -> bool:
    """Whether the checksum is. Ogg's CRC-32 is zlib's with the bits of all bytes reversed, and
    begins and ends with 0 rather than all ones."""
    declared = int.from_bytes(page[22:26], "little")
    data = (page[:22] + bytes(4) + page[26:]).translate(_REVERSED)
    found = zlib.crc32(data, 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{found:032b}"[::-1], 2) == declared


def _granule_rate(body: bytes) -> int:
    """Units per second of a stream's positions, by its first packet; 0 if unknown."""
    if body[:8] == b"OpusHead":
        return 48000
    if body[:7] == b"\x01vorbis" and len(body) >= 16:
        return int.from_bytes(body[12:16], "little")
    if body[:5] == b"\x7fFLAC" and len(body) >= 30:
        return int.from_bytes(body[27:30], "big") >> 4
    return 0
