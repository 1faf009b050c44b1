"""The streams of a FLAC file, and their lengths (RFC 9639).

libsndfile takes the length that the header tells: of a pipe's file none, of joined files the
first's. The last frame knows where it belongs.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO

from echo_edge.audio.pieces import Cut
from echo_edge.audio.splice import Stream

_HEADS = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")
_HEAD_BYTES = 42
_WINDOW_BYTES = 1 << 20
_TAIL_BYTES = 1 << 17


def flac_streams(file: BinaryIO, size: int) -> list[Stream]:
    """Split at every header, the lengths in the headers made right."""
    starts = list(_heads(file, size))
    ends = [*starts[1:], size]
    return [_stream(file, *part) for part in zip(starts, ends, strict=False)]


def _heads(file: BinaryIO, size: int) -> Iterator[int]:
    at = 0
    while at < size:
        file.seek(at)
        window = file.read(_WINDOW_BYTES)
        found = 0
        while (found := window.find(b"fLaC", found)) >= 0:
            if window[found : found + 8] in _HEADS:
                yield at + found
            found += 1
        if len(window) < _WINDOW_BYTES:
            return
        at += len(window) - 7


def _stream(file: BinaryIO, start: int, end: int) -> Stream:
    file.seek(start)
    head = bytearray(file.read(_HEAD_BYTES))
    if len(head) < _HEAD_BYTES:
        return Stream([(start, end)])
    (bits,) = struct.unpack_from(">Q", head, 18)
    declared = bits & 0xFFFFFFFFF
    block = max(16, *struct.unpack_from(">HH", head, 8))
    found = _last_frame(file, start + _HEAD_BYTES, end, block, declared)
    if found is None or declared >= found[0]:
        return Stream([(start, end)])
    n_samples, is_whole = found
    struct.pack_into(">Q", head, 18, bits - declared + n_samples)
    cut = None if is_whole or declared else Cut("expected the rest of its last FLAC frame")
    return Stream([bytes(head), (start + _HEAD_BYTES, end)], cut)


def _last_frame(
    file: BinaryIO, start: int, end: int, block: int, declared: int
) -> tuple[int, bool] | None:
    """Samples up to the end of the last whole frame, and whether nothing follows it; None if the
    last frame ends where it was `told`, or none is found."""
    at = max(start, end - _TAIL_BYTES)
    file.seek(at)
    tail = file.read(end - at)
    if tail[-128:-125] == b"TAG":
        tail = tail[:-128]
    ends = [len(tail)]
    for begin in _syncs(tail):
        samples = _samples_after(tail[begin : begin + 16], block)
        if samples is None:
            continue
        if declared == samples and len(ends) == 1:
            return None
        for stop in ends[:3]:
            if not _crc16(tail[begin:stop]):
                return samples, stop == len(tail)
        ends.insert(0, begin)
        if len(ends) > 8:
            break
    return None


def _syncs(tail: bytes) -> Iterator[int]:
    """Where frames may begin, from the end."""
    found = len(tail)
    while (found := tail.rfind(b"\xff", 0, found)) >= 0:
        if tail[found + 1 : found + 2] in (b"\xf8", b"\xf9"):
            yield found


def _samples_after(head: bytes, block: int) -> int | None:
    """Samples up to the end of the frame that begins so; None if it is no frame's head."""
    if len(head) < 6 or head[2] >> 4 == 0 or head[2] & 15 == 15 or head[3] >> 4 > 10 or head[3] & 1:
        return None
    n_more = (8 - (head[4] ^ 0xFF).bit_length()) or 1
    if n_more > 7 or len(head) < 4 + n_more + 4:
        return None
    number = head[4] & (0x7F if n_more == 1 else (1 << 7 - n_more) - 1)
    for byte in head[5 : 4 + n_more]:
        number = number << 6 | byte & 0x3F
    at, code = 4 + n_more, head[2] >> 4
    if code in (6, 7):
        width = code - 5
        n_samples = int.from_bytes(head[at : at + width], "big") + 1
        at += width
    else:
        n_samples = {1: 192}.get(code) or (576 << code - 2 if code < 6 else 256 << code - 8)
    at += {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    if at >= len(head) or _crc8(head[:at]) != head[at]:
        return None
    return (number if head[1] & 1 else number * block) + n_samples


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = _CRC8[crc ^ byte]
    return crc


def _crc16(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = (crc << 8 & 0xFFFF) ^ _CRC16[crc >> 8 ^ byte]
    return crc


def _table(polynomial: int, width: int) -> list[int]:
    top, mask, table = 1 << width - 1, (1 << width) - 1, []
    for byte in range(256):
        crc = byte << width - 8
        for _ in range(8):
            crc = (crc << 1 ^ (polynomial if crc & top else 0)) & mask
        table.append(crc)
    return table


_CRC8 = _table(0x07, 8)
_CRC16 = _table(0x8005, 16)
