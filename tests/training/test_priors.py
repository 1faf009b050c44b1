"""Dividing posteriors by their priors, in the bias of a checkpoint's phones."""

import numpy as np
import pytest
import torch

from echo_edge_export.model.config import PHONES
from echo_edge_export.model.echo import Echo
from tests.training.test_joint import SMALL
from training.priors import divide, phone_priors


@pytest.fixture
def model() -> Echo:
    torch.manual_seed(0)
    return Echo(SMALL).eval()


@torch.no_grad()
def test_posteriors_are_divided_by_a_power_of_the_priors(model: Echo) -> None:
    latents, state = torch.randn(1, 5, 64), torch.zeros(1, model.asr.memory, 64)
    priors = torch.rand(len(PHONES)).softmax(0)
    characters, before, _ = model.asr(latents, state)

    divide(model, priors, 0.5)

    same, after, _ = model.asr(latents, state)
    wanted = before.exp() / priors.sqrt()
    torch.testing.assert_close(after.exp(), wanted / wanted.sum(-1, keepdim=True))
    torch.testing.assert_close(same, characters)


def test_priors_are_the_mean_over_all_frames(model: Echo) -> None:
    rng = np.random.default_rng(0)
    voices = [rng.normal(0, 0.1, n).astype(np.float32) for n in (16_000, 8_000)]
    one, other = (phone_priors(model, [voice]) for voice in voices)
    together = phone_priors(model, voices)

    assert float(together.sum()) == pytest.approx(1.0, abs=1e-5)
    frames = np.array([2 * ((len(voice) + 9600) // 640) for voice in voices])
    share = torch.tensor(frames / frames.sum(), dtype=torch.float32)
    torch.testing.assert_close(together, share[0] * one + share[1] * other)


def test_divided_priors_leave_nothing_to_divide(model: Echo) -> None:
    voice = [np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32)]
    spread = phone_priors(model, voice).log().std()

    for _ in range(3):
        divide(model, phone_priors(model, voice), 1.0)

    assert phone_priors(model, voice).log().std() < 0.1 * spread
