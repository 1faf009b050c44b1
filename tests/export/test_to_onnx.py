from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from echo_edge.errors import EchoError, UsageError
from echo_edge_export.checkpoint import Checkpoint
from echo_edge_export.convert.to_onnx import to_onnx
from echo_edge_export.model.streaming import GraphJob, graph_inputs, graph_jobs, graph_modules
from echo_edge_export.quantize.calibrate import Calibration
from echo_edge_export.quantize.recipes import RECIPES, find_recipe
from echo_edge_export.quantize.weights import quantize_weight

GRAPHS = ("frontend", "encoder", "diarization", "speaker", "asr", "separation")
CHUNK = 4


def export(checkpoint: Checkpoint, graph: str, recipe: str, path: Path) -> Path:
    job = graph_jobs(checkpoint.model, CHUNK)[graph]
    to_onnx(job, RECIPES[recipe], checkpoint.calibration, path)
    return path


def random_inputs(checkpoint: Checkpoint, graph: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = graph_inputs(checkpoint.model.config, CHUNK)[graph]
    filled = {}
    for name, tensor in inputs.items():
        if name.endswith("valid") or name == "weights":
            filled[name] = (torch.rand(tensor.shape, generator=generator) > 0.3).float()
        else:
            filled[name] = torch.randn(tensor.shape, generator=generator) * 0.3
    return filled


@pytest.mark.parametrize("graph", GRAPHS)
@torch.no_grad()
def test_float32_is_eager_torch(small_checkpoint: Checkpoint, graph: str, tmp_path: Path) -> None:
    path = export(small_checkpoint, graph, "float32", tmp_path / "graph.onnx")
    inputs = random_inputs(small_checkpoint, graph)
    eager = graph_modules(small_checkpoint.model, CHUNK)[graph](*inputs.values())
    eager = eager if isinstance(eager, tuple) else (eager,)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})

    for output, expected in zip(outputs, eager, strict=True):
        np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("graph", ["encoder", "asr"])
def test_same_input_same_bytes(
    small_checkpoint: Checkpoint, graph: str, recipe: str, tmp_path: Path
) -> None:
    first = export(small_checkpoint, graph, recipe, tmp_path / "first.onnx")
    second = export(small_checkpoint, graph, recipe, tmp_path / "second.onnx")

    assert first.read_bytes() == second.read_bytes()


def test_int8_encoders_are_much_smaller(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    sizes = {
        recipe: export(small_checkpoint, "encoder", recipe, tmp_path / recipe).stat().st_size
        for recipe in ("float32", "static_w8a8")
    }

    assert sizes["static_w8a8"] < 0.6 * sizes["float32"]  # biases and tables weigh more when small


@pytest.mark.parametrize("bits", [7, 8])
def test_quantized_weights_are_near(bits: int) -> None:
    weight = np.random.default_rng(0).normal(size=(6, 32)).astype(np.float32)
    integers, scales = quantize_weight(weight, bits)

    assert integers.shape == weight.shape
    assert np.abs(integers).max() == 2 ** (bits - 1) - 1
    assert np.abs(integers * scales[:, None] - weight).max() <= scales.max() / 2 + 1e-6


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    class Cosine(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor]:
            return (torch.cos(x),)

    job = GraphJob("asr", Cosine(), {"x": torch.zeros(2)}, ("y",))
    with pytest.raises(EchoError, match=r"asr: operator cos\.default has no ONNX lowering"):
        to_onnx(job, RECIPES["float32"], None, tmp_path / "x.onnx")


def test_a_static_recipe_needs_a_calibration(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    bare = replace(small_checkpoint, calibration=None)
    with pytest.raises(EchoError, match="static_w8a8 needs a calibration"):
        export(bare, "asr", "static_w8a8", tmp_path / "x.onnx")


def test_unknown_recipe_names_the_known() -> None:
    with pytest.raises(UsageError, match="static_w8a8"):
        find_recipe("int3")


def test_calibration_round_trips_through_its_json(small_checkpoint: Checkpoint) -> None:
    calibration = small_checkpoint.calibration
    assert calibration is not None
    again = Calibration.from_json(calibration.to_json())

    assert again.to_json() == calibration.to_json()
    scale, zero = again.quantization("encoder.blocks.0.fc2")
    assert scale > 0.0
    assert zero == 0  # after a ReLU
