import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from torch import Tensor, nn

from echo_edge.bundle.manifest import GraphSpec
from echo_edge.engines.stateful import GraphStream
from echo_edge.engines.tflite import open_graph
from echo_edge.errors import EchoError
from echo_edge.selftest import sqnr_db
from echo_edge_export.checkpoint import Checkpoint
from echo_edge_export.convert.to_tflite import to_tflite
from echo_edge_export.model.streaming import (
    GraphJob,
    graph_inputs,
    graph_jobs,
    graph_modules,
    graph_outputs,
)
from echo_edge_export.quantize.calibrate import Calibration, stream
from echo_edge_export.quantize.recipes import FLOAT_LINEARS, RECIPES
from echo_edge_export.quantize.weights import quantize_weight

GRAPHS = ("frontend", "encoder", "diarization", "speaker", "asr", "separation")
CHUNK = 4
RUNNING_SUM = Path(__file__).parents[1] / "fixtures" / "tflite" / "running_sum.tflite"

Array = NDArray[np.float32]


def export(checkpoint: Checkpoint, graph: str, recipe: str, path: Path) -> GraphSpec:
    job = graph_jobs(checkpoint.model, CHUNK)[graph]
    return to_tflite(job, RECIPES[recipe], checkpoint.calibration, path)


Exported = Callable[[str, str], tuple[Path, GraphSpec]]


@pytest.fixture(scope="module")
def exported(small_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The file and the description of a graph by recipe, each made once."""
    folder = tmp_path_factory.mktemp("tflite")

    @cache
    def made(graph: str, recipe: str) -> tuple[Path, GraphSpec]:
        path = folder / f"{graph}.{recipe}.tflite"
        return path, export(small_checkpoint, graph, recipe, path)

    return made


def random_inputs(checkpoint: Checkpoint, graph: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    filled = {}
    for name, tensor in graph_inputs(checkpoint.model.config, CHUNK)[graph].items():
        noise = torch.randn(tensor.shape, generator=generator)
        binary = name.endswith("valid") or name == "weights"
        filled[name] = (noise > -0.5).float() if binary else noise * 0.3
    return filled


def eager(checkpoint: Checkpoint, graph: str, inputs: dict[str, Tensor]) -> dict[str, Array]:
    with torch.no_grad():
        outputs = graph_modules(checkpoint.model, CHUNK)[graph](*inputs.values())
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    names = graph_outputs(checkpoint.model.config)[graph]
    return {name: tensor.numpy() for name, tensor in zip(names, outputs, strict=True)}


def run(path: Path, spec: GraphSpec, inputs: dict[str, Tensor]) -> dict[str, Array]:
    engine = open_graph(path, spec, threads=1)
    outputs = engine.run({name: tensor.numpy() for name, tensor in inputs.items()})
    engine.close()
    return outputs


class File:
    """What a .tflite file holds."""

    def __init__(self, path: Path) -> None:
        self.model: Any = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
        self.graph = self.model.subgraphs[0]

    def operators(self) -> Iterator[tuple[str, int, Any]]:
        """Name, version and operator."""
        names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
        for operator in self.graph.operators:
            code = self.model.operatorCodes[operator.opcodeIndex]
            yield names[code.builtinCode], code.version, operator

    def dense(self) -> Iterator[tuple[int, list[Any]]]:
        """Version and input tensors of all fully connected layers."""
        for name, version, operator in self.operators():
            if name == "FULLY_CONNECTED":
                yield version, [self.graph.tensors[i] for i in operator.inputs]

    def data(self, tensor: Any, dtype: type) -> NDArray[Any]:
        return self.model.buffers[tensor.buffer].data.view(dtype).reshape(tensor.shape)


@pytest.mark.parametrize("graph", GRAPHS)
def test_float32_is_eager_torch(
    small_checkpoint: Checkpoint, graph: str, exported: Exported
) -> None:
    path, spec = exported(graph, "float32")
    inputs = random_inputs(small_checkpoint, graph)

    outputs = run(path, spec, inputs)

    for name, expected in eager(small_checkpoint, graph, inputs).items():
        np.testing.assert_allclose(outputs[name], expected, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    ("recipe", "min_db"),
    [("float32", 100.0), ("dynamic_w8", 35.0), ("static_w8a8", 25.0), ("static_w7a8", 25.0)],
)
def test_streamed_latents_are_eager_ones(
    small_checkpoint: Checkpoint, noise: Array, recipe: str, min_db: float, exported: Exported
) -> None:
    expected = stream(small_checkpoint.model, noise, CHUNK)
    path, spec = exported("encoder", recipe)
    encoder = GraphStream(open_graph(path, spec, 1), spec)
    chunks = expected["features"].split(4 * CHUNK, dim=1)

    outputs = [encoder.run(features=chunk.numpy()) for chunk in chunks]

    assert len(chunks) > 20  # the caches were full long before the end
    for name in ("latents", "latents_asr", "latents_diarization"):
        found = np.concatenate([output[name] for output in outputs], axis=1)
        assert sqnr_db(expected[name].numpy(), found) > min_db, name


@pytest.mark.parametrize("recipe", ["dynamic_w8", "static_w8a8"])
@pytest.mark.parametrize("graph", ["diarization", "speaker", "asr", "separation"])
def test_integer_heads_are_near(
    small_checkpoint: Checkpoint, graph: str, recipe: str, exported: Exported
) -> None:
    path, spec = exported(graph, recipe)
    inputs = random_inputs(small_checkpoint, graph)

    outputs = run(path, spec, inputs)

    for name, expected in eager(small_checkpoint, graph, inputs).items():
        assert sqnr_db(expected, outputs[name]) > 20.0, name


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("graph", ["encoder", "asr"])
def test_same_input_same_bytes(
    small_checkpoint: Checkpoint, exported: Exported, graph: str, recipe: str, tmp_path: Path
) -> None:
    export(small_checkpoint, graph, recipe, tmp_path / "again.tflite")

    assert (tmp_path / "again.tflite").read_bytes() == exported(graph, recipe)[0].read_bytes()


ANSWER = """
import hashlib, sys
import numpy as np
from pathlib import Path
from echo_edge.engines.tflite import open_graph
from echo_edge.engines.stateful import GraphStream
from echo_edge.bundle.manifest import GraphSpec, TensorSpec

def answer(path, spec, threads):
    random, hash = np.random.default_rng(3), hashlib.sha256()
    stream = GraphStream(open_graph(path, spec, threads), spec)
    for _ in range(12):
        features = random.standard_normal(spec.inputs[0].shape).astype(np.float32)
        for value in stream.run(features=features).values():
            hash.update(value.tobytes())
    return hash.hexdigest()
"""


@pytest.mark.parametrize("recipe", ["float32", "dynamic_w8", "static_w8a8"])
def test_same_input_same_answer_in_any_process_with_any_threads(
    recipe: str, exported: Exported
) -> None:
    path, spec = exported("encoder", recipe)
    there = f"{ANSWER}\nprint(answer(Path({str(path)!r}), {spec!r}, int(sys.argv[1])))"

    answers = {
        subprocess.run(
            [sys.executable, "-c", there, threads], check=True, capture_output=True, text=True
        ).stdout
        for threads in ("1", "1", "2")
    }
    assert len(answers) == 1


class RunningSum(nn.Module):
    def forward(self, samples: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
        """Twice the samples, and the state plus the samples."""
        return samples * 2.0, total + samples


def export_running_sum(path: Path) -> None:
    """The fixture of tests/runtime/test_tflite.py."""
    inputs = {"samples": torch.zeros(1, 4), "total": torch.zeros(1, 4)}
    outputs = ("doubled", "total_next")
    job = GraphJob("asr", RunningSum(), inputs, outputs)
    to_tflite(job, RECIPES["float32"], None, path)


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "graph.tflite"
    program = "import sys; from test_to_tflite import *; export_running_sum(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", program, path], check=True, cwd=Path(__file__).parent)

    assert path.read_bytes() == RUNNING_SUM.read_bytes()


@pytest.mark.parametrize(("recipe", "version"), [("dynamic_w8", 12), ("static_w8a8", 5)])
def test_weights_and_scales_are_ours(
    small_checkpoint: Checkpoint, recipe: str, version: int, exported: Exported
) -> None:
    path, _ = exported("encoder", recipe)
    file = File(path)
    stored = {
        tuple(t.shape): (file.data(t, np.int8), t.quantization.scale)
        for found, (_, t, _) in file.dense()
        if found == version and t.type == schema.TensorType.INT8
    }
    named = dict(small_checkpoint.model.named_modules())
    block = "encoder.blocks.1."  # the last of its shape

    for linear in ("qkv_gate", "proj", "fc1", "fc2"):
        weight = named[block + linear].weight.detach().numpy()
        integers, scales = quantize_weight(weight, 8)
        np.testing.assert_array_equal(stored[weight.shape][0], integers)
        np.testing.assert_array_equal(stored[weight.shape][1], scales)


def test_activations_have_the_ranges_of_the_calibration(
    small_checkpoint: Checkpoint, exported: Exported
) -> None:
    path, _ = exported("encoder", "static_w8a8")
    calibration = small_checkpoint.calibration
    assert calibration is not None
    given = {
        (float(x.quantization.scale[0]), int(x.quantization.zeroPoint[0]) + 128)
        for _, (x, _, _) in File(path).dense()
        if x.quantization is not None and x.quantization.scale is not None
    }

    names = [n for n in calibration.ranges if n.startswith("encoder.") and n not in FLOAT_LINEARS]
    assert given == {calibration.quantization(name) for name in names}


def test_nothing_is_float_between_a_linear_its_relu_and_the_next(
    small_checkpoint: Checkpoint, exported: Exported
) -> None:
    path, _ = exported("encoder", "static_w8a8")
    counts = Counter(name for name, _, _ in File(path).operators())

    n_layers = small_checkpoint.model.config.n_layers
    assert counts["QUANTIZE"] == counts["DEQUANTIZE"] == 3 * n_layers  # all but fc1 to fc2
    assert counts["RELU"] == 0


@pytest.mark.parametrize("recipe", ["float32", "dynamic_w8", "static_w8a8"])
@pytest.mark.parametrize("graph", GRAPHS)
def test_all_operators_run_in_one_piece(graph: str, recipe: str, exported: Exported) -> None:
    """In XNNPACK. What it does not know splits a graph, and every border is copies."""
    path, _ = exported(graph, recipe)
    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    operators = interpreter._get_ops_details()
    pieces = [op for op in operators if op["op_name"] == "DELEGATE"]
    last = [op["op_name"] for op in operators if op["op_name"] == "LOG_SOFTMAX"]

    assert len(pieces) == 1
    done = set(pieces[0]["outputs"].tolist())
    results = {detail["index"] for detail in interpreter.get_output_details()}
    assert len(results - done) == len(last)


def test_signature_has_our_names(exported: Exported) -> None:
    path, spec = exported("separation", "float32")
    signature = Interpreter(str(path)).get_signature_list()

    assert list(signature) == ["separation"]
    assert set(signature["separation"]["inputs"]) == {t.name for t in spec.inputs}
    assert set(signature["separation"]["outputs"]) == {t.name for t in spec.outputs}
    assert spec.state == {
        f"slot_{n}": f"slot_{n}_next" for n in ("key_cache", "value_cache", "valid")
    }


def test_weights_are_aligned(exported: Exported) -> None:
    path, _ = exported("asr", "dynamic_w8")
    file = np.fromfile(path, np.uint8)
    buffers = schema.ModelT.InitFromPackedBuf(file, 0).buffers

    places = [b.data.ctypes.data - file.ctypes.data for b in buffers if b.data is not None]
    assert len(places) > 10
    assert {place % 16 for place in places} == {0}


def test_int8_encoders_are_much_smaller(exported: Exported) -> None:
    sizes = [exported("encoder", r)[0].stat().st_size for r in ("float32", "dynamic_w8")]

    assert sizes[1] < 0.6 * sizes[0]  # biases and tables weigh more when small


class Unknown(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (torch.cos(x),)


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 4, 3, groups=2)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.conv(x),)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        pytest.param(Unknown(), r"asr: operator cos\.default has no TFLite lowering", id="cos"),
        pytest.param(Grouped(), "conv1d: found 2 groups, .* have a TFLite lowering", id="groups"),
    ],
)
def test_what_cannot_be_lowered_is_named(module: nn.Module, message: str, tmp_path: Path) -> None:
    inputs = {"x": torch.zeros(1, 4, 8)}
    path = tmp_path / "x.tflite"

    with pytest.raises(EchoError, match=message):
        to_tflite(GraphJob("asr", module, inputs, ("y",)), RECIPES["float32"], None, path)
    assert not path.exists()


def test_a_static_recipe_needs_a_calibration(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    bare = replace(small_checkpoint, calibration=None)
    with pytest.raises(EchoError, match="static_w8a8 needs a calibration"):
        export(bare, "asr", "static_w8a8", tmp_path / "x.tflite")


def test_a_static_recipe_needs_output_ranges(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    assert small_checkpoint.calibration is not None
    old = replace(small_checkpoint, calibration=Calibration(small_checkpoint.calibration.ranges))
    with pytest.raises(EchoError, match=r"^asr\.hidden: the calibration holds no output range"):
        export(old, "asr", "static_w8a8", tmp_path / "x.tflite")
