from pathlib import Path

import pytest
import soundfile

from echo_edge.audio import SAMPLE_RATE
from tests.runtime.audio.made import noise


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    """Five seconds of 16 kHz mono 16-bit audio."""
    path = tmp_path / "five.wav"
    soundfile.write(path, noise(5.0), SAMPLE_RATE, subtype="PCM_16")
    return path
