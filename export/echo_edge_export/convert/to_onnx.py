"""One fixed-shape torch module to one ONNX file: exported once by torch, lowered operator by
operator, its linears quantized by the recipe. Same input, same bytes.

Quantized linears use ONNX Runtime's fused integer product (`MatMulIntegerToFloat`): unsigned
activations, signed weights with one scale per output channel.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import checker, helper, save
from torch import Tensor, nn

from echo_edge.bundle.manifest import GraphSpec
from echo_edge.errors import EchoError
from echo_edge_export.convert.onnx_ops import ATEN_TO_ONNX, FLOAT, GraphBuilder
from echo_edge_export.quantize.calibrate import Calibration
from echo_edge_export.quantize.recipes import Recipe
from echo_edge_export.quantize.weights import (
    describe,
    is_quantized,
    quantize_weight,
    stored_tensors,
)

OPSET = 20
IR_VERSION = 10
MICROSOFT = "com.microsoft"


class Lowering:
    """Walks one exported program and fills a `GraphBuilder`."""

    def __init__(self, graph_name: str, recipe: Recipe, calibration: Calibration | None) -> None:
        self.graph_name = graph_name
        self.recipe = recipe
        self.calibration = calibration
        self.builder = GraphBuilder()
        self.names: dict[Any, Any] = {}

    def bind(self, program: Any, inputs: list[str]) -> None:
        """Name user inputs, and make initializers of everything else on first use."""
        stored = stored_tensors(program, self.graph_name)
        user_inputs = iter(inputs)
        for node in program.graph.nodes:
            if node.op == "placeholder":
                self.names[node] = stored.get(node.name) or next(user_inputs)

    def value(self, argument: Any) -> Any:
        """An argument of a torch node as the emit functions take it."""
        if isinstance(argument, torch.fx.Node):
            bound = self.names[argument]
            if isinstance(bound, tuple) and isinstance(bound[1], np.ndarray):
                return self.builder.constant(bound[1], bound[0])
            return bound
        if isinstance(argument, list | tuple):
            return [self.value(item) for item in argument]
        return argument

    def lower(self, node: torch.fx.Node) -> None:
        """Emit the ONNX nodes of one torch node."""
        target = str(node.target).removeprefix("aten.")
        if "getitem" in target:
            self.names[node] = self.names[node.args[0]][node.args[1]]
        elif target in ("split.Tensor", "split_with_sizes.default", "split.sizes", "chunk.default"):
            self.names[node] = self.split(node)
        elif target == "unbind.int":
            self.names[node] = self.unbind(node)
        elif target == "linear.default":
            self.names[node] = self.linear(node)
        elif target == "_assert_tensor_metadata.default":
            return
        elif target in ATEN_TO_ONNX:
            shape = tuple(int(n) for n in node.meta["val"].shape)
            arguments = [self.value(a) for a in node.args]
            keywords = {k: self.value(v) for k, v in node.kwargs.items() if k in ("value",)}
            emit = ATEN_TO_ONNX[target]
            self.names[node] = emit(self.builder, node.name, shape, *arguments, *keywords.values())
        else:
            raise EchoError(f"{self.graph_name}: operator {target} has no ONNX lowering yet")

    def split(self, node: torch.fx.Node) -> list[str]:
        """`split` and `chunk`: one output per part."""
        parts = node.meta["val"]
        dim: Any = node.args[2] if len(node.args) > 2 else node.kwargs.get("dim", 0)
        axis = int(dim) % parts[0].ndim
        sizes = self.builder.ints(*(int(p.shape[axis]) for p in parts))
        outputs = [f"{node.name}_{i}" for i in range(len(parts))]
        return self.builder.multi("Split", [self.value(node.args[0]), sizes], outputs, axis=axis)

    def unbind(self, node: torch.fx.Node) -> list[str]:
        """One `Gather` per row."""
        source, axis = self.value(node.args[0]), node.args[1] if len(node.args) > 1 else 0
        return [
            self.builder.node(
                "Gather",
                [source, self.builder.constant(np.array(i, dtype=np.int64))],
                f"{node.name}_{i}",
                axis=axis,
            )
            for i in range(len(node.meta["val"]))
        ]

    def linear(self, node: torch.fx.Node) -> str:
        """A linear: integers where the recipe says so, else MatMul and Add."""
        x = self.value(node.args[0])
        name, weight = self.names[node.args[1]]
        name = name.removesuffix(".weight")
        quantized = is_quantized(self.graph_name, name, self.recipe)
        g = self.builder
        if len(node.args) < 3:  # without a bias, as only small float linears are
            if quantized:
                raise EchoError(f"{name}: found no bias, expected one to quantize it")
            kernel = g.constant(np.ascontiguousarray(weight.T), f"{name}.kernel")
            return g.node("MatMul", [x, kernel], node.name)
        bias_name, bias = self.names[node.args[2]]
        bias_name = g.constant(bias, bias_name)
        if not quantized:
            kernel = g.constant(np.ascontiguousarray(weight.T), f"{name}.kernel")
            return g.node(
                "Add", [g.node("MatMul", [x, kernel], f"{node.name}_mm"), bias_name], node.name
            )
        integers, scale = quantize_weight(weight, self.recipe.weight_bits)
        kernel = g.constant(np.ascontiguousarray(integers.T), f"{name}.kernel")
        scales = g.constant(scale, f"{name}.scales")
        if self.recipe.activations == "dynamic":
            inputs = [x, kernel, scales, "", bias_name]
            return g.node("DynamicQuantizeMatMul", inputs, node.name, MICROSOFT)
        if self.calibration is None:
            raise EchoError(f"recipe {self.recipe.name} needs a calibration, found none")
        x_scale, x_zero = self.calibration.quantization(name)
        scale_name = g.scalar(x_scale)
        zero_name = g.constant(np.array(x_zero, dtype=np.uint8))
        quantized_x = g.node("QuantizeLinear", [x, scale_name, zero_name], f"{node.name}_q")
        inputs = [quantized_x, kernel, scale_name, scales, zero_name, "", bias_name]
        return g.node("MatMulIntegerToFloat", inputs, node.name, MICROSOFT)


def to_onnx(
    module: nn.Module,
    graph_name: str,
    inputs: Mapping[str, Tensor],
    outputs: tuple[str, ...],
    recipe: Recipe,
    calibration: Calibration | None,
    path: Path,
) -> GraphSpec:
    """Write `module` to `path` and describe it for the manifest.

    `inputs` are example tensors by input name; shapes are fixed to theirs.
    """
    with torch.no_grad():
        program = torch.export.export(module, tuple(inputs.values()), strict=False)
    lowering = Lowering(graph_name, recipe, calibration)
    lowering.bind(program, list(inputs))
    results: list[str] = []
    shapes: list[tuple[int, ...]] = []
    for node in program.graph.nodes:
        if node.op == "call_function":
            lowering.lower(node)
        elif node.op == "output":
            results = [lowering.value(value) for value in node.args[0]]
            shapes = [tuple(int(n) for n in value.meta["val"].shape) for value in node.args[0]]
    builder = lowering.builder
    for result, output in zip(results, outputs, strict=True):
        builder.node("Identity", [result], output)
    graph = helper.make_graph(
        builder.nodes,
        graph_name,
        [helper.make_tensor_value_info(k, FLOAT, v.shape) for k, v in inputs.items()],
        [helper.make_tensor_value_info(k, FLOAT, s) for k, s in zip(outputs, shapes, strict=True)],
        list(builder.initializers.values()),
    )
    domains = sorted({node.domain for node in builder.nodes} | {""})
    opsets = [helper.make_opsetid(d, 1 if d else OPSET) for d in domains]
    model = helper.make_model(
        graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="echo-edge"
    )
    checker.check_model(model)
    save(model, path)
    return describe(path, inputs, outputs, shapes)
