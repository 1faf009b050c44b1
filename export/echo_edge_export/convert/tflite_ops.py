# ruff: noqa: ARG001, ARG005  one signature for the whole table
"""ATen operators to TFLite operators: one small function each, for fixed shapes only.

An operator that is missing here is an error with its name, never a silent approximation. Linears
are not here: `to_tflite.py` emits them, because they get quantized.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema

from echo_edge.errors import EchoError
from echo_edge_export.convert.tflite_graph import GraphBuilder, Value
from echo_edge_export.convert.tflite_values import (
    Shape,
    Swapped,
    Tensor,
    as_type,
    binary,
    cut,
    joined,
    plain,
    product,
    reduced,
    reshaped,
    scalar,
    swapped,
)

Emit = Callable[..., Any]


def _elementwise(code: str, options: Callable[[], Any] = lambda: None) -> Emit:
    def emit(g: GraphBuilder, shape: Shape, x: Tensor, *_: Any) -> Tensor:
        value = x.value if isinstance(x, Swapped) else x
        result = g.op(code, [value], value.shape, options())
        return Swapped(result, x.order) if isinstance(x, Swapped) else result

    return emit


def _binary(code: str) -> Emit:
    def emit(g: GraphBuilder, shape: Shape, x: Any, y: Any) -> Value:
        operands = [scalar(g, v) if isinstance(v, int | float) else plain(g, v) for v in (x, y)]
        return binary(g, code, shape, *operands)

    return emit


def _reshape(g: GraphBuilder, shape: Shape, x: Tensor, *_: Any) -> Value:
    return reshaped(g, x, shape)


def _slice(
    g: GraphBuilder, shape: Shape, x: Tensor, dim: int = 0, start: int = 0, *_: Any
) -> Tensor:
    axis = dim % len(shape)
    first = start % x.shape[axis] if start < 0 else start
    return cut(g, x, axis, first, first + shape[axis])


def _select(g: GraphBuilder, shape: Shape, x: Tensor, dim: int, index: int) -> Value:
    axis = dim % len(x.shape)
    return reshaped(g, cut(g, x, axis, index, index + 1), shape)


def _cat(g: GraphBuilder, shape: Shape, xs: list[Tensor], dim: int = 0) -> Value:
    return joined(g, [plain(g, x) for x in xs], dim % len(shape), shape)


def _stack(g: GraphBuilder, shape: Shape, xs: list[Tensor], dim: int = 0) -> Tensor:
    axis = dim % len(shape)
    orders = {x.order for x in xs if isinstance(x, Swapped)}
    if axis == len(shape) - 1 and len(orders) == 1 and not any(isinstance(x, Value) for x in xs):
        order = (*orders.pop(), axis)
        values = [x.value for x in xs if isinstance(x, Swapped)]
        inner = [0] * len(shape)
        for torch_axis, value_axis in enumerate(order):
            inner[value_axis] = shape[torch_axis]
        raised = [reshaped(g, v, (*v.shape, 1)) for v in values]
        return Swapped(joined(g, raised, axis, inner), order)
    single = (*shape[:axis], 1, *shape[axis + 1 :])
    return joined(g, [reshaped(g, x, single) for x in xs], axis, shape)


def _sum(g: GraphBuilder, shape: Shape, x: Tensor, dims: list[int], keepdim: bool = False) -> Value:
    return reduced(g, "SUM", plain(g, x), dims, keepdim)


def _amax(
    g: GraphBuilder, shape: Shape, x: Tensor, dims: list[int], keepdim: bool = False
) -> Value:
    return reduced(g, "REDUCE_MAX", plain(g, x), dims, keepdim)


def _softmax(g: GraphBuilder, shape: Shape, x: Tensor, dim: int, *_: Any) -> Value:
    value, axis = plain(g, x), dim % len(shape)
    if axis == len(shape) - 1:
        return g.op("SOFTMAX", [value], shape, schema.SoftmaxOptionsT(beta=1.0))
    top = reduced(g, "REDUCE_MAX", value, [axis], keep=True)
    raised = g.op("EXP", [binary(g, "SUB", shape, value, top)], shape, schema.ExpOptionsT())
    return binary(g, "DIV", shape, raised, reduced(g, "SUM", raised, [axis], keep=True))


def _log_softmax(g: GraphBuilder, shape: Shape, x: Tensor, dim: int, *_: Any) -> Value:
    return g.op("LOG_SOFTMAX", [plain(g, x)], shape, schema.LogSoftmaxOptionsT())


def _pad(g: GraphBuilder, shape: Shape, x: Tensor, pads: list[int], *_: Any) -> Value:
    around = [(0, 0)] * (len(shape) - len(pads) // 2)
    around += list(zip(pads[::2], pads[1::2], strict=True))[::-1]
    version = 4 if len(shape) > 4 else 1
    paddings = g.constant(np.array(around, np.int32))
    return g.op("PAD", [plain(g, x), paddings], shape, schema.PadOptionsT(), version)


def _square(g: GraphBuilder, shape: Shape, x: Tensor) -> Tensor:
    value = x.value if isinstance(x, Swapped) else x
    result = binary(g, "MUL", value.shape, value, value)
    return Swapped(result, x.order) if isinstance(x, Swapped) else result


def _clamp(g: GraphBuilder, shape: Shape, x: Tensor, low: float, *_: Any) -> Value:
    return binary(g, "MAXIMUM", shape, plain(g, x), scalar(g, low))


def _layer_norm(
    g: GraphBuilder, shape: Shape, x: Tensor, _: list[int], weight: Value, bias: Value,
    epsilon: float = 1e-5, *__: Any,
) -> Value:  # fmt: skip
    """No such operator here: the definition."""
    value = plain(g, x)
    centred = binary(g, "SUB", shape, value, reduced(g, "MEAN", value, [-1], keep=True))
    squares = binary(g, "MUL", shape, centred, centred)
    variance = reduced(g, "MEAN", squares, [-1], keep=True)
    variance = binary(g, "ADD", variance.shape, variance, scalar(g, epsilon))
    factor = g.op("RSQRT", [variance], variance.shape)
    normal = binary(g, "MUL", shape, centred, factor)
    return binary(g, "ADD", shape, binary(g, "MUL", shape, normal, weight), bias)


def _conv1d(
    g: GraphBuilder, shape: Shape, x: Tensor, weight: Value, bias: Value | None = None,
    stride: Sequence[int] = (1,), padding: Sequence[int] = (0,), dilation: Sequence[int] = (1,),
    groups: int = 1,
) -> Swapped:  # fmt: skip
    """As a convolution over an image of one row, channels last."""
    kernel = weight.data
    if kernel is None or groups not in (1, weight.shape[0]) or set(dilation) != {1}:
        raise EchoError(
            f"conv1d: found {groups} groups, dilation {list(dilation)}; only constant kernels, 1 "
            "group or as many as channels, and no dilation have a TFLite lowering"
        )
    channels, size, step = kernel.shape[0], kernel.shape[2], stride[0]
    # 1. Torch has channels second, TFLite last: `[1, C, N]` becomes `[1, N, C]`.
    row = plain(g, swapped(x, 1, 2))
    if row.shape[2] == 1:
        # 2. One channel and long strides, as a spectrum has: runs of samples become channels, so
        # that a window is a few taps of many channels instead of hundreds of one. A run must
        # divide window, stride and length, so the largest is their common divisor.
        run = math.gcd(size, step, row.shape[1])
        kernel = kernel.reshape(channels, size // run, run).transpose(0, 2, 1)
        size, step = size // run, step // run
        row = reshaped(g, row, (1, row.shape[1] // run, run))
    # 3. There is no convolution over one axis: the row is an image of height 1.
    image = reshaped(g, row, (1, 1, *row.shape[1:]))
    # SAME pads as much in front as behind for odd kernels, which is torch's `padding`.
    padded = schema.Padding.SAME if padding[0] else schema.Padding.VALID
    common = {"padding": padded, "strideW": step, "strideH": 1}
    known = None if bias is None else bias.data
    offset = np.zeros(channels, np.float32) if known is None else known
    # 4. Kernels `[out, in, size]` to TFLite's layouts: `[out, 1, size, in]`, depthwise
    # `[1, 1, size, channels]`.
    if groups == 1:
        filters, code = kernel.transpose(0, 2, 1)[:, None], "CONV_2D"
        options: Any = schema.Conv2DOptionsT(**common)
    else:
        filters, code = kernel.transpose(1, 2, 0)[None], "DEPTHWISE_CONV_2D"
        options = schema.DepthwiseConv2DOptionsT(depthMultiplier=1, **common)
    inputs = [image, g.constant(filters), g.constant(offset)]
    result = g.op(code, inputs, (1, 1, shape[2], channels), options)
    # 5. Back to `[1, C, N]`, as a transpose that the next operator may never need.
    return Swapped(reshaped(g, result, (1, shape[2], channels)), (0, 2, 1))


def _cast(g: GraphBuilder, shape: Shape, x: Tensor, dtype: torch.dtype, *_: Any) -> Tensor:
    """Only indices are integers; all else is float32 already."""
    return as_type(g, plain(g, x), np.int32) if dtype == torch.int64 else x


def _filled(number: float) -> Emit:
    return lambda g, shape, x, *_: g.constant(np.full(shape, number, np.float32))


ATEN_TO_TFLITE: dict[str, Emit] = {
    "add.Tensor": _binary("ADD"),
    "amax.default": _amax,
    "cat.default": _cat,
    "clamp.default": _clamp,
    "conv1d.default": _conv1d,
    "div.Tensor": _binary("DIV"),
    "exp.default": _elementwise("EXP", schema.ExpOptionsT),
    "flatten.using_ints": _reshape,
    "gelu.default": _elementwise("GELU", lambda: schema.GeluOptionsT(approximate=False)),
    "layer_norm.default": _layer_norm,
    "log.default": _elementwise("LOG"),
    "log_softmax.int": _log_softmax,
    "matmul.default": lambda g, shape, x, y: product(g, x, y, shape),
    "mul.Tensor": _binary("MUL"),
    "ones_like.default": _filled(1.0),
    "pad.default": _pad,
    "relu.default": _elementwise("RELU"),
    "reshape.default": _reshape,
    "select.int": _select,
    "sigmoid.default": _elementwise("LOGISTIC"),
    "slice.Tensor": _slice,
    "softmax.int": _softmax,
    "sqrt.default": _elementwise("SQRT"),
    "square.default": _square,
    "stack.default": _stack,
    "sub.Tensor": _binary("SUB"),
    "sum.dim_IntList": _sum,
    "tanh.default": _elementwise("TANH"),
    "to.dtype": _cast,
    "transpose.int": lambda g, shape, x, a, b: swapped(x, a, b),
    "unflatten.int": _reshape,
    "unsqueeze.default": _reshape,
    "zeros_like.default": _filled(0.0),
}
"""Operator name -> function (builder, output shape, *arguments) -> value."""
