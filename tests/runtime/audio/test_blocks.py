import io
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echo_edge.audio import (
    SAMPLE_RATE,
    duration_s,
    pcm_blocks,
    read_blocks,
)
from echo_edge.errors import AudioError
from tests.runtime.audio.made import noise, read


@pytest.mark.parametrize(
    ("suffix", "subtype", "tolerance"),
    [
        ("wav", "PCM_16", 1e-4),
        ("wav", "PCM_24", 1e-6),
        ("wav", "PCM_U8", 1e-2),
        ("wav", "FLOAT", 0),
        ("wav", "DOUBLE", 0),
        ("flac", "PCM_16", 1e-4),
        ("w64", "PCM_16", 1e-4),
        ("aiff", "PCM_16", 1e-4),
        ("ogg", "VORBIS", 0.2),
        ("mp3", "MPEG_LAYER_III", 0.3),
    ],
)
def test_formats_at_16_khz_pass_through(
    tmp_path: Path, suffix: str, subtype: str, tolerance: float
) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(3.0), SAMPLE_RATE, subtype=subtype)

    blocks = list(read_blocks(path, 1.0))

    assert [len(block) for block in blocks] == [16000] * 3
    assert {block.dtype for block in blocks} == {np.dtype(np.float32)}
    np.testing.assert_allclose(np.concatenate(blocks), noise(3.0)[:, 0], atol=tolerance)
    assert duration_s(path) == 3.0


@pytest.mark.parametrize("rate", [1000, 8000, 11025, 22050, 44100, 48000, 192000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_resampled_and_downmixed(tmp_path: Path, rate: int, channels: int) -> None:
    path = tmp_path / "a.wav"
    audio = noise(1.5, rate, channels)
    soundfile.write(path, audio, rate, subtype="FLOAT")

    samples, error = read(read_blocks(path, 0.4))

    assert error == ""
    assert len(samples) == round(len(audio) * SAMPLE_RATE / rate)
    expected = soxr.resample(audio.mean(axis=1), rate, SAMPLE_RATE, quality="HQ")
    np.testing.assert_allclose(samples, expected, atol=1e-5)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None
)
@given(block_s=st.floats(0.01, 3.0), rate=st.sampled_from([16000, 44100]))
def test_any_block_size_gives_the_same_samples(tmp_path: Path, block_s: float, rate: int) -> None:
    path = tmp_path / f"{rate}.wav"
    if not path.exists():
        soundfile.write(path, noise(2.0, rate, 2), rate)

    blocks = list(read_blocks(path, block_s))

    np.testing.assert_array_equal(np.concatenate(blocks), read(read_blocks(path, 10.0))[0])
    assert {len(block) for block in blocks[:-1]} <= {round(block_s * SAMPLE_RATE)}


def test_no_samples_yield_nothing(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(0.0), SAMPLE_RATE)

    assert list(read_blocks(tmp_path / "a.wav")) == []
    assert duration_s(tmp_path / "a.wav") == 0.0


def test_empty_data_chunk_before_another_chunk_is_no_audio(wav: Path) -> None:
    data = wav.read_bytes()[:40] + struct.pack("<I4sI4s", 0, b"LIST", 4, b"INFO")
    wav.write_bytes(data)

    assert list(read_blocks(wav)) == []


@pytest.mark.parametrize("block_s", [0.0, -1.0, float("nan")])
def test_block_must_be_positive(wav: Path, block_s: float) -> None:
    with pytest.raises(ValueError, match="expected more than 0"):
        next(read_blocks(wav, block_s))
    with pytest.raises(ValueError, match="expected more than 0"):
        next(pcm_blocks(io.BytesIO(), block_s))


NOT_AUDIO: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda _: None, "cannot be read (No such file or directory)"),
    "folder": (Path.mkdir, "found a folder, expected an audio file"),
    "pipe": (os.mkfifo, "found a device or a pipe, expected an audio file"),
    "empty": (Path.touch, "found an empty file, expected audio"),
    "text": (lambda path: path.write_text("hello world\n" * 9), "not audio that can be read"),
    "half a header": (lambda path: path.write_bytes(b"RIFF\0\0\0\0WAVEfmt "), "not audio that"),
    "zeros": (lambda path: path.write_bytes(bytes(5000)), "not audio that can be read"),
    "500 Hz": (lambda path: soundfile.write(path, noise(9.0, 500), 500), "sample rate of 500 Hz"),
    "2 MHz": (lambda path: soundfile.write(path, noise(0.1), 2_000_000), "1000 to 1000000 Hz"),
}


@pytest.mark.parametrize("name", NOT_AUDIO)
def test_refuses_what_is_no_audio(tmp_path: Path, name: str) -> None:
    make, message = NOT_AUDIO[name]
    path = tmp_path / "a.wav"
    make(path)

    for attempt in (lambda: next(read_blocks(path)), lambda: duration_s(path)):
        with pytest.raises(AudioError) as caught:
            attempt()
        assert str(caught.value).startswith(f"{path}: ")
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_refuses_what_it_may_not_read(wav: Path) -> None:
    wav.chmod(0)

    with pytest.raises(AudioError, match=r"cannot be read \(Permission denied\)"):
        next(read_blocks(wav))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, 1e200])
@pytest.mark.parametrize("channels", [1, 2])
def test_not_finite(tmp_path: Path, value: float, channels: int) -> None:
    path = tmp_path / "a.wav"
    audio = noise(3.0, channels=channels).astype(np.float64)
    audio[20000, -1] = value
    soundfile.write(path, audio, SAMPLE_RATE, subtype="DOUBLE")

    samples, error = read(read_blocks(path, 0.1))

    assert "at 1.250 s, expected finite values" in error
    assert 0 < len(samples) <= 20000
    assert np.isfinite(samples).all()


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_signalling_nan(tmp_path: Path, channels: int) -> None:
    """Bytes of something else, read as float32: numpy warns of these NaN when it casts them."""
    path = tmp_path / "a.wav"
    audio = noise(3.0, channels=channels).astype(np.float32).reshape(-1, channels)
    soundfile.write(path, audio, SAMPLE_RATE, subtype="FLOAT")
    whole = bytearray(path.read_bytes())
    at = len(whole) - 4 * channels * (len(audio) - 20000)
    whole[at : at + 4 * channels] = channels * (0x7FA00000).to_bytes(4, "little")
    path.write_bytes(whole)

    samples, error = read(read_blocks(path, 0.1))

    assert "at 1.250 s, expected finite values" in error
    assert np.isfinite(samples).all()


def test_import_leaves_the_audio_libraries_out() -> None:
    code = "import echo_edge.audio, sys; print({'soundfile', 'soxr'} & sys.modules.keys())"

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout == "set()\n"
