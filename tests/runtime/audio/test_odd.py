"""Files that are whole all the same: with something in front, behind or inside."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echo_edge.errors import AudioError
from tests.runtime.audio.made import by_ffmpeg, decoded, noise, run, snr_db

ID3 = b"ID3\4\0\0\0\0\2\0" + bytes(256)
TAG = b"TAG" + bytes(125)


def _untold(data: bytes) -> bytes:
    at = data.find(b"data") + 4
    return data[:at] + bytes(4) + data[at + 4 :]


ODD: dict[str, tuple[str, str, Callable[[bytes], bytes]]] = {
    "FLAC behind ID3v2": ("FLAC", "PCM_16", lambda data: ID3 + data),
    "FLAC before ID3v1": ("FLAC", "PCM_16", lambda data: data + TAG),
    "WAV behind ID3v2": ("WAV", "PCM_16", lambda data: ID3 + data),
    "MP3 behind zeros": ("MP3", "MPEG_LAYER_III", lambda data: bytes(5000) + data),
    "MP3 behind a page": (
        "MP3",
        "MPEG_LAYER_III",
        lambda data: b"HTTP/1.0 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n" + data,
    ),
    "IMA ADPCM without a size": ("WAV", "IMA_ADPCM", _untold),
    "MS ADPCM without a size": ("WAV", "MS_ADPCM", _untold),
}


@pytest.mark.parametrize("name", ODD)
def test_is_heard_as_without(tmp_path: Path, name: str) -> None:
    container, subtype, spoil = ODD[name]
    soundfile.write(tmp_path / "a", noise(2.0), 16000, format=container, subtype=subtype)
    expected, _ = decoded(tmp_path / "a")

    (tmp_path / "b").write_bytes(spoil((tmp_path / "a").read_bytes()))
    samples, message = decoded(tmp_path / "b")

    assert message == ""
    np.testing.assert_allclose(samples, expected, atol=1e-6)


def test_an_mp3_that_begins_in_a_frame(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.mp3", noise(4.0), 16000)
    data = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "b.mp3").write_bytes(data[len(data) // 2 + 7 :])

    samples, message = decoded(tmp_path / "b.mp3")

    expected = by_ffmpeg(tmp_path / "b.mp3", 1)
    assert (len(samples), message) == (len(expected), "")
    assert snr_db(samples[2000:], expected[2000:]) >= 60  # its first frames lack what came before


OTHERS = {
    "MP3 in WAV": ("-c:a", "libmp3lame", "a.wav"),
    "MP2": ("a.mp2",),
    "ALAC in CAF": ("-c:a", "alac", "a.caf"),
    "video in Ogg": ("-f", "lavfi", "-i", "testsrc=d=2:s=64x48:r=5", "-c:a", "libvorbis", "a.ogv"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_rare_ones_are_what_ffmpeg_decodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write("in.wav", noise(2.0, 48000), 48000, subtype="PCM_16")
    run("ffmpeg", "-v", "error", "-i", "in.wav", *OTHERS[name])

    samples, message = decoded(Path(OTHERS[name][-1]))

    expected = by_ffmpeg(Path(OTHERS[name][-1]), 1)
    assert (len(samples), message) == (len(expected), "")
    assert snr_db(samples, expected) >= 60


def test_an_ogg_whose_header_is_no_codec_is_refused(tmp_path: Path) -> None:
    page = b"OggS\0\2" + bytes(20) + b"\1\x20" + b"nothing that anybody knows......"
    (tmp_path / "a.ogg").write_bytes(page + struct.pack("<I", 0) * 9)

    with pytest.raises(AudioError, match="not audio that can be read"):
        decoded(tmp_path / "a.ogg")
