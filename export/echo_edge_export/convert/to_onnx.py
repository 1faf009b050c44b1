"""One fixed-shape torch module to one ONNX file: exported once by torch, lowered operator by
operator, its linears quantized by the recipe. Same input, same bytes.

Quantized linears use ONNX Runtime's fused integer product (`MatMulIntegerToFloat`): unsigned
activations, signed weights with one scale per output channel.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import checker, helper, save
from torch import fx

from echo_edge.bundle.manifest import GraphSpec
from echo_edge_export.convert.aten import Lowering, exported, outputs_of, shape_of
from echo_edge_export.convert.onnx_ops import ATEN_TO_ONNX, FLOAT, GraphBuilder
from echo_edge_export.model.streaming import GraphJob
from echo_edge_export.quantize.calibrate import Calibration
from echo_edge_export.quantize.recipes import Recipe
from echo_edge_export.quantize.weights import quantize_weight

OPSET = 20
IR_VERSION = 10
MICROSOFT = "com.microsoft"


class OnnxLowering(Lowering):
    """Fills a `GraphBuilder`; values are names in the ONNX graph."""

    format_name = "ONNX"
    operators = ATEN_TO_ONNX

    def __init__(self, job: GraphJob, recipe: Recipe, calibration: Calibration | None) -> None:
        super().__init__(job, recipe, calibration)
        self.builder = GraphBuilder()

    def constant(self, name: str, data: NDArray[Any]) -> str:
        """An initializer."""
        return self.builder.constant(data, name)

    def emit(self, node: fx.Node, target: str) -> str:
        """One function of the table; of keywords only `pad`'s value matters."""
        arguments = [self.value(a) for a in node.args]
        keywords = [self.value(v) for k, v in node.kwargs.items() if k == "value"]
        return ATEN_TO_ONNX[target](self.builder, node.name, shape_of(node), *arguments, *keywords)

    def split(self, node: fx.Node, x: str, axis: int, sizes: list[int]) -> list[str]:
        """One `Split`."""
        outputs = [f"{node.name}_{i}" for i in range(len(sizes))]
        return self.builder.multi("Split", [x, self.builder.ints(*sizes)], outputs, axis=axis)

    def unbind(self, node: fx.Node, x: str, dim: int) -> list[str]:
        """One `Gather` per row."""
        g, rows = self.builder, range(len(node.meta["val"]))
        indices = (g.constant(np.array(i, dtype=np.int64)) for i in rows)
        return [
            g.node("Gather", [x, index], f"{node.name}_{i}", axis=dim)
            for i, index in zip(rows, indices, strict=True)
        ]

    def linear(self, node: fx.Node) -> str:
        """MatMul and Add in float, one fused product in integers."""
        g, x = self.builder, self.value(node.args[0])
        name, weight = self.parameter(node.args[1])
        name = name.removesuffix(".weight")
        quantized = self.is_quantized(name)
        bias = self.value(node.args[2]) if len(node.args) > 2 else ""
        if quantized:
            return self._integer_linear(node, name, x, weight, bias)
        kernel = g.constant(np.ascontiguousarray(weight.T), f"{name}.kernel")
        if not bias:
            return g.node("MatMul", [x, kernel], node.name)
        return g.node("Add", [g.node("MatMul", [x, kernel], f"{node.name}_mm"), bias], node.name)

    def _integer_linear(
        self, node: fx.Node, name: str, x: str, weight: NDArray[np.float32], bias: str
    ) -> str:
        g = self.builder
        kernel, scales = self._integers(name, weight)
        if self.recipe.activations == "dynamic":
            inputs = [x, kernel, scales, "", bias]
            return g.node("DynamicQuantizeMatMul", inputs, node.name, MICROSOFT)
        x_scale, x_zero = self.calibration.quantization(name)
        scale_name = g.scalar(x_scale)
        zero_name = g.constant(np.array(x_zero, dtype=np.uint8))
        quantized_x = g.node("QuantizeLinear", [x, scale_name, zero_name], f"{node.name}_q")
        inputs = [quantized_x, kernel, scale_name, scales, zero_name, "", bias]
        return g.node("MatMulIntegerToFloat", inputs, node.name, MICROSOFT)

    def _integers(self, name: str, weight: NDArray[np.float32]) -> tuple[str, str]:
        """Kernel `[in, out]` and scales `[out]` of a linear."""
        g = self.builder
        integers, scale = quantize_weight(weight, self.recipe.weight_bits)
        kernel = g.constant(np.ascontiguousarray(integers.T), f"{name}.kernel")
        return kernel, g.constant(scale, f"{name}.scales")

    def embedding(self, node: fx.Node) -> str:
        """One `Gather`; of a quantized table the columns of its linear's kernel, scaled."""
        g, indices = self.builder, self.value(node.args[1])
        name, table = self.parameter(node.args[0])
        name = name.removesuffix(".weight")
        if not self.is_quantized(name):
            return g.node("Gather", [g.constant(table, f"{name}.rows"), indices], node.name, axis=0)
        kernel, scales = self._integers(name, table)
        columns = g.node("Gather", [kernel, indices], f"{node.name}_q", axis=1)
        order = [*range(1, len(shape_of(node))), 0]
        rows = g.node("Transpose", [columns], f"{node.name}_t", perm=order)
        wide = g.node("Cast", [rows], f"{node.name}_f", to=FLOAT)
        factors = g.node("Gather", [scales, indices], f"{node.name}_s", axis=0)
        factors = g.node("Unsqueeze", [factors, g.ints(-1)], f"{node.name}_u")
        return g.node("Mul", [wide, factors], node.name)


def to_onnx(
    job: GraphJob, recipe: Recipe, calibration: Calibration | None, path: Path
) -> GraphSpec:
    """Write `job` to `path` and describe it for the manifest."""
    program = exported(job)
    shapes = [shape_of(node) for node in outputs_of(program)]
    lowering = OnnxLowering(job, recipe, calibration)
    results = lowering.run(program, job.inputs)
    builder = lowering.builder
    for result, output in zip(results, job.outputs, strict=True):
        builder.node("Identity", [result], output)
    outputs = zip(job.outputs, shapes, strict=True)
    graph = helper.make_graph(
        builder.nodes,
        job.name,
        [helper.make_tensor_value_info(k, FLOAT, v.shape) for k, v in job.inputs.items()],
        [helper.make_tensor_value_info(k, FLOAT, shape) for k, shape in outputs],
        list(builder.initializers.values()),
    )
    domains = sorted({node.domain for node in builder.nodes} | {""})
    opsets = [helper.make_opsetid(d, 1 if d else OPSET) for d in domains]
    model = helper.make_model(
        graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="echo-edge"
    )
    checker.check_model(model)
    save(model, path)
    return job.describe(path, shapes)
