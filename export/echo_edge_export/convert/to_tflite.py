"""One fixed-shape torch module to one TFLite file: exported once by torch, lowered operator by
operator, its linears quantized by the recipe. Same input, same bytes.

Linears in integers: signed per-channel weights, and activations that are quantized in each call
(`dynamic`: one range per row, float results) or by the calibration (`static`: integer results,
since the engine knows no other; from `fc1` through its ReLU to `fc2` nothing is float).
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from torch import fx

from echo_edge.bundle.manifest import GraphSpec
from echo_edge_export.convert.aten import Lowering, exported, shape_of
from echo_edge_export.convert.tflite_graph import GraphBuilder, Quantization, Value, write_graph
from echo_edge_export.convert.tflite_ops import ATEN_TO_TFLITE
from echo_edge_export.convert.tflite_values import (
    Tensor,
    as_type,
    binary,
    cut,
    dense,
    looked_up,
    plain,
    reshaped,
)
from echo_edge_export.model.streaming import GraphJob
from echo_edge_export.quantize.calibrate import Calibration
from echo_edge_export.quantize.recipes import Recipe
from echo_edge_export.quantize.weights import quantize_weight

PER_CHANNEL_DYNAMIC = 12
"""Version of FULLY_CONNECTED that says so. Older engines read such weights as if they had one scale
and answer nonsense; told the version, they refuse the file."""


class TfliteLowering(Lowering):
    """Fills a `GraphBuilder`; values are its tensors, with axes in another order if need be."""

    format_name = "TFLite"
    operators = ATEN_TO_TFLITE

    def __init__(self, job: GraphJob, recipe: Recipe, calibration: Calibration | None) -> None:
        super().__init__(job, recipe, calibration)
        self.builder = GraphBuilder()

    def constant(self, name: str, data: NDArray[Any]) -> Value:  # noqa: ARG002
        """A constant without a name: the writer numbers them."""
        return self.builder.constant(data)

    def emit(self, node: fx.Node, target: str) -> Tensor:
        """One function of the table, which all take no keywords."""
        arguments = [self.value(a) for a in node.args]
        tensor: Tensor = ATEN_TO_TFLITE[target](self.builder, shape_of(node), *arguments)
        return tensor

    def fold(self, node: fx.Node) -> Value | None:
        """Computed by torch: the engine folds nothing. Nodes with several results are not."""
        if any(self._data(n) is None for n in node.all_input_nodes):
            return None
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), self._data)
        assert callable(node.target)  # noqa: S101  not a placeholder
        result = node.target(*args, **kwargs)
        return self.builder.constant(result.numpy()) if isinstance(result, torch.Tensor) else None

    def _data(self, node: fx.Node) -> torch.Tensor | None:
        """A node's numbers if they are constant."""
        value = self.value(node)
        if not isinstance(value, Value) or value.data is None:
            return None
        return torch.from_numpy(value.data.copy())

    def split(self, node: fx.Node, x: Tensor, axis: int, sizes: list[int]) -> list[Tensor]:  # noqa: ARG002
        """One slice per part."""
        stops = np.cumsum(sizes).tolist()
        spans = zip([0, *stops[:-1]], stops, strict=True)
        return [cut(self.builder, x, axis, *span) for span in spans]

    def unbind(self, node: fx.Node, x: Tensor, dim: int) -> list[Tensor]:
        """One slice per row, without the axis."""
        parts, axis = node.meta["val"], dim % len(x.shape)
        rows = [cut(self.builder, x, axis, i, i + 1) for i in range(len(parts))]
        return [reshaped(self.builder, r, p.shape) for r, p in zip(rows, parts, strict=True)]

    def linear(self, node: fx.Node) -> Value:
        """One FULLY_CONNECTED."""
        g, x = self.builder, plain(self.builder, self.value(node.args[0]))
        name, weight = self.parameter(node.args[1])
        name = name.removesuffix(".weight")
        if len(node.args) > 2:
            bias = self.value(node.args[2])
        else:
            bias = g.constant(np.zeros(weight.shape[0], np.float32))
        if not self.is_quantized(name):
            return dense(g, x, self.value(node.args[1]), bias, shape_of(node))
        integers, scales = quantize_weight(weight, self.recipe.weight_bits)
        kernel = g.constant(integers, Quantization(tuple(scales.tolist())))
        if self.recipe.activations == "dynamic":
            return dense(g, x, kernel, bias, shape_of(node), PER_CHANNEL_DYNAMIC)
        return self._integer_linear(node, name, x, kernel, bias)

    def embedding(self, node: fx.Node) -> Value:
        """One GATHER; of a quantized table its integers and their scales."""
        g, shape = self.builder, shape_of(node)
        rows = plain(g, self.value(node.args[1]))
        name, table = self.parameter(node.args[0])
        if not self.is_quantized(name.removesuffix(".weight")):
            return looked_up(g, self.value(node.args[0]), rows, shape)
        integers, scales = quantize_weight(table, self.recipe.weight_bits)
        wide = as_type(g, looked_up(g, g.constant(integers), rows, shape), np.float32)
        factors = looked_up(g, g.constant(scales[:, None]), rows, (*shape[:-1], 1))
        return binary(g, "MUL", shape, wide, factors)

    def _integer_linear(
        self, node: fx.Node, name: str, x: Value, kernel: Value, bias: Value
    ) -> Value:
        """A linear whose input and output are integers, and its output as floats."""
        g, shape = self.builder, shape_of(node)
        given = _signed(*self.calibration.quantization(name))
        result = _signed(*self._output_quantization(node, name))
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

    def _output_quantization(self, node: fx.Node, name: str) -> tuple[float, int]:
        """Scale and zero point of the result; through a ReLU, those of the next linear's input."""
        relu = _only_relu(node)
        followers = {self._linear_name(user) for user in relu[0].users} if relu else set()
        if len(followers) == 1 and (follower := followers.pop()) is not None:
            return self.calibration.quantization(follower)
        return self.calibration.output_quantization(name, relu=bool(relu))

    def _linear_name(self, node: fx.Node) -> str | None:
        """The name of a quantized linear in the whole model; None for any other node."""
        if "linear.default" not in str(node.target) or not isinstance(
            weight := node.args[1], fx.Node
        ):
            return None
        name = self.parameter(weight)[0].removesuffix(".weight")
        return name if self.is_quantized(name) else None


def _signed(scale: float, zero: int) -> Quantization:
    """The same steps, counted from -128 instead of 0: the engine's integers are signed."""
    return Quantization((scale,), zero - 128)


def _only_relu(node: fx.Node) -> list[fx.Node]:
    """The ReLU that alone uses a node, if there is one."""
    users = list(node.users)
    return users if len(users) == 1 and "relu.default" in str(users[0].target) else []


def to_tflite(
    job: GraphJob, recipe: Recipe, calibration: Calibration | None, path: Path
) -> GraphSpec:
    """Write `job` to `path` and describe it for the manifest.

    The file has one signature, called as the graph, with its inputs and outputs by name.
    """
    inputs = {name: Value(tuple(tensor.shape)) for name, tensor in job.inputs.items()}
    lowering = TfliteLowering(job, recipe, calibration)
    builder = lowering.builder
    results = [plain(builder, each) for each in lowering.run(exported(job), inputs.values())]
    builder.simplify(results)
    write_graph(path, job.name, builder, inputs, dict(zip(job.outputs, results, strict=True)))
    return job.describe(path, [value.shape for value in results])
