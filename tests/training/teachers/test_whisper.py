"""Latents beside CTranslate2's own, which is the package that runs this model."""

from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.teachers.whisper import Whisper, log_mel, mel_filters, sinusoids

Array = NDArray[np.float32]


def standardised(latents: Array, reference: Array) -> Array:
    return (latents - reference.mean(0)) / reference.std(0)


def test_mel_filters_are_slaneys() -> None:
    reference = librosa.filters.mel(sr=16_000, n_fft=400, n_mels=80)
    np.testing.assert_allclose(mel_filters().numpy(), reference, atol=1e-7)


def test_log_mel_ends_80_db_below_its_loudest_and_is_scaled_by_four() -> None:
    time = np.arange(16_000) / 16_000
    tone = np.where(time < 0.5, np.sin(2 * np.pi * 1000 * time), 0).astype(np.float32)
    mel = log_mel(torch.from_numpy(tone)[None], mel_filters())[0].numpy()

    power = np.abs(librosa.stft(tone, n_fft=400, hop_length=160, pad_mode="reflect")) ** 2
    log = np.log10(np.maximum(mel_filters().numpy() @ power[:, :-1], 1e-10))
    expected = (np.maximum(log, log.max() - 8) + 4) / 4
    assert mel.shape == (80, 100)
    np.testing.assert_allclose(mel, expected, atol=2e-4)
    assert mel.max() - mel.min() == pytest.approx(2.0)


def test_positions_are_sines_then_cosines() -> None:
    positions = sinusoids(1500, 512).numpy()
    assert positions[0].tolist() == [0.0] * 256 + [1.0] * 256
    assert positions[3, [0, 256]] == pytest.approx([np.sin(3), np.cos(3)], abs=1e-6)
    assert positions[3, 255] == pytest.approx(3e-4, rel=1e-3)


def test_latents_are_those_of_ctranslate2(teachers: Path, conversation: Array) -> None:
    ctranslate2 = pytest.importorskip("ctranslate2")
    engine = ctranslate2.models.Whisper(str(teachers / "whisper-base"), compute_type="float32")
    padded = torch.zeros(1, 480_000)
    padded[0, : len(conversation)] = torch.from_numpy(conversation)
    mel = log_mel(padded, mel_filters()).numpy()
    heard = engine.encode(ctranslate2.StorageView.from_array(np.ascontiguousarray(mel)))
    expected = np.array(heard)[0]

    ours = Whisper(teachers / "whisper-base").latents([conversation])[0]
    rough = Whisper(teachers / "whisper-base", bf16=True).latents([conversation, conversation])[1]

    assert ours.shape == expected.shape == (1500, 512)
    want = standardised(expected, expected)
    assert np.abs(ours - expected).mean() < 2e-3
    assert np.square(standardised(ours, expected) - want).mean() < 1e-5
    assert np.square(standardised(rough, expected) - want).mean() < 2e-3


@pytest.mark.slow
def test_mean_scores_are_a_bias_by_distance(teachers: Path, conversation: Array) -> None:
    scores = Whisper(teachers / "whisper-base").mean_scores([conversation], limit=120)

    assert scores.shape == (6, 8, 241)
    assert scores.max() == 0.0
    assert scores.min() >= -12.0
    # Every head listens to its neighbourhood rather than 4 s away.
    assert (scores[..., 115:126].amax(-1) > scores[..., 15:25].mean(-1)).float().mean() > 0.9
