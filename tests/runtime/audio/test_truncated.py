import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echo_edge.audio import SAMPLE_RATE, duration_s, read_blocks
from tests.runtime.audio.made import noise, read


class TestTruncated:
    @pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
    @pytest.mark.parametrize(
        ("suffix", "container"), [("wav", "WAV"), ("wav", "RF64"), ("flac", "FLAC"), ("mp3", "MP3")]
    )
    def test_is_read_to_the_break(
        self, tmp_path: Path, suffix: str, container: str, share: float
    ) -> None:
        path = tmp_path / f"a.{suffix}"
        soundfile.write(path, noise(20.0), SAMPLE_RATE, format=container)
        whole, _ = read(read_blocks(path))
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

        samples, error = read(read_blocks(path, 1.0))

        assert error.startswith(f"{path}: breaks off at {len(samples) / SAMPLE_RATE:.3f} s, ")
        assert "expected 20.000 s as its header promises" in error
        assert abs(len(samples) / SAMPLE_RATE - 20.0 * share) < 0.6
        np.testing.assert_array_equal(samples, whole[: len(samples)])

    def test_wav_by_one_frame(self, wav: Path) -> None:
        wav.write_bytes(wav.read_bytes()[:-2])

        samples, error = read(read_blocks(wav))

        assert len(samples) == 79999
        assert "breaks off at 5.000 s" in error

    def test_wav_after_its_header(self, wav: Path) -> None:
        wav.write_bytes(wav.read_bytes()[:44])

        assert "breaks off at 0.000 s, expected 5.000 s" in read(read_blocks(wav))[1]

    def test_resampled_to_the_break(self, tmp_path: Path) -> None:
        path = tmp_path / "a.wav"
        soundfile.write(path, noise(2.0, 48000), 48000, subtype="PCM_16")
        path.write_bytes(path.read_bytes()[: 44 + 2 * 48000])

        samples, error = read(read_blocks(path, 0.3))

        assert len(samples) == 16000
        assert "breaks off at 1.000 s, expected 2.000 s" in error

    def test_ogg_in_its_last_page(self, tmp_path: Path) -> None:
        path = tmp_path / "a.ogg"
        soundfile.write(path, noise(5.0), SAMPLE_RATE)
        path.write_bytes(path.read_bytes()[:-1])

        samples, error = read(read_blocks(path))

        assert 0 < len(samples) < 80000
        assert "expected the rest of its last Ogg page" in error

    def test_flac_damaged_in_the_middle(self, tmp_path: Path) -> None:
        path = tmp_path / "a.flac"
        soundfile.write(path, noise(5.0), SAMPLE_RATE)
        data = bytearray(path.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
        path.write_bytes(data)

        samples, error = read(read_blocks(path))

        assert len(samples) < 80000
        assert "breaks off at" in error


class TestUnfinishedWav:
    """What a recorder leaves that was killed, or that streamed."""

    @pytest.mark.parametrize("riff", [0, 36, 160_036, 0xFFFFFFFF])
    @pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
    def test_is_read_to_the_end(self, wav: Path, riff: int, size: int) -> None:
        whole, _ = read(read_blocks(wav))
        data = bytearray(wav.read_bytes())
        data[4:8], data[40:44] = struct.pack("<I", riff), struct.pack("<I", size)
        wav.write_bytes(data)

        samples, error = read(read_blocks(wav))

        assert error == ""
        np.testing.assert_array_equal(samples, whole)
        assert duration_s(wav) == 5.0

    def test_rf64_is_read_to_the_end(self, tmp_path: Path) -> None:
        path = tmp_path / "a.wav"
        soundfile.write(path, noise(5.0), SAMPLE_RATE, format="RF64")
        data = bytearray(path.read_bytes())
        size_at = data.find(b"ds64") + 16
        data[size_at : size_at + 8] = bytes(8)
        path.write_bytes(data)

        samples, error = read(read_blocks(path))

        assert (len(samples), error) == (80000, "")

    def test_flac_without_a_length(self, tmp_path: Path) -> None:
        path = tmp_path / "a.flac"
        soundfile.write(path, noise(5.0), SAMPLE_RATE)
        data = bytearray(path.read_bytes())
        data[21] &= 0xF0
        data[22:26] = bytes(4)
        path.write_bytes(data)

        samples, error = read(read_blocks(path))

        assert (len(samples), error) == (80000, "")
        assert duration_s(path) == 5.0

    def test_mp3_without_a_length(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mp3"
        quiet = np.concatenate([np.zeros((80000, 1), np.float32), noise(5.0)])
        soundfile.write(path, quiet, SAMPLE_RATE, bitrate_mode="VARIABLE", compression_level=0.5)
        data = path.read_bytes()
        path.write_bytes(data[data.find(data[:2], 40) :])

        samples, error = read(read_blocks(path))

        assert error == ""
        assert abs(len(samples) - 160000) < 3000
