"""The labelled recording that every bundle carries is the demonstration's, and so is its truth."""

import json
import re
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from echo_edge.bench.accuracy import read_labelled, read_truth
from echo_edge.bundle.verify import open_bundle
from echo_edge_export import write_bundle as written
from echo_edge_export.checkpoint import Checkpoint
from echo_edge_export.quantize.recipes import RECIPES

DEMO = Path(__file__).parents[2] / "demo"
AUDIO, TRUTH = written.LABELLED.values()


def test_audio_and_turns_are_the_demonstrations() -> None:
    reference = json.loads((DEMO / "conversation.json").read_text(encoding="utf-8"))["turns"]
    turns, text = read_truth(TRUTH.read_bytes(), soundfile.info(AUDIO).duration)

    assert AUDIO.read_bytes() == (DEMO / "conversation.flac").read_bytes()
    assert [(turn.start_s, turn.end_s, turn.speaker) for turn in turns] == [
        (turn["start_s"], turn["end_s"], turn["speaker"]) for turn in reference
    ]
    said = " ".join(turn["text"] for turn in reference)
    assert text.split() == re.findall("[a-z']+", said.lower())


def test_bundles_carry_it(
    small_checkpoint: Checkpoint, noise: NDArray[np.float32], tmp_path: Path
) -> None:
    plan = written.BundlePlan("onnx", RECIPES["float32"], 4, tmp_path / "b", score=False)
    written.write_bundle(small_checkpoint, plan, noise)

    labelled = read_labelled(open_bundle(tmp_path / "b"))

    assert labelled is not None
    assert len(labelled.pcm) == soundfile.info(AUDIO).frames
    assert len(labelled.turns) == 22


def test_names_say_which_chunks(tmp_path: Path) -> None:
    plans = [
        written.BundlePlan("onnx", RECIPES["float32"], steps, tmp_path, version="1.2.3")
        for steps in (12, 4)
    ]

    assert [plan.name for plan in plans] == [
        "echo-25m-v1.2.3-float32-onnx",
        "echo-25m-v1.2.3-float32-onnx-160ms",
    ]
