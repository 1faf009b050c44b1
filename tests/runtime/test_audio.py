import io
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echo_edge.audio import (
    SAMPLE_RATE,
    Array,
    WavWriter,
    duration_s,
    pcm_blocks,
    read_blocks,
    write_wav,
)
from echo_edge.errors import AudioError, OutputError


def _noise(seconds: float, rate: int = SAMPLE_RATE, channels: int = 1) -> Array:
    """A tone in noise, float32 `[frames, channels]`, different in each channel."""
    random = np.random.default_rng(0)
    n_frames = round(seconds * rate)
    tone = 0.3 * np.sin(2 * np.pi * 300 * np.arange(n_frames) / rate)
    return (tone[:, None] + 0.05 * random.standard_normal((n_frames, channels))).astype(np.float32)


def _read(blocks: Iterator[Array]) -> tuple[Array, str]:
    """Everything that was yielded, and the error that ended it or nothing."""
    held = [np.empty(0, np.float32)]
    try:
        held.extend(blocks)
    except AudioError as error:
        return np.concatenate(held), str(error)
    return np.concatenate(held), ""


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    """Five seconds of 16 kHz mono 16-bit audio."""
    path = tmp_path / "five.wav"
    soundfile.write(path, _noise(5.0), SAMPLE_RATE, subtype="PCM_16")
    return path


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
    soundfile.write(path, _noise(3.0), SAMPLE_RATE, subtype=subtype)

    blocks = list(read_blocks(path, 1.0))

    assert [len(block) for block in blocks] == [16000] * 3
    assert {block.dtype for block in blocks} == {np.dtype(np.float32)}
    np.testing.assert_allclose(np.concatenate(blocks), _noise(3.0)[:, 0], atol=tolerance)
    assert duration_s(path) == 3.0


@pytest.mark.parametrize("rate", [1000, 8000, 11025, 22050, 44100, 48000, 192000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_resampled_and_downmixed(tmp_path: Path, rate: int, channels: int) -> None:
    path = tmp_path / "a.wav"
    audio = _noise(1.5, rate, channels)
    soundfile.write(path, audio, rate, subtype="FLOAT")

    samples, error = _read(read_blocks(path, 0.4))

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
        soundfile.write(path, _noise(2.0, rate, 2), rate)

    blocks = list(read_blocks(path, block_s))

    np.testing.assert_array_equal(np.concatenate(blocks), _read(read_blocks(path, 10.0))[0])
    assert {len(block) for block in blocks[:-1]} <= {round(block_s * SAMPLE_RATE)}


def test_no_samples_yield_nothing(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", _noise(0.0), SAMPLE_RATE)

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
    "500 Hz": (lambda path: soundfile.write(path, _noise(9.0, 500), 500), "sample rate of 500 Hz"),
    "2 MHz": (lambda path: soundfile.write(path, _noise(0.1), 2_000_000), "1000 to 1000000 Hz"),
}


@pytest.mark.parametrize("name", NOT_AUDIO)
def test_refuses_what_is_no_audio(tmp_path: Path, name: str) -> None:
    make, message = NOT_AUDIO[name]
    path = tmp_path / "a.wav"
    make(path)

    for read in (lambda: next(read_blocks(path)), lambda: duration_s(path)):
        with pytest.raises(AudioError) as caught:
            read()
        assert str(caught.value).startswith(f"{path}: ")
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_refuses_what_it_may_not_read(wav: Path) -> None:
    wav.chmod(0)

    with pytest.raises(AudioError, match=r"cannot be read \(Permission denied\)"):
        next(read_blocks(wav))


class TestTruncated:
    @pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
    @pytest.mark.parametrize(
        ("suffix", "container"), [("wav", "WAV"), ("wav", "RF64"), ("flac", "FLAC"), ("mp3", "MP3")]
    )
    def test_is_read_to_the_break(
        self, tmp_path: Path, suffix: str, container: str, share: float
    ) -> None:
        path = tmp_path / f"a.{suffix}"
        soundfile.write(path, _noise(20.0), SAMPLE_RATE, format=container)
        whole, _ = _read(read_blocks(path))
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

        samples, error = _read(read_blocks(path, 1.0))

        assert error.startswith(f"{path}: breaks off at {len(samples) / SAMPLE_RATE:.3f} s, ")
        assert "expected 20.000 s as its header promises" in error
        assert abs(len(samples) / SAMPLE_RATE - 20.0 * share) < 0.6
        np.testing.assert_array_equal(samples, whole[: len(samples)])

    def test_wav_by_one_frame(self, wav: Path) -> None:
        wav.write_bytes(wav.read_bytes()[:-2])

        samples, error = _read(read_blocks(wav))

        assert len(samples) == 79999
        assert "breaks off at 5.000 s" in error

    def test_wav_after_its_header(self, wav: Path) -> None:
        wav.write_bytes(wav.read_bytes()[:44])

        assert "breaks off at 0.000 s, expected 5.000 s" in _read(read_blocks(wav))[1]

    def test_resampled_to_the_break(self, tmp_path: Path) -> None:
        path = tmp_path / "a.wav"
        soundfile.write(path, _noise(2.0, 48000), 48000, subtype="PCM_16")
        path.write_bytes(path.read_bytes()[: 44 + 2 * 48000])

        samples, error = _read(read_blocks(path, 0.3))

        assert len(samples) == 16000
        assert "breaks off at 1.000 s, expected 2.000 s" in error

    def test_ogg_in_its_last_page(self, tmp_path: Path) -> None:
        path = tmp_path / "a.ogg"
        soundfile.write(path, _noise(5.0), SAMPLE_RATE)
        path.write_bytes(path.read_bytes()[:-1])

        samples, error = _read(read_blocks(path))

        assert 0 < len(samples) < 80000
        assert "expected the rest of its last Ogg page" in error

    def test_flac_damaged_in_the_middle(self, tmp_path: Path) -> None:
        path = tmp_path / "a.flac"
        soundfile.write(path, _noise(5.0), SAMPLE_RATE)
        data = bytearray(path.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
        path.write_bytes(data)

        samples, error = _read(read_blocks(path))

        assert len(samples) < 80000
        assert "breaks off at" in error


class TestUnfinishedWav:
    """What a recorder leaves that was killed, or that streamed."""

    @pytest.mark.parametrize("riff", [0, 36, 160_036, 0xFFFFFFFF])
    @pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
    def test_is_read_to_the_end(self, wav: Path, riff: int, size: int) -> None:
        whole, _ = _read(read_blocks(wav))
        data = bytearray(wav.read_bytes())
        data[4:8], data[40:44] = struct.pack("<I", riff), struct.pack("<I", size)
        wav.write_bytes(data)

        samples, error = _read(read_blocks(wav))

        assert error == ""
        np.testing.assert_array_equal(samples, whole)
        assert duration_s(wav) == 5.0

    def test_rf64_is_read_to_the_end(self, tmp_path: Path) -> None:
        path = tmp_path / "a.wav"
        soundfile.write(path, _noise(5.0), SAMPLE_RATE, format="RF64")
        data = bytearray(path.read_bytes())
        size_at = data.find(b"ds64") + 16
        data[size_at : size_at + 8] = bytes(8)
        path.write_bytes(data)

        samples, error = _read(read_blocks(path))

        assert (len(samples), error) == (80000, "")

    def test_flac_without_a_length(self, tmp_path: Path) -> None:
        path = tmp_path / "a.flac"
        soundfile.write(path, _noise(5.0), SAMPLE_RATE)
        data = bytearray(path.read_bytes())
        data[21] &= 0xF0
        data[22:26] = bytes(4)
        path.write_bytes(data)

        samples, error = _read(read_blocks(path))

        assert (len(samples), error) == (80000, "")
        assert duration_s(path) == 5.0

    def test_mp3_without_a_length(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mp3"
        quiet = np.concatenate([np.zeros((80000, 1), np.float32), _noise(5.0)])
        soundfile.write(path, quiet, SAMPLE_RATE, bitrate_mode="VARIABLE", compression_level=0.5)
        data = path.read_bytes()
        path.write_bytes(data[data.find(data[:2], 40) :])

        samples, error = _read(read_blocks(path))

        assert error == ""
        assert abs(len(samples) - 160000) < 3000


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, 1e200])
@pytest.mark.parametrize("channels", [1, 2])
def test_not_finite(tmp_path: Path, value: float, channels: int) -> None:
    path = tmp_path / "a.wav"
    audio = _noise(3.0, channels=channels).astype(np.float64)
    audio[20000, -1] = value
    soundfile.write(path, audio, SAMPLE_RATE, subtype="DOUBLE")

    samples, error = _read(read_blocks(path, 0.1))

    assert "at 1.250 s, expected finite values" in error
    assert 0 < len(samples) <= 20000
    assert np.isfinite(samples).all()


class TestPcm:
    class Trickle(io.RawIOBase):
        """A stream whose reads are short, as a pipe's are."""

        def __init__(self, data: bytes) -> None:
            self._data = io.BytesIO(data)

        def read(self, size: int = -1, /) -> bytes:
            return self._data.read(min(size, 7))

    @given(st.binary(max_size=200), st.integers(1, 40))
    def test_every_byte_arrives(self, data: bytes, n_samples: int) -> None:
        samples, error = _read(pcm_blocks(self.Trickle(data), n_samples / SAMPLE_RATE))

        expected = np.frombuffer(data[: len(data) // 2 * 2], "<i2") / 32768
        np.testing.assert_array_equal(samples, expected.astype(np.float32))
        assert ("found an odd number of bytes" in error) == (len(data) % 2 == 1)

    def test_blocks(self) -> None:
        blocks = list(pcm_blocks(io.BytesIO(bytes(40000)), 0.5))

        assert [len(block) for block in blocks] == [8000, 8000, 4000]
        assert blocks[0].dtype == np.float32

    def test_failing_stream(self) -> None:
        class Broken(io.BytesIO):
            def read(self, _: int | None = -1, /) -> bytes:
                raise OSError(5, "Input/output error")

        with pytest.raises(AudioError, match="Input/output error"):
            next(pcm_blocks(Broken()))

    def test_non_blocking_stream(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        with (
            open(reader, "rb", buffering=0) as stream,  # noqa: PTH123
            open(writer, "wb"),  # noqa: PTH123
            pytest.raises(AudioError, match="expected a blocking one"),
        ):
            next(pcm_blocks(stream))


class TestWavWriter:
    def test_round_trip(self, tmp_path: Path) -> None:
        path = tmp_path / "a.wav"
        audio = _noise(1.0)[:, 0]

        with WavWriter(path) as writer:
            for start in range(0, len(audio), 999):
                writer.write(audio[start : start + 999])
            assert not path.exists()

        samples, error = _read(read_blocks(path))
        assert error == ""
        np.testing.assert_allclose(samples, audio, atol=1e-4)
        assert soundfile.info(path).subtype == "PCM_16"
        assert _names(tmp_path) == ["a.wav"]

    def test_clips(self, tmp_path: Path) -> None:
        write_wav(tmp_path / "a.wav", np.array([2.0, -2.0, 1.0, -1.0, 0.0], np.float32))

        written = soundfile.read(tmp_path / "a.wav", dtype="int16")[0]
        assert written.tolist() == [32767, -32767, 32767, -32767, 0]

    def test_nothing_written_is_a_wav(self, tmp_path: Path) -> None:
        write_wav(tmp_path / "a.wav", np.empty(0, np.float32))

        assert soundfile.info(tmp_path / "a.wav").frames == 0

    @pytest.mark.parametrize("error", [KeyboardInterrupt, AudioError, OSError])
    def test_error_leaves_the_old_file(self, tmp_path: Path, error: type[BaseException]) -> None:
        path = tmp_path / "a.wav"
        path.write_text("old")

        with pytest.raises(error), WavWriter(path) as writer:  # noqa: PT012
            writer.write(np.zeros(100_000, np.float32))
            raise error

        assert path.read_text() == "old"
        assert _names(tmp_path) == ["a.wav"]

    def test_not_finite_is_a_bug(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="not finite"):
            write_wav(tmp_path / "a.wav", np.array([np.nan], np.float32))

        assert _names(tmp_path) == []

    @pytest.mark.parametrize("path", ["missing/a.wav", "folder", "/dev/null"])
    def test_refuses(self, tmp_path: Path, path: str) -> None:
        (tmp_path / "folder").mkdir()

        with pytest.raises(OutputError, match=r"cannot be written|not a regular file"):
            write_wav(tmp_path / path, np.zeros(1, np.float32))

        assert _names(tmp_path) == ["folder"]

    def test_full_disk_leaves_the_old_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        (tmp_path / "a.wav").write_text("old")
        monkeypatch.setattr(os, "fsync", full)

        with pytest.raises(OutputError, match="No space left on device"):
            write_wav(tmp_path / "a.wav", np.zeros(1, np.float32))

        assert (tmp_path / "a.wav").read_text() == "old"
        assert _names(tmp_path) == ["a.wav"]

    def test_longer_than_a_wav_can_be(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("echo_edge.audio.wav._WAV_MAX_DATA_BYTES", 100)

        with pytest.raises(OutputError, match="more than a WAV file holds"):
            write_wav(tmp_path / "a.wav", np.zeros(51, np.float32))

        assert _names(tmp_path) == []


def test_import_leaves_the_audio_libraries_out() -> None:
    code = "import echo_edge.audio, sys; print({'soundfile', 'soxr'} & sys.modules.keys())"

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout == "set()\n"
