"""One fixed-shape torch module to one TFLite file: exported once by torch, lowered operator by
operator, its linears quantized by the recipe. Same input, same bytes.

Linears in integers: signed per-channel weights, and activations that are quantized in each call
(`dynamic`: one range per row, float results) or by the calibration (`static`: integer results,
since the engine knows no other; from `fc1` through its ReLU to `fc2` nothing is float).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from torch import nn

from echo_edge.bundle.manifest import GraphSpec
from echo_edge.errors import EchoError
from echo_edge_export.convert.tflite_graph import GraphBuilder, Quantization, Value, write_graph
from echo_edge_export.convert.tflite_ops import ATEN_TO_TFLITE, Tensor, cut, dense, plain, reshaped
from echo_edge_export.quantize.calibrate import Calibration
from echo_edge_export.quantize.recipes import Recipe
from echo_edge_export.quantize.weights import (
    describe,
    is_quantized,
    quantize_weight,
    stored_tensors,
)

PER_CHANNEL_DYNAMIC = 12
"""Version of FULLY_CONNECTED that says so. Engines of before then read such weights as if they had
one scale and answer nonsense; told the version, they refuse the file."""

Bound = Tensor | list[Any]


class Lowering:
    """Walks one exported program and fills a `GraphBuilder`."""

    def __init__(self, graph_name: str, recipe: Recipe, calibration: Calibration | None) -> None:
        self.graph_name = graph_name
        self.recipe = recipe
        self.calibration = calibration
        self.builder = GraphBuilder()
        self.values: dict[torch.fx.Node, Bound] = {}
        self.names: dict[torch.fx.Node, str] = {}

    def bind(self, program: Any, inputs: Mapping[str, torch.Tensor]) -> dict[str, Value]:
        """Values for the program's inputs, by name, and for all it has stored."""
        stored = stored_tensors(program, self.graph_name)
        given = {name: Value(tuple(tensor.shape)) for name, tensor in inputs.items()}
        user_inputs = iter(given.values())
        for node in program.graph.nodes:
            if node.op != "placeholder":
                continue
            if node.name in stored:
                self.names[node], data = stored[node.name]
                self.values[node] = self.builder.constant(data)
            else:
                self.values[node] = next(user_inputs)
        return given

    def value(self, argument: Any) -> Any:
        """An argument of a torch node as the emit functions take it."""
        if isinstance(argument, torch.fx.Node):
            return self.values[argument]
        if isinstance(argument, list | tuple):
            return [self.value(item) for item in argument]
        return argument

    def lower(self, node: torch.fx.Node) -> None:
        """Emit the operators of one torch node."""
        target = str(node.target).removeprefix("aten.")
        if "getitem" in target:
            self.values[node] = self.value(node.args[0])[node.args[1]]
        elif target == "_assert_tensor_metadata.default":
            return
        elif (folded := self.fold(node)) is not None:
            self.values[node] = self.builder.constant(folded.numpy())
        elif target in ("split_with_sizes.default", "split.Tensor", "chunk.default"):
            self.values[node] = self.split(node)
        elif target == "unbind.int":
            self.values[node] = self.unbind(node)
        elif target == "linear.default":
            self.values[node] = self.linear(node)
        elif target in ATEN_TO_TFLITE:
            emit, arguments = ATEN_TO_TFLITE[target], [self.value(a) for a in node.args]
            self.values[node] = emit(self.builder, _shape(node), *arguments)
        else:
            raise EchoError(f"{self.graph_name}: operator {target} has no TFLite lowering yet")

    def fold(self, node: torch.fx.Node) -> torch.Tensor | None:
        """The result of a node that depends on no input; None if it does or has several."""
        if any(self.data(n) is None for n in node.all_input_nodes):
            return None
        constants = torch.fx.node.map_arg((node.args, node.kwargs), self.data)
        assert callable(node.target)  # noqa: S101  not a placeholder
        result = node.target(*constants[0], **constants[1])
        return result if isinstance(result, torch.Tensor) else None

    def data(self, node: torch.fx.Node) -> torch.Tensor | None:
        """What a node holds if that is constant."""
        value = self.values[node]
        if not isinstance(value, Value) or value.data is None:
            return None
        return torch.from_numpy(value.data.copy())

    def split(self, node: torch.fx.Node) -> list[Tensor]:
        """One slice per part."""
        x, parts = self.value(node.args[0]), node.meta["val"]
        dim: Any = node.args[2] if len(node.args) > 2 else node.kwargs.get("dim", 0)
        axis = int(dim) % parts[0].ndim
        stops = np.cumsum([int(part.shape[axis]) for part in parts]).tolist()
        starts = [0, *stops[:-1]]
        return [cut(self.builder, x, axis, *span) for span in zip(starts, stops, strict=True)]

    def unbind(self, node: torch.fx.Node) -> list[Tensor]:
        """One slice per row, without the axis."""
        x, parts = self.value(node.args[0]), node.meta["val"]
        dim: Any = node.args[1] if len(node.args) > 1 else 0
        axis = int(dim) % len(x.shape)
        rows = [cut(self.builder, x, axis, i, i + 1) for i in range(len(parts))]
        return [reshaped(self.builder, r, p.shape) for r, p in zip(rows, parts, strict=True)]

    def linear(self, node: torch.fx.Node) -> Value:
        """A linear: integers where the recipe says so."""
        g, x = self.builder, plain(self.builder, self.value(node.args[0]))
        kept: Any = node.args[1]
        weight, name = self.value(kept), self.names[kept].removesuffix(".weight")
        if len(node.args) > 2:
            bias = self.value(node.args[2])
        else:
            bias = g.constant(np.zeros(weight.shape[0], np.float32))
        if not is_quantized(self.graph_name, name, self.recipe):
            return dense(g, x, weight, bias, _shape(node))
        integers, scales = quantize_weight(weight.data, self.recipe.weight_bits)
        kernel = g.constant(integers, Quantization(tuple(scales.tolist())))
        if self.recipe.activations == "dynamic":
            return dense(g, x, kernel, bias, _shape(node), PER_CHANNEL_DYNAMIC)
        return self.integer_linear(node, name, x, kernel, bias)

    def integer_linear(
        self, node: torch.fx.Node, name: str, x: Value, kernel: Value, bias: Value
    ) -> Value:
        """A linear whose input and output are integers, and its output as floats."""
        if self.calibration is None:
            raise EchoError(f"recipe {self.recipe.name} needs a calibration, found none")
        g, shape = self.builder, _shape(node)
        given = _signed(*self.calibration.quantization(name))
        result = _signed(*self.output_quantization(node, name))
        assert kernel.quantization is not None  # noqa: S101  made so
        assert bias.data is not None  # noqa: S101  a parameter
        scales = np.float32(given.scale[0]) * np.array(kernel.quantization.scale, np.float32)
        offsets = np.rint(bias.data / scales).astype(np.int32)
        offset = g.constant(offsets, Quantization(tuple(scales.tolist())))
        options = schema.FullyConnectedOptionsT(keepNumDims=len(shape) > 2)
        version = 5 if options.keepNumDims else 4
        inputs = [g.quantize(x, given), kernel, offset]
        integers = g.op("FULLY_CONNECTED", inputs, shape, options, version, result)
        floats = g.dequantize(integers)
        for user in _only_relu(node):
            self.values[user] = floats  # its range begins at zero: that is the ReLU
        return floats

    def output_quantization(self, node: torch.fx.Node, name: str) -> tuple[float, int]:
        """Of the linear's result; through a ReLU, what the linear behind it takes."""
        assert self.calibration is not None  # noqa: S101  asked before
        relu = _only_relu(node)
        followers = {self.linear_name(user) for user in relu[0].users} if relu else set()
        if len(followers) == 1 and (follower := followers.pop()) is not None:
            return self.calibration.quantization(follower)
        return self.calibration.output_quantization(name, relu=bool(relu))

    def linear_name(self, node: torch.fx.Node) -> str | None:
        """The name of a quantized linear in the whole model; None for any other node."""
        if "linear.default" not in str(node.target) or not isinstance(
            weight := node.args[1], torch.fx.Node
        ):
            return None
        name = self.names[weight].removesuffix(".weight")
        return name if is_quantized(self.graph_name, name, self.recipe) else None


def _shape(node: torch.fx.Node) -> tuple[int, ...]:
    return tuple(int(n) for n in node.meta["val"].shape)


def _signed(scale: float, zero: int) -> Quantization:
    """The same steps, counted from -128 instead of 0: the engine's integers are signed."""
    return Quantization((scale,), zero - 128)


def _only_relu(node: torch.fx.Node) -> list[torch.fx.Node]:
    """The ReLU that alone uses a node, if there is one."""
    users = list(node.users)
    return users if len(users) == 1 and "relu.default" in str(users[0].target) else []


def to_tflite(
    module: nn.Module,
    graph_name: str,
    inputs: Mapping[str, torch.Tensor],
    outputs: tuple[str, ...],
    recipe: Recipe,
    calibration: Calibration | None,
    path: Path,
) -> GraphSpec:
    """Write `module` to `path` and describe it for the manifest.

    `inputs` are example tensors by input name; shapes are fixed to theirs. The file has one
    signature, called `graph_name`, with these inputs and outputs by name.
    """
    with torch.no_grad():
        program = torch.export.export(module, tuple(inputs.values()), strict=False)
    lowering = Lowering(graph_name, recipe, calibration)
    given = lowering.bind(program, inputs)
    results: list[Value] = []
    for node in program.graph.nodes:
        if node.op == "call_function" and node not in lowering.values:
            lowering.lower(node)
        elif node.op == "output":
            results = [plain(lowering.builder, lowering.value(value)) for value in node.args[0]]
    lowering.builder.simplify(results)
    named = dict(zip(outputs, results, strict=True))
    write_graph(path, graph_name, lowering.builder, given, named)
    return describe(path, inputs, outputs, [value.shape for value in results])
