"""An audio input that lasts longer than the faults of storage."""

from pathlib import Path

import pytest
import soundfile

from echo_edge.recorder.capture import FileInput
from tests.runtime.recording import SECOND, SIX_SECONDS


@pytest.fixture
def source(tmp_path: Path) -> FileInput:
    """Six seconds of audio in three."""
    soundfile.write(tmp_path / "long.wav", SIX_SECONDS, SECOND)
    return FileInput(str(tmp_path / "long.wav"), 2.0)
