"""The frontend against librosa, an independent implementation."""

import librosa
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from echo_edge_export.model.config import EchoConfig
from echo_edge_export.model.frontend import (
    LOG_FLOOR,
    Frontend,
    Synthesis,
    dft,
    hann_window,
    mel_filters,
)

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
    offsets = (frames.T * window).sum(axis=1, keepdims=True) / window.sum()
    golden = np.fft.rfft((frames.T - offsets) * window, 512)

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


@pytest.mark.parametrize("offset", [0.01, -0.05, 0.2])
def test_an_offset_changes_nothing(offset: float, noise: NDArray[np.float32]) -> None:
    frontend, settled = Frontend(CONFIG), 2  # frames that do not reach before the start
    pcm = torch.from_numpy(0.1 * noise)[None]
    features, spectrum = frontend.whole(pcm)
    with_offset, spectrum_with = frontend.whole(pcm + offset)

    np.testing.assert_allclose(with_offset[0, settled:], features[0, settled:], atol=1e-2)
    np.testing.assert_allclose(spectrum_with[0, settled:], spectrum[0, settled:], atol=2e-5)


@pytest.mark.parametrize("hertz", [100, 120, 200, 500, 1000, 4000])
def test_tones_of_speech_are_as_loud_as_without_the_high_pass(hertz: int) -> None:
    tone = torch.sin(2 * np.pi * hertz * torch.arange(8000) / 16_000)[None]
    plain = torch.nn.functional.conv1d(
        tone[:, None], (dft(CONFIG) * hann_window(CONFIG)).float()[:, None], stride=160
    )
    power = plain.unflatten(1, (2, -1)).square().sum(1).transpose(1, 2) @ mel_filters(CONFIG)
    heard = Frontend(CONFIG).features(Frontend(CONFIG).spectrum(tone)).exp() - LOG_FLOOR

    loudest = int(power[0].mean(0).argmax())
    ratio_db = 10 * torch.log10(heard[0, :, loudest] / power[0, :, loudest])
    assert ratio_db.abs().max() < 0.5


def test_synthesis_inverts_the_spectrum(noise: NDArray[np.float32]) -> None:
    """All but what the high-pass takes away, which lies below 80 Hz."""
    frontend, pcm = Frontend(CONFIG), torch.from_numpy(noise)[None]
    rebuilt = Synthesis(CONFIG)(frontend.spectrum(frontend.pad(pcm)))[0].numpy()
    overlap = CONFIG.overlap_samples
    whole = noise.size // 160 * 160 - overlap
    lost = np.fft.rfft((rebuilt[overlap : overlap + whole] - noise[:whole]) * np.hanning(whole))
    there = np.fft.rfft(noise[:whole] * np.hanning(whole))
    hertz = np.fft.rfftfreq(whole, 1 / 16_000)

    above = hertz > 100
    assert np.abs(lost[above]).max() < 0.02 * np.abs(there[above]).max()
    assert np.square(np.abs(lost[above])).sum() < 1e-5 * np.square(np.abs(there[above])).sum()


def test_synthesis_inverts_the_spectrum_without_the_high_pass(noise: NDArray[np.float32]) -> None:
    frontend, pcm = Frontend(CONFIG), torch.from_numpy(noise)[None]
    frontend.kernels.copy_((dft(CONFIG) * hann_window(CONFIG)).float()[:, None])
    rebuilt = Synthesis(CONFIG)(frontend.spectrum(frontend.pad(pcm)))
    overlap = CONFIG.overlap_samples
    whole = noise.size // 160 * 160 - overlap

    np.testing.assert_allclose(rebuilt[0, overlap : overlap + whole], noise[:whole], atol=1e-5)
