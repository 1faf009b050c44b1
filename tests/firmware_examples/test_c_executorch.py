"""The ExecuTorch example in C++: the same answers as the Python runtime with the same engine."""

import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.firmware_examples.example import python_lines, read_lines

EXAMPLE = Path(__file__).parents[2] / "firmware_examples" / "cpp_executorch"
pytestmark = [
    pytest.mark.slow,  # a bundle is exported first, unless one is in build/
    pytest.mark.skipif(
        find_spec("executorch") is None or find_spec("torch") is None,
        reason="needs echo-edge[export] to make a bundle",
    ),
]


def test_same_turns_and_words_as_python(
    make: Callable[..., subprocess.CompletedProcess[str]],
    build_example: Callable[..., Path],
    run_program: Callable[..., subprocess.CompletedProcess[str]],
    recording: Path,
) -> None:
    spec = find_spec("executorch")
    assert spec is not None
    (folder,) = spec.submodule_search_locations or [""]
    program = build_example(EXAMPLE, "release", f"EXECUTORCH={folder}")
    make(EXAMPLE, "build/bundle/manifest.json")
    bundle = EXAMPLE / "build/bundle"

    done = run_program(program, "--bundle", bundle, recording)

    assert done.returncode == 0, done.stderr
    found, expected = read_lines(done.stdout), python_lines(bundle, recording)
    assert len(expected["word"]) > 50
    assert (found["turn"], found["word"]) == (expected["turn"], expected["word"])
