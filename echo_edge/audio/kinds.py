"""Containers, recognised by their first bytes."""

from collections.abc import Callable
from typing import NamedTuple

from echo_edge.audio.layout import find_magic
from echo_edge.audio.mp3 import declared_frames, parse_frame

HEAD_BYTES = 8192
"""Enough for every look, three frames of MP3 included."""


class Kind(NamedTuple):
    """A container: its name for people, and how it is read."""

    title: str
    reader: str
    """`linear`, `ogg`, `flac`, `mp3`, `media` or, for what is no audio, empty."""
    demuxer: str = ""
    """FFmpeg's name of it, the only one that it is opened as."""


_AT_0: dict[bytes, Kind] = {
    b"OggS": Kind("Ogg", "ogg", "ogg"),
    b"fLaC": Kind("FLAC", "flac", "flac"),
    b"ID3": Kind("MP3", "mp3", "mp3"),
    b"\x1a\x45\xdf\xa3": Kind("WebM or Matroska", "media", "matroska"),
    bytes.fromhex("3026b2758e66cf11a6d9"): Kind("WMA", "media", "asf"),
    b"#!AMR": Kind("AMR", "media", "amr"),
    b"FLV\x01": Kind("FLV", "media", "flv"),
    b"\0\0\1\xba": Kind("MPEG program stream", "media", "mpeg"),
    b"wvpk": Kind("WavPack", "media", "wv"),
    b"MAC ": Kind("Monkey's Audio", "media", "ape"),
    b"%PDF": Kind("PDF", ""),
    b"PK\3\4": Kind("ZIP", ""),
    b"\x1f\x8b\x08": Kind("gzip", ""),
    b"BZh": Kind("bzip2", ""),
    b"\xfd7zXZ\0": Kind("xz", ""),
    b"\x28\xb5\x2f\xfd": Kind("Zstandard", ""),
    b"\x89PNG\r\n": Kind("PNG", ""),
    b"\xff\xd8\xff\xe0": Kind("JPEG", ""),
    b"GIF8": Kind("GIF", ""),
    b"\x7fELF": Kind("ELF", ""),
}
_LINEAR = {"wav": "WAV", "w64": "W64", "aiff": "AIFF", "caf": "CAF", "au": "AU"}
_MOV = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_TEXT = frozenset(b"\t\n\r") | frozenset(range(0x20, 0x7F))


def find_kind(head: bytes) -> Kind | None:
    """The container that begins with these bytes, `HEAD_BYTES` of it if there are so many."""
    if name := find_magic(head):
        return Kind(_LINEAR[name], "linear", name)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return Kind("AVI", "media", "avi")
    if head[4:8] in _MOV and head[:2] == b"\0\0":
        return Kind("MP4, M4A or 3GP", "media", "mov")
    for magic, kind in _AT_0.items():
        if head.startswith(magic) and (magic != b"ID3" or _is_id3(head)):
            return kind
    if _has_index(head) or _n_frames(head, _mpeg_bytes) >= 3:
        return Kind("MP3", "mp3", "mp3")
    if _n_frames(head, _adts_bytes) >= 3:
        return Kind("AAC", "media", "aac")
    if head[:1] == b"G" and len(head) > 564 and head[188] == head[376] == head[564] == 0x47:
        return Kind("MPEG transport stream", "media", "mpegts")
    if len(head) >= 64 and is_text(head[:512]):
        return Kind("text", "")
    return None


def is_text(data: bytes) -> bool:
    """Whether these bytes are printable ASCII."""
    return _TEXT.issuperset(data)


def _is_id3(head: bytes) -> bool:
    return len(head) >= 10 and head[3] < 0x10 and head[4] < 0xFF and max(head[6:10]) < 0x80


def has_mp3_within(head: bytes) -> bool:
    """Whether five frames of an MP3 follow each other somewhere, as in what was cut out of one."""
    at = -1
    while (at := head.find(b"\xff", at + 1)) >= 0:
        if _n_frames(head[at : at + HEAD_BYTES], _mpeg_bytes, 5) == 5:
            return True
    return False


def _n_frames(head: bytes, measure: Callable[[bytes], int], enough: int = 3) -> int:
    at = n_frames = 0
    while n_frames < enough and (n_bytes := measure(head[at : at + 8])):
        at, n_frames = at + n_bytes, n_frames + 1
    return n_frames


def _has_index(head: bytes) -> bool:
    """Whether an MP3 begins with the index that most have."""
    frame = parse_frame(head[:4])
    return frame is not None and declared_frames(head, frame) is not None


def _mpeg_bytes(head: bytes) -> int:
    frame = parse_frame(head)
    return frame.n_bytes if frame else 0


def _adts_bytes(head: bytes) -> int:
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 > 12:
        return 0
    n_bytes = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return n_bytes if n_bytes >= 7 else 0
