"""Standard input: containers are recognised and heard, WAV while it comes; raw PCM stays raw."""

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from echo_edge.audio import pcm_blocks, read_blocks, stdin_blocks
from echo_edge.errors import AudioError
from tests.runtime.audio.made import noise, read, run
from tests.runtime.audio.test_headers import PCM, SIZES, WHOLE, wav

FORMS = {
    "wav": ("WAV", "PCM_16"), "wav 24": ("WAV", "PCM_24"), "wav float": ("WAV", "FLOAT"),
    "wav mu-law": ("WAV", "ULAW"), "wav ADPCM": ("WAV", "IMA_ADPCM"), "rf64": ("RF64", "PCM_16"),
    "w64": ("W64", "PCM_16"), "aiff": ("AIFF", "PCM_16"), "caf": ("CAF", "PCM_16"),
    "au": ("AU", "PCM_16"), "flac": ("FLAC", "PCM_16"), "vorbis": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"), "mp3": ("MP3", "MPEG_LAYER_III"),
}  # fmt: skip


class Trickle(io.RawIOBase):
    """A stream whose reads are short, as a pipe's are."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int = -1, /) -> bytes:
        return self._data.read(min(size, 777))


@pytest.mark.parametrize("name", FORMS)
def test_a_pipe_is_heard_as_the_file(tmp_path: Path, name: str) -> None:
    container, subtype = FORMS[name]
    rate = 48000 if name == "opus" else 44100
    path = tmp_path / "a"
    soundfile.write(path, noise(1.5, rate, 2), rate, format=container, subtype=subtype)
    whole, _ = read(read_blocks(path))

    samples, message = read(stdin_blocks(Trickle(path.read_bytes()), 0.1))

    assert message == ""
    assert len(samples) == pytest.approx(24000, abs=1000)
    np.testing.assert_allclose(samples, whole, atol=1e-6)


@pytest.mark.parametrize("suffix", ["m4a", "webm", "wma"])
def test_media_in_a_pipe(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    run("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=d=1.5", path)
    whole, _ = read(read_blocks(path))

    samples, message = read(stdin_blocks(Trickle(path.read_bytes())))

    assert message == ""
    np.testing.assert_array_equal(samples, whole)


@pytest.mark.parametrize("name", SIZES)
def test_a_wav_of_any_size_in_its_header(name: str) -> None:
    size, tail = SIZES[name]

    samples, message = read(stdin_blocks(Trickle(wav(PCM + tail, size)), 0.1))

    assert message == ""
    np.testing.assert_array_equal(samples, WHOLE)


@pytest.mark.parametrize("size", [0, 0x80000000, 0xFFFFFFFF, 1000])
def test_a_wav_is_heard_while_it_comes(size: int) -> None:
    reader, writer = os.pipe()
    with open(reader, "rb") as pipe, open(writer, "wb", buffering=0) as program:  # noqa: PTH123
        program.write(wav(PCM[:6400], size))
        blocks = stdin_blocks(pipe, 0.1)
        first = next(blocks)

        np.testing.assert_array_equal(first, WHOLE[:1600])
        thread = threading.Thread(target=lambda: (program.write(PCM[6400:]), program.close()))
        thread.start()
        np.testing.assert_array_equal(np.concatenate([first, *blocks]), WHOLE)
        thread.join()


def test_a_wav_that_breaks_off_in_a_pipe_says_so() -> None:
    samples, message = read(stdin_blocks(Trickle(wav(PCM, 2 * len(PCM)))))

    assert len(samples) == len(WHOLE)
    assert message.startswith("standard input: breaks off at 2.000 s, expected 4.000 s")


@given(st.binary(max_size=200))
def test_what_is_no_container_is_raw(data: bytes) -> None:
    data = b"\0" + data  # not text

    assert str(read(stdin_blocks(io.BytesIO(data)))) == str(read(pcm_blocks(io.BytesIO(data))))


def test_raw_noise_of_every_beginning() -> None:
    random = np.random.default_rng(0)
    for first in range(0, 65536, 251):
        data = first.to_bytes(2, "little") + random.bytes(20000)

        samples, message = read(stdin_blocks(io.BytesIO(data)))

        assert message == ""
        np.testing.assert_array_equal(samples, np.frombuffer(data, "<i2") / np.float32(32768))


def test_raw_pcm_comes_at_once() -> None:
    reader, writer = os.pipe()
    with open(reader, "rb") as pipe, open(writer, "wb", buffering=0) as program:  # noqa: PTH123
        program.write(b"\0\0" * 1600)
        blocks = stdin_blocks(pipe, 0.1)

        assert len(next(blocks)) == 1600
        program.close()
        assert list(blocks) == []


NOT_AUDIO = {
    "text": (b"hello, this is a letter and not audio\n" * 9, "text"),
    "PDF": (b"%PDF-1.7\n" + bytes(999), "PDF"),
    "ZIP": (b"PK\3\4" + bytes(999), "ZIP"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(999), "PNG"),
    "gzip": (b"\x1f\x8b\x08" + bytes(999), "gzip"),
}


@pytest.mark.parametrize("name", NOT_AUDIO)
def test_what_is_no_audio_is_refused(name: str) -> None:
    data, title = NOT_AUDIO[name]

    with pytest.raises(AudioError, match=f"standard input: found {title}, expected audio"):
        next(stdin_blocks(io.BytesIO(data)))


def test_record_takes_a_container_from_a_pipe(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(1.5, 48000, 2), 48000, subtype="PCM_24")
    expected, _ = read(read_blocks(tmp_path / "a.wav"))
    options = ("record", "--out", tmp_path / "out", "--wav", "-", "--audio-only", "--quiet")

    with (tmp_path / "a.wav").open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-m", "echo_edge", *options],
            input=file.read(),
            capture_output=True,
            check=False,
        )

    assert (done.returncode, done.stderr) == (0, b"")
    (kept,) = (tmp_path / "out").glob("*/audio-*.wav")
    np.testing.assert_allclose(soundfile.read(kept)[0], expected, atol=1.01 / 32768)
