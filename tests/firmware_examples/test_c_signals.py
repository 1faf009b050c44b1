"""Audio that is not nominal in C: put right as Python puts it right, so with the same results."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.firmware_examples.engines import ONNX, Engine, needs
from tests.firmware_examples.example import assert_same, python_lines, read_lines
from tests.runtime.signals import FITS_16_BITS, signal

Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = needs(ONNX)


@pytest.fixture(scope="module")
def program(build_example: Callable[[Engine], Path]) -> Path:
    return build_example(ONNX)


@pytest.mark.parametrize("name", FITS_16_BITS)
def test_the_same_turns_and_words_as_python(
    name: str, program: Path, default_bundle: Path, run_program: Run, tmp_path: Path
) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, signal(name, default_bundle), 16_000, "PCM_16")

    done = run_program(program, "--bundle", default_bundle, *ONNX.arguments(), path)

    assert (done.returncode, done.stderr) == (0, "")
    expected = python_lines(default_bundle, path)
    assert len(expected["turn"]) >= 7
    assert_same(read_lines(done.stdout), expected)


def test_separated_voices_are_as_loud_as_they_came(
    program: Path, default_bundle: Path, run_program: Run, tmp_path: Path
) -> None:
    """Beside those of Python, sample by sample of 16 bits: the gain is undone there too."""
    import echo_edge

    path, folder = tmp_path / "a.wav", tmp_path / "voices"
    soundfile.write(path, signal("-40 dB", default_bundle)[: 16_000 * 12], 16_000, "PCM_16")
    done = run_program(
        program, "--bundle", default_bundle, *ONNX.arguments(), "--separate", folder, path
    )

    pieces: list[np.ndarray] = []
    with echo_edge.load(default_bundle) as session:
        stream = session.stream(on_sources=pieces.append)
        stream.push(soundfile.read(path, dtype="float32")[0])
        stream.finish()
    expected = np.concatenate(pieces, axis=1)
    found = [soundfile.read(each, dtype="float32")[0] for each in sorted(folder.glob("*.wav"))]
    assert re.search('"type": "source"', done.stdout)
    assert 0.002 < max(np.abs(each).max() for each in found) < 0.02
    for voice in found:
        apart = [np.abs(voice - each).max() for each in expected]
        assert min(apart) < 2 / 32767
