"""Headers that tell another number of samples than there are: all are heard, or a line says so."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echo_edge.audio import Array, duration_s, read_blocks
from tests.runtime.audio.made import decoded, noise, read, run

LIST = b"LIST" + struct.pack("<I", 26) + b"INFOISFT\x0d\0\0\0Lavf59.27.100\0"
ID3 = b"id3 " + struct.pack("<I", 12) + b"ID3\3\0\0\0\0\0\2\0\0"
OWN = b"xYz " + struct.pack("<I", 5) + b"hello"  # nobody's, not padded, to the end


def wav(pcm: bytes, size: int, riff: int | None = None, channels: int = 1, bits: int = 16) -> bytes:
    """A WAV at 16 kHz that tells `size` bytes of samples."""
    frame = channels * bits // 8
    riff = 36 + size & 0xFFFFFFFF if riff is None else riff
    fmt = struct.pack("<HHIIHH", 1, channels, 16000, 16000 * frame, frame, bits)
    head = struct.pack("<4sI4s4sI", b"RIFF", riff, b"WAVE", b"fmt ", 16) + fmt
    return head + struct.pack("<4sI", b"data", size) + pcm


PCM = (noise(2.0) * 32767).astype("<i2").tobytes()
WHOLE = np.frombuffer(PCM, "<i2").astype(np.float32) / 32768

SIZES = {
    "right": (len(PCM), b""),
    "0: killed, or gstreamer's": (0, b""),
    "0xFFFFFFFF: ffmpeg's": (0xFFFFFFFF, b""),
    "0xFFFFFFD8": (0xFFFFFFD8, b""),
    "0x80000000: arecord's": (0x80000000, b""),
    "0x7FFFFF00: arecord's": (0x7FFFFF00, b""),
    "0x7FFFF000: sox's": (0x7FFFF000, b""),
    "0x7FFFFFDB": (0x7FFFFFDB, b""),
    "too small: updated now and then": (len(PCM) // 3, b""),
    "too small and odd": (len(PCM) // 3 | 1, b""),
    "of the header only": (36, b""),
    "right, then LIST": (len(PCM), LIST),
    "right, then id3": (len(PCM), ID3),
    "right, then both": (len(PCM), LIST + ID3),
    "right, then LIST cut short": (len(PCM), LIST[:-9]),
    "right, then a chunk of nobody": (len(PCM), OWN),
    "right, then ID3v1": (len(PCM), b"TAG" + bytes(125)),
    "right, then a stray byte": (len(PCM), b"\0"),
}


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("riff", [None, 0, 0xFFFFFFFF])
def test_a_wav_is_heard_whole(tmp_path: Path, name: str, riff: int | None) -> None:
    size, tail = SIZES[name]
    path = tmp_path / "a.wav"
    path.write_bytes(wav(PCM + tail, size, riff))

    pcm, message = read(read_blocks(path))

    assert message == ""
    np.testing.assert_array_equal(pcm, WHOLE)
    assert duration_s(path) == 2.0


@pytest.mark.parametrize("size", [len(PCM) + 2, 10 * len(PCM), 0x7FFF0000, 0x90000000, 0xFFFF0000])
def test_a_wav_that_is_cut_short_says_so(tmp_path: Path, size: int) -> None:
    (tmp_path / "a.wav").write_bytes(wav(PCM, size))

    pcm, message = read(read_blocks(tmp_path / "a.wav"))

    np.testing.assert_array_equal(pcm, WHOLE)
    assert f"breaks off at 2.000 s, expected {size // 2 / 16000:.3f} s as its header" in message


def test_an_odd_size_is_padded(tmp_path: Path) -> None:
    data = bytes(range(100, 201))
    (tmp_path / "a.wav").write_bytes(wav(data + b"\0" + LIST, len(data), bits=8))

    pcm, message = decoded(tmp_path / "a.wav")

    assert message == ""
    assert (pcm[:, 0] * 128 + 128).tolist() == list(data)


@pytest.mark.parametrize("tail", [b"", LIST])
def test_a_size_that_wrapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tail: bytes) -> None:
    monkeypatch.setattr("echo_edge.audio.linear._WRAP", 1 << 12)  # for 4 GiB
    (tmp_path / "a.wav").write_bytes(wav(PCM + tail, len(PCM) % (1 << 12)))

    pcm, message = read(read_blocks(tmp_path / "a.wav"))

    assert message == ""
    np.testing.assert_array_equal(pcm, WHOLE)


def _set(path: Path, at: int, value: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[at : at + len(value)] = value
    path.write_bytes(data)


def _mark(path: Path, mark: bytes) -> int:
    return path.read_bytes().find(mark)


UNTOLD: dict[str, tuple[str, Callable[[Path], None]]] = {
    "RF64, ds64 of zeros": ("RF64", lambda path: _set(path, _mark(path, b"ds64") + 8, bytes(24))),
    "RF64, ds64 too small": (
        "RF64",
        lambda path: _set(path, _mark(path, b"ds64") + 16, struct.pack("<Q", 1000)),
    ),
    "RF64, ds64 of ones": (
        "RF64",
        lambda path: _set(path, _mark(path, b"ds64") + 8, b"\xff" * 16),
    ),
    "W64 of zero": ("W64", lambda path: _set(path, _mark(path, b"data") + 16, bytes(8))),
    "W64 of an empty chunk": (
        "W64",
        lambda path: _set(path, _mark(path, b"data") + 16, struct.pack("<Q", 24)),
    ),
    "W64 without end": (
        "W64",
        lambda path: _set(path, _mark(path, b"data") + 16, struct.pack("<q", 2**63 - 1)),
    ),
    "AIFF of zero": (
        "AIFF",
        lambda path: (
            _set(path, _mark(path, b"SSND") + 4, bytes(4)),
            _set(path, _mark(path, b"COMM") + 10, bytes(4)),
        )[0],
    ),
    "AIFF of an empty chunk": (
        "AIFF",
        lambda path: _set(path, _mark(path, b"SSND") + 4, struct.pack(">I", 8)),
    ),
    "CAF of -1": ("CAF", lambda path: _set(path, _mark(path, b"data") + 4, b"\xff" * 8)),
    "CAF too small": (
        "CAF",
        lambda path: _set(path, _mark(path, b"data") + 4, struct.pack(">q", 1004)),
    ),
    "AU of -1": ("AU", lambda path: _set(path, 8, b"\xff" * 4)),
    "AU of zero": ("AU", lambda path: _set(path, 8, bytes(4))),
    "AU too small": ("AU", lambda path: _set(path, 8, struct.pack(">I", 1000))),
    "FLAC without a length": ("FLAC", lambda path: _set(path, 22, bytes(4))),
    "FLAC too small": ("FLAC", lambda path: _set(path, 22, struct.pack(">I", 1000))),
}


@pytest.mark.parametrize("name", UNTOLD)
def test_other_containers_are_heard_whole(tmp_path: Path, name: str) -> None:
    container, spoil = UNTOLD[name]
    path = tmp_path / "a"
    soundfile.write(path, noise(2.0, channels=2), 16000, format=container, subtype="PCM_16")
    expected, _ = decoded(path)

    spoil(path)
    pcm, message = decoded(path)

    assert message == ""
    np.testing.assert_array_equal(pcm, expected)
    assert duration_s(path) == 2.0


PIPED = {
    "sox wav": ("sox", "in.wav", "-t", "wav", "-"),
    "sox wav 24": ("sox", "in.wav", "-b", "24", "-t", "wav", "-"),
    "sox aiff": ("sox", "in.wav", "-t", "aiff", "-"),
    "sox au": ("sox", "in.wav", "-t", "au", "-"),
    "ffmpeg wav": ("ffmpeg", "-v", "error", "-i", "in.wav", "-f", "wav", "-"),
    "ffmpeg rf64": ("ffmpeg", "-v", "error", "-i", "in.wav", "-rf64", "auto", "-f", "wav", "-"),
    "ffmpeg w64": ("ffmpeg", "-v", "error", "-i", "in.wav", "-f", "w64", "-"),
    "ffmpeg aiff": ("ffmpeg", "-v", "error", "-i", "in.wav", "-f", "aiff", "-"),
    "ffmpeg caf": ("ffmpeg", "-v", "error", "-i", "in.wav", "-f", "caf", "-"),
    "ffmpeg au": ("ffmpeg", "-v", "error", "-i", "in.wav", "-f", "au", "-"),
    "ffmpeg flac": ("ffmpeg", "-v", "error", "-i", "in.wav", "-f", "flac", "-"),
    "flac": ("flac", "--silent", "-c", "in.wav"),
}


@pytest.mark.parametrize("name", PIPED)
def test_what_programs_write_to_a_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write("in.wav", noise(2.0, channels=2), 16000, subtype="PCM_16")
    expected: Array = soundfile.read("in.wav", dtype="float32")[0]
    (tmp_path / "a").write_bytes(run(*PIPED[name]))

    pcm, message = decoded(tmp_path / "a")

    assert message == ""
    np.testing.assert_array_equal(pcm, expected)
    assert duration_s(tmp_path / "a") == 2.0


def test_an_aiff_whose_header_promises_more_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.aiff"
    soundfile.write(path, noise(2.0), 16000, subtype="PCM_16")
    _set(path, _mark(path, b"COMM") + 10, struct.pack(">I", 48000))

    assert "breaks off at 2.000 s, expected 3.000 s" in read(read_blocks(path))[1]


def test_a_flac_without_a_length_that_breaks_off_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(2.0), 16000, subtype="PCM_16")
    _set(path, 22, bytes(4))
    path.write_bytes(path.read_bytes()[:-100])

    pcm, message = decoded(path)

    assert len(pcm) == 32000 // 4096 * 4096
    assert message == "expected the rest of its last FLAC frame"
