"""ATen operators to ONNX nodes: one small function each, for fixed shapes only.

The exporters' whole vocabulary. An operator that is missing here is an error with its name, never a
silent approximation. Linears are not here: `to_onnx.py` emits them, because they get quantized.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Emit = Callable[..., str]


class GraphBuilder:
    """Nodes and initializers of one ONNX graph under construction; equal constants are shared."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}
        self.values: dict[str, NDArray[Any]] = {}

    def constant(self, value: NDArray[Any], name: str | None = None) -> str:
        """Name of an initializer that holds `value`."""
        if name is None:
            name = f"c_{value.dtype}_{'x'.join(map(str, value.shape))}_{len(self.initializers)}"
            for known, other in self.values.items():
                if other.dtype == value.dtype and np.array_equal(other, value):
                    return known
            if value.size <= 4096:
                self.values[name] = value
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.array(value, order="C"), name)
        return name

    def node(
        self, op_type: str, inputs: Sequence[str], output: str, domain: str = "", **attributes: Any
    ) -> str:
        """Append a node with one output and return that output's name."""
        return self.multi(op_type, inputs, [output], domain, **attributes)[0]

    def multi(
        self,
        op_type: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        domain: str = "",
        **attributes: Any,
    ) -> list[str]:
        """Append a node with several outputs and return their names."""
        self.nodes.append(
            helper.make_node(
                op_type, list(inputs), list(outputs), name=outputs[0], domain=domain, **attributes
            )
        )
        return list(outputs)

    def ints(self, *values: int) -> str:
        """A constant int64 vector."""
        return self.constant(np.array(values, dtype=np.int64))

    def scalar(self, value: float) -> str:
        """A constant float scalar."""
        return self.constant(np.array(value, dtype=np.float32))


def _unary(op_type: str) -> Emit:
    return lambda g, out, shape, x, *_: g.node(op_type, [x], out)


def _binary(op_type: str) -> Emit:
    def emit(g: GraphBuilder, out: str, shape: Sequence[int], x: Any, y: Any) -> str:
        operands = [v if isinstance(v, str) else g.scalar(v) for v in (x, y)]
        return g.node(op_type, operands, out)

    return emit


def _reshape(g: GraphBuilder, out: str, shape: Sequence[int], x: str, *_: Any) -> str:
    return g.node("Reshape", [x, g.ints(*shape)], out)


def _transpose(g: GraphBuilder, out: str, shape: Sequence[int], x: str, a: int, b: int) -> str:
    order = list(range(len(shape)))
    order[a], order[b] = order[b], order[a]
    return g.node("Transpose", [x], out, perm=order)


def _slice(
    g: GraphBuilder, out: str, shape: Sequence[int], x: str, dim: int, start: int = 0,
    end: int = 2**63 - 1, step: int = 1,
) -> str:  # fmt: skip
    bounds = [g.ints(start), g.ints(end), g.ints(dim), g.ints(step)]
    return g.node("Slice", [x, *bounds], out)


def _select(g: GraphBuilder, out: str, shape: Sequence[int], x: str, dim: int, index: int) -> str:
    return g.node("Gather", [x, g.constant(np.array(index, dtype=np.int64))], out, axis=dim)


def _concat(g: GraphBuilder, out: str, shape: Sequence[int], xs: list[str], dim: int = 0) -> str:
    return g.node("Concat", xs, out, axis=dim) if len(xs) > 1 else g.node("Identity", xs, out)


def _stack(g: GraphBuilder, out: str, shape: Sequence[int], xs: list[str], dim: int = 0) -> str:
    raised = [g.node("Unsqueeze", [x, g.ints(dim)], f"{out}_{i}") for i, x in enumerate(xs)]
    return g.node("Concat", raised, out, axis=dim)


def _expand(g: GraphBuilder, out: str, shape: Sequence[int], x: str, *_: Any) -> str:
    return g.node("Expand", [x, g.ints(*shape)], out)


def _sum(
    g: GraphBuilder, out: str, shape: Sequence[int], x: str, dims: list[int], keepdim: bool = False
) -> str:
    return g.node("ReduceSum", [x, g.ints(*dims)], out, keepdims=int(keepdim))


def _amax(
    g: GraphBuilder, out: str, shape: Sequence[int], x: str, dims: list[int], keepdim: bool = False
) -> str:
    return g.node("ReduceMax", [x, g.ints(*dims)], out, keepdims=int(keepdim))


def _softmax(op_type: str) -> Emit:
    return lambda g, out, shape, x, dim, *_: g.node(op_type, [x], out, axis=dim)


def _pad(g: GraphBuilder, out: str, shape: Sequence[int], x: str, pads: list[int], *_: Any) -> str:
    before, after = pads[::2][::-1], pads[1::2][::-1]
    outer = [0] * (len(shape) - len(before))
    return g.node("Pad", [x, g.ints(*outer, *before, *outer, *after)], out)


def _square(g: GraphBuilder, out: str, shape: Sequence[int], x: str) -> str:
    return g.node("Mul", [x, x], out)


def _clamp(g: GraphBuilder, out: str, shape: Sequence[int], x: str, low: float, *_: Any) -> str:
    return g.node("Max", [x, g.scalar(low)], out)


def _layer_norm(
    g: GraphBuilder, out: str, shape: Sequence[int], x: str, _: list[int], weight: str, bias: str,
    epsilon: float = 1e-5, *__: Any,
) -> str:  # fmt: skip
    return g.node("LayerNormalization", [x, weight, bias], out, axis=-1, epsilon=epsilon)


def _conv1d(
    g: GraphBuilder, out: str, shape: Sequence[int], x: str, weight: str, bias: str | None = None,
    stride: Sequence[int] = (1,), padding: Sequence[int] = (0,), dilation: Sequence[int] = (1,),
    groups: int = 1,
) -> str:  # fmt: skip
    inputs = [x, weight] if bias is None else [x, weight, bias]
    return g.node(
        "Conv", inputs, out,
        strides=list(stride), pads=[*padding, *padding], dilations=list(dilation), group=groups,
    )  # fmt: skip


def _cast(
    g: GraphBuilder, out: str, shape: Sequence[int], x: str, dtype: torch.dtype, *_: Any
) -> str:
    """Only indices are integers; all else is float32 already."""
    return g.node("Cast", [x], out, to=TensorProto.INT64) if dtype == torch.int64 else x


def _filled(value: float) -> Emit:
    return lambda g, out, shape, x, *_: g.constant(np.full(tuple(shape), value, np.float32))


ATEN_TO_ONNX: dict[str, Emit] = {
    "add.Tensor": _binary("Add"),
    "amax.default": _amax,
    "cat.default": _concat,
    "clamp.default": _clamp,
    "conv1d.default": _conv1d,
    "div.Tensor": _binary("Div"),
    "exp.default": _unary("Exp"),
    "expand.default": _expand,
    "flatten.using_ints": _reshape,
    "gelu.default": _unary("Gelu"),
    "layer_norm.default": _layer_norm,
    "log.default": _unary("Log"),
    "log_softmax.int": _softmax("LogSoftmax"),
    "matmul.default": _binary("MatMul"),
    "mul.Tensor": _binary("Mul"),
    "ones_like.default": _filled(1.0),
    "pad.default": _pad,
    "relu.default": _unary("Relu"),
    "reshape.default": _reshape,
    "select.int": _select,
    "sigmoid.default": _unary("Sigmoid"),
    "slice.Tensor": _slice,
    "softmax.int": _softmax("Softmax"),
    "sqrt.default": _unary("Sqrt"),
    "square.default": _square,
    "stack.default": _stack,
    "sub.Tensor": _binary("Sub"),
    "sum.dim_IntList": _sum,
    "tanh.default": _unary("Tanh"),
    "to.dtype": _cast,
    "transpose.int": _transpose,
    "unflatten.int": _reshape,
    "unsqueeze.default": _reshape,
    "zeros_like.default": _filled(0.0),
}
"""Operator name -> function (builder, output name, output shape, *arguments) -> value name."""

FLOAT = TensorProto.FLOAT
