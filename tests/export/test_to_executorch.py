"""The small model through every recipe, run by the runtime's own engine."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import echo_edge
from echo_edge.bundle.manifest import GraphSpec
from echo_edge.engines.executorch import ExecutorchEngine
from echo_edge.engines.executorch_library import library
from echo_edge.engines.stateful import GraphStream
from echo_edge.errors import EchoError, EngineError
from echo_edge.selftest import sqnr_db
from echo_edge_export.checkpoint import Checkpoint, save_checkpoint
from echo_edge_export.convert.to_executorch import left_over, rewritten, to_executorch
from echo_edge_export.model.streaming import (
    GraphJob,
    graph_inputs,
    graph_jobs,
    graph_modules,
    graph_outputs,
)
from echo_edge_export.quantize import calibrate
from echo_edge_export.quantize.recipes import RECIPES

CHUNK = 4
GRAPHS = ("frontend", "encoder", "diarization", "speaker", "asr", "separation")
OUTSIDE = {"diarization": ["aten::_log_softmax"], "asr": ["aten::_log_softmax"] * 2,
           "speaker": ["aten::amax"]}  # fmt: skip
"""What XNNPACK does not take; each ends a graph or works on a handful of numbers."""

Export = Callable[[str, str], tuple[Path, GraphSpec]]


def _write(checkpoint: Checkpoint, graph: str, recipe: str, path: Path) -> GraphSpec:
    job = graph_jobs(checkpoint.model, CHUNK)[graph]
    return to_executorch(job, RECIPES[recipe], checkpoint.calibration, path)


@pytest.fixture(scope="session")
def export(small_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """A graph of the small model by a recipe, lowered once: that takes seconds."""

    @cache
    def made(graph: str, recipe: str) -> tuple[Path, GraphSpec]:
        path = tmp_path_factory.mktemp(recipe) / f"{graph}.pte"
        return path, _write(small_checkpoint, graph, recipe, path)

    return made


@pytest.fixture(autouse=True)
def _engine() -> None:
    try:
        library()
    except EngineError as error:
        pytest.skip(str(error))


def _inputs(checkpoint: Checkpoint, graph: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    filled = {}
    for name, tensor in graph_inputs(checkpoint.model.config, CHUNK)[graph].items():
        if name.endswith("valid") or name == "weights":
            filled[name] = (torch.rand(tensor.shape, generator=generator) > 0.3).float()
        else:
            filled[name] = torch.randn(tensor.shape, generator=generator) * 0.3
    return filled


@torch.no_grad()
def _both(
    checkpoint: Checkpoint, export: Export, graph: str, recipe: str
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Every output of eager torch, and of the engine."""
    inputs = _inputs(checkpoint, graph)
    eager = graph_modules(checkpoint.model, CHUNK)[graph](*inputs.values())
    eager = eager if isinstance(eager, tuple) else (eager,)
    path, spec = export(graph, recipe)
    engine = ExecutorchEngine(path, spec, threads=1)
    outputs = engine.run({name: tensor.numpy() for name, tensor in inputs.items()})
    engine.close()
    names = graph_outputs(checkpoint.model.config)[graph]
    return {name: (value.numpy(), outputs[name]) for name, value in zip(names, eager, strict=True)}


@pytest.mark.parametrize("graph", GRAPHS)
def test_float32_is_eager_torch(small_checkpoint: Checkpoint, export: Export, graph: str) -> None:
    for expected, output in _both(small_checkpoint, export, graph, "float32").values():
        np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("graph", ["encoder", "speaker", "asr"])
def test_dynamic_integers_are_near(
    small_checkpoint: Checkpoint, export: Export, graph: str
) -> None:
    for name, (expected, output) in _both(small_checkpoint, export, graph, "dynamic_w8").items():
        assert sqnr_db(expected, output) > 30.0, name


def _stream(checkpoint: Checkpoint, export: Export, recipe: str, pcm: np.ndarray) -> np.ndarray:
    """The latents of a recording, chunk by chunk, the states carried."""
    streams = {}
    for graph, of in (("frontend", "float32"), ("encoder", recipe)):
        path, spec = export(graph, of)
        streams[graph] = GraphStream(ExecutorchEngine(path, spec, threads=2), spec)
    size = CHUNK * checkpoint.model.config.step_samples
    chunks = np.pad(pcm, (0, -len(pcm) % size)).reshape(-1, 1, size)
    features = (streams["frontend"].run(pcm=chunk)["features"] for chunk in chunks)
    latents = [streams["encoder"].run(features=each)["latents"][0] for each in features]
    return np.concatenate(latents)


@pytest.mark.parametrize(
    ("recipe", "min_db"), [("float32", 90.0), ("dynamic_w8", 30.0), ("static_w8a8", 15.0)]
)
def test_streams_as_eager_torch_does(
    small_checkpoint: Checkpoint, export: Export, noise: np.ndarray, recipe: str, min_db: float
) -> None:
    eager = calibrate.stream(small_checkpoint.model, noise, CHUNK)["latents"][0].numpy()

    assert sqnr_db(eager, _stream(small_checkpoint, export, recipe, noise)) > min_db


def test_static_integers_use_the_calibration(small_checkpoint: Checkpoint, export: Export) -> None:
    """Ranges that are a tenth of what they are saturate: so it is they that count."""
    calibration = small_checkpoint.calibration
    assert calibration is not None
    tenth = {name: (low / 10, high / 10) for name, (low, high) in calibration.ranges.items()}
    narrow = replace(small_checkpoint, calibration=replace(calibration, ranges=tenth))
    path = export("asr", "static_w8a8")[0].with_name("narrow.pte")
    spec = _write(narrow, "asr", "static_w8a8", path)

    whole = _both(small_checkpoint, export, "asr", "static_w8a8")["logprobs"]
    tight = _both(small_checkpoint, lambda *_: (path, spec), "asr", "static_w8a8")["logprobs"]

    assert sqnr_db(*whole) > sqnr_db(*tight) + 3.0


@pytest.mark.parametrize(
    ("graph", "recipe"),
    [*((graph, "float32") for graph in GRAPHS), ("encoder", "dynamic_w8"), ("asr", "static_w8a8")],
)
def test_hardly_anything_is_outside_xnnpack(export: Export, graph: str, recipe: str) -> None:
    pieces, outside = left_over(export(graph, recipe)[0])

    assert [name for name, _ in outside] == OUTSIDE.get(graph, [])
    assert pieces == (2 if graph == "speaker" else 1)


def test_weights_are_stored_once_as_integers(small_checkpoint: Checkpoint, export: Export) -> None:
    sizes = {r: export("encoder", r)[0].stat().st_size for r in ("float32", "dynamic_w8")}
    weights = sum(
        block.get_submodule(name).weight.numel()
        for block in small_checkpoint.model.encoder.blocks
        for name in ("qkv_gate", "proj", "fc1", "fc2")
    )

    assert sizes["float32"] - sizes["dynamic_w8"] > 2.7 * weights  # 3 bytes each, less the scales


def test_same_input_same_bytes(small_checkpoint: Checkpoint, export: Export) -> None:
    """In another process too, whose sets have another order."""
    path, _ = export("asr", "dynamic_w8")
    folder = path.parent
    save_checkpoint(
        folder / "small.safetensors", small_checkpoint.model, 7, small_checkpoint.calibration
    )
    root = Path(echo_edge.__file__).parents[1]
    script = f"""
import sys
from pathlib import Path
sys.path[:0] = {[str(root), str(root / "export"), str(Path(__file__).parent)]!r}
from test_to_executorch import _write
from echo_edge_export.checkpoint import load_checkpoint
checkpoint = load_checkpoint(Path({str(folder / "small.safetensors")!r}))
_write(checkpoint, "asr", "dynamic_w8", Path({str(folder / "again.pte")!r}))
"""
    environment = {"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (folder / "again.pte").read_bytes() == path.read_bytes()


def test_a_static_recipe_needs_a_calibration(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    bare = replace(small_checkpoint, calibration=None)

    with pytest.raises(EchoError, match="static_w8a8 needs a calibration"):
        _write(bare, "asr", "static_w8a8", tmp_path / "x.pte")


@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 5, 4), (1, 2, 3, 2)])
@torch.no_grad()
def test_rules_change_no_arithmetic(shape: tuple[int, ...]) -> None:
    """Every rewritten operator on shapes that the model does not have."""

    class Everything(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(shape[-1])
            self.matrix = nn.Parameter(torch.randn(shape[-1], 6))

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            first, *_, last = x.chunk(3, dim=-1)
            stacked = torch.stack([self.norm(x), x * x], dim=1)
            return (
                x @ self.matrix,
                stacked @ stacked.transpose(-1, -2),
                stacked.softmax(1),
                stacked.sum(-1),
                stacked.sum(-1, keepdim=True),
                stacked.sum(0),
                x[-1],
                first * 2.0,
                last * 2.0,
                *(part * 2.0 for part in x.split([1, shape[-1] - 1], dim=-1)),
                x[None] + torch.ones_like(x),
                x.unbind(1)[-1],
            )

    torch.manual_seed(0)
    module, x = Everything().eval(), torch.randn(shape)
    job = GraphJob("frontend", module, {"x": x}, ())
    program = rewritten(job, RECIPES["float32"], None)

    for found, expected in zip(program.module()(x), module(x), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
