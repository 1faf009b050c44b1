"""The small Echo of tests/small_echo.py, made once."""

import numpy as np
import pytest
from numpy.typing import NDArray

from echo_edge_export.checkpoint import Checkpoint
from echo_edge_export.model.echo import Echo
from tests import small_echo


@pytest.fixture(scope="session")
def small_model() -> Echo:
    """Random weights."""
    return small_echo.make_model()


@pytest.fixture(scope="session")
def noise() -> NDArray[np.float32]:
    """3.7 s of noise bursts."""
    return small_echo.make_noise()


@pytest.fixture(scope="session")
def small_checkpoint(small_model: Echo) -> Checkpoint:
    """The small model, smoothed and calibrated."""
    return small_echo.make_checkpoint(small_model)
