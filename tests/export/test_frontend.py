"""The frontend against librosa, an independent implementation."""

import librosa
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from echo_edge_export.config import EchoConfig
from echo_edge_export.frontend import LOG_FLOOR, Frontend, Synthesis, mel_filters

CONFIG = EchoConfig()


@pytest.mark.parametrize("n_samples", [640, 7680, 10_001], ids=["step", "chunk", "odd"])
def test_spectrum_and_features_are_librosas(n_samples: int, noise: NDArray[np.float32]) -> None:
    pcm = noise[:n_samples]
    frontend = Frontend(CONFIG)
    spectrum = frontend.spectrum(frontend.pad(torch.from_numpy(pcm)[None]))
    padded = np.pad(pcm, (CONFIG.overlap_samples, 0))
    # librosa centres the window in n_fft; we put it first, which only turns phases.
    frames = librosa.util.frame(padded, frame_length=400, hop_length=160)
    window = librosa.filters.get_window("hann", 400, fftbins=True)
    golden = np.fft.rfft(frames.T * window, 512)

    assert spectrum.shape == (1, n_samples // 160, 257, 2)
    np.testing.assert_allclose(spectrum[0, ..., 0], golden.real, atol=2e-4)
    np.testing.assert_allclose(spectrum[0, ..., 1], golden.imag, atol=2e-4)

    mel = librosa.feature.melspectrogram(
        S=np.abs(golden.T) ** 2, sr=16_000, n_fft=512, n_mels=80, htk=True, norm=None
    )
    features = frontend.features(spectrum)
    np.testing.assert_allclose(features[0], np.log(mel.T + LOG_FLOOR), atol=1e-3)


def test_mel_filters_are_librosas() -> None:
    golden = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=80, htk=True, norm=None)

    np.testing.assert_allclose(mel_filters(CONFIG).T, golden, atol=1e-5)


def test_synthesis_inverts_the_spectrum(noise: NDArray[np.float32]) -> None:
    frontend, pcm = Frontend(CONFIG), torch.from_numpy(noise)[None]
    rebuilt = Synthesis(CONFIG)(frontend.spectrum(frontend.pad(pcm)))
    overlap = CONFIG.overlap_samples
    whole = noise.size // 160 * 160 - overlap

    np.testing.assert_allclose(rebuilt[0, overlap : overlap + whole], noise[:whole], atol=1e-5)
