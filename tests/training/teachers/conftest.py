"""Where the teachers lie: ECHO_TEACHERS, or runs/teachers as the fetch command leaves them."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

ROOT = Path(__file__).parents[3]
SHARED = ROOT.parent / "shared/data"


@pytest.fixture(scope="session")
def teachers() -> Path:
    folder = Path(os.environ.get("ECHO_TEACHERS", ROOT / "runs/teachers"))
    if not (folder / "versions.json").exists():
        pytest.skip(f"no teachers in {folder}: python -m training.teachers.fetch brings them")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = Path(os.environ.get("ECHO_SHARED_DATA", SHARED))
    if not folder.exists():
        pytest.skip(f"no recordings in {folder}")
    return folder


@pytest.fixture(scope="session")
def conversation() -> NDArray[np.float32]:
    """10 s of the demo's conversation, float32 at 16 kHz."""
    pcm, rate = soundfile.read(ROOT / "demo/conversation.flac", dtype="float32")
    assert rate == 16_000
    return np.asarray(pcm[: 10 * rate], np.float32)
