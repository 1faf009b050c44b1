import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echo_edge.audio import WavWriter, read_blocks, write_wav
from echo_edge.errors import AudioError, OutputError
from tests.runtime.audio.made import names, noise, read


class TestWavWriter:
    def test_round_trip(self, tmp_path: Path) -> None:
        path = tmp_path / "a.wav"
        audio = noise(1.0)[:, 0]

        with WavWriter(path) as writer:
            for start in range(0, len(audio), 999):
                writer.write(audio[start : start + 999])
            assert not path.exists()

        samples, error = read(read_blocks(path))
        assert error == ""
        np.testing.assert_allclose(samples, audio, atol=1e-4)
        assert soundfile.info(path).subtype == "PCM_16"
        assert names(tmp_path) == ["a.wav"]

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
        assert names(tmp_path) == ["a.wav"]

    def test_not_finite_is_a_bug(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="not finite"):
            write_wav(tmp_path / "a.wav", np.array([np.nan], np.float32))

        assert names(tmp_path) == []

    @pytest.mark.parametrize("path", ["missing/a.wav", "folder", "/dev/null"])
    def test_refuses(self, tmp_path: Path, path: str) -> None:
        (tmp_path / "folder").mkdir()

        with pytest.raises(OutputError, match=r"cannot be written|not a regular file"):
            write_wav(tmp_path / path, np.zeros(1, np.float32))

        assert names(tmp_path) == ["folder"]

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
        assert names(tmp_path) == ["a.wav"]

    def test_longer_than_a_wav_can_be(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("echo_edge.audio.wav._WAV_MAX_DATA_BYTES", 100)

        with pytest.raises(OutputError, match="more than a WAV file holds"):
            write_wav(tmp_path / "a.wav", np.zeros(51, np.float32))

        assert names(tmp_path) == []
