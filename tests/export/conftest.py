"""A small Echo: every part of the real one, sizes that train and export in a second."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from echo_edge_export.calibrate import calibrate
from echo_edge_export.checkpoint import Checkpoint
from echo_edge_export.config import EchoConfig
from echo_edge_export.model import Echo

SMALL = EchoConfig(
    d_model=64,
    n_layers=2,
    n_heads=2,
    d_mlp=128,
    left_context_steps=24,
    max_distance=40,
    window_steps=50,
    d_diarization=32,
    embedding_dim=16,
    d_slot=32,
    d_mask=48,
)


@pytest.fixture(scope="session")
def small_model() -> Echo:
    """Random weights, position biases and statistics away from their zeros and ones."""
    torch.manual_seed(3)
    model = Echo(SMALL).eval()
    torch.nn.init.normal_(model.encoder.relative_bias, std=0.5)
    torch.nn.init.normal_(model.encoder.mix, std=0.5)
    torch.nn.init.normal_(model.frontend.mean, mean=-5.0)
    torch.nn.init.uniform_(model.frontend.std, 1.0, 3.0)
    return model


@pytest.fixture(scope="session")
def noise() -> NDArray[np.float32]:
    """3.7 s of noise bursts: not a whole number of chunks of any size used here."""
    rng = np.random.default_rng(5)
    bursts = np.repeat(rng.uniform(0.0, 0.3, 37), 1600)
    return (rng.standard_normal(len(bursts)) * bursts).astype(np.float32)


@pytest.fixture(scope="session")
def small_checkpoint(small_model: Echo, noise: NDArray[np.float32]) -> Checkpoint:
    """The small model, smoothed and calibrated, as if loaded from a file."""
    model, calibration = calibrate(small_model, [noise], chunk_steps=4)
    return Checkpoint(model, 7, calibration, "0" * 64)
