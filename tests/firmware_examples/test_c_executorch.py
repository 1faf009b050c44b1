"""The ExecuTorch example in C++: the same answers as the Python runtime with the same engine."""

import subprocess
import wave
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import echo_edge
from echo_edge.recorder.lines import turn_line, word_line

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
    run_program: Callable[..., subprocess.CompletedProcess[str]],
    read_lines: Callable[[str], dict[str, list[dict[str, Any]]]],
) -> None:
    spec = find_spec("executorch")
    assert spec is not None
    (folder,) = spec.submodule_search_locations or [""]
    options = ("ALSA=no", f"EXECUTORCH={folder}")
    make(EXAMPLE, *options, "program", "build/bundle/manifest.json", "build/conversation.wav")
    program = make(EXAMPLE, *options, "-s", "where").stdout.strip()
    bundle, recording = EXAMPLE / "build/bundle", EXAMPLE / "build/conversation.wav"

    done = run_program(program, "--bundle", bundle, recording)

    assert done.returncode == 0, done.stderr
    with wave.open(str(recording)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    with echo_edge.load(bundle) as session:
        stream = session.stream(2.0)
        results = [stream.push(pcm.astype(np.float32) / np.float32(32768)), stream.finish()]
    turns = [turn_line(turn) for result in results for turn in result.turns]
    words = [word_line(word) for result in results for word in result.words]
    found = read_lines(done.stdout)
    assert len(words) > 50
    assert found["turn"] == sorted(turns, key=lambda x: (x["start_s"], x["end_s"], x["speaker"]))
    assert found["word"] == sorted(words, key=lambda x: (x["start_s"], x["end_s"]))
