"""Values of a TFLite graph, and the operators that several ATen operators are made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from echo_edge_export.convert.tflite_graph import TYPES, GraphBuilder, Value

Shape = tuple[int, ...]

MAX_JOINED = 5
"""XNNPACK, which does the work, joins no more in one operator; the graph would fall in two."""


@dataclass(frozen=True)
class Swapped:
    """A value whose axes are to be read in another order: a transpose that may never be needed.

    Convolutions here want channels last where torch has them second, and products can read their
    second operand transposed, so most transposes meet their inverse.
    """

    value: Value
    order: tuple[int, ...]

    @property
    def shape(self) -> Shape:
        """The shape that torch sees."""
        return tuple(self.value.shape[axis] for axis in self.order)


Tensor = Value | Swapped


def plain(g: GraphBuilder, x: Tensor) -> Value:
    """The value itself, transposed if it must be."""
    if isinstance(x, Value):
        return x
    version = 4 if len(x.order) > 4 else 1
    options = schema.TransposeOptionsT()
    return g.op("TRANSPOSE", [x.value, g.ints(*x.order)], x.shape, options, version)


def reshaped(g: GraphBuilder, x: Tensor, shape: Sequence[int]) -> Value:
    """The same numbers in another shape."""
    inputs = [plain(g, x), g.ints(*shape)]
    return g.op("RESHAPE", inputs, shape, schema.ReshapeOptionsT(newShape=list(shape)))


def as_type(g: GraphBuilder, x: Value, dtype: type[np.generic]) -> Value:
    """The same numbers in another type."""
    codes = [TYPES[np.dtype(each)] for each in (x.dtype, dtype)]
    options = schema.CastOptionsT(inDataType=codes[0], outDataType=codes[1])
    return g.op("CAST", [x], x.shape, options, dtype=dtype)


def looked_up(g: GraphBuilder, table: Value, rows: Value, shape: Shape) -> Value:
    """Rows of a table by their numbers."""
    return g.op(
        "GATHER", [table, rows], shape, schema.GatherOptionsT(axis=0), dtype=table.dtype.type
    )


def scalar(g: GraphBuilder, number: float) -> Value:
    """A constant float without axes."""
    return g.constant(np.array(number, np.float32))


def binary(g: GraphBuilder, code: str, shape: Sequence[int], x: Value, y: Value) -> Value:
    """An arithmetic operator with broadcasting."""
    options = {
        "ADD": schema.AddOptionsT,
        "SUB": schema.SubOptionsT,
        "MUL": schema.MulOptionsT,
        "DIV": schema.DivOptionsT,
        "MAXIMUM": schema.MaximumMinimumOptionsT,
    }[code]
    deep = x.shape != y.shape and len(shape) > 4
    version = {"SUB": 3, "DIV": 2, "MAXIMUM": 3}.get(code, 1) if deep else 1
    return g.op(code, [x, y], shape, options(), version)


def reduced(g: GraphBuilder, code: str, x: Value, axes: Sequence[int], keep: bool) -> Value:
    """A sum, mean or maximum over axes."""
    axes = [axis % len(x.shape) for axis in axes]
    kept = [1 if i in axes else n for i, n in enumerate(x.shape) if keep or i not in axes]
    return g.op(code, [x, g.ints(*axes)], kept, schema.ReducerOptionsT(keepDims=keep))


def product(g: GraphBuilder, x: Tensor, y: Tensor, shape: Sequence[int]) -> Value:
    """`x @ y`, batched. A constant matrix on the right is a fully connected layer."""
    if isinstance(y, Value) and y.data is not None and len(y.shape) == 2:
        zeros = np.zeros(y.shape[1], np.float32)
        return dense(g, plain(g, x), g.constant(y.data.T), g.constant(zeros), shape)
    rank = len(shape)
    turned = isinstance(y, Swapped) and y.order[-2] == rank - 1
    if isinstance(y, Swapped) and turned:
        order = (*y.order[:-2], y.order[-1], y.order[-2])
        y = y.value if order == tuple(range(rank)) else Swapped(y.value, order)
    options = schema.BatchMatMulOptionsT(adjY=turned)
    return g.op("BATCH_MATMUL", [plain(g, x), plain(g, y)], shape, options)


def dense(
    g: GraphBuilder, x: Value, weight: Value, bias: Value, shape: Sequence[int], version: int = 0
) -> Value:
    """`x @ weight.T + bias` in float results."""
    deep = len(shape) > 2
    options = schema.FullyConnectedOptionsT(keepNumDims=deep)
    return g.op("FULLY_CONNECTED", [x, weight, bias], shape, options, version or (5 if deep else 1))


def cut(g: GraphBuilder, x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    """`x[..., start:stop, ...]` along one axis, whatever the order of axes."""
    value = x.value if isinstance(x, Swapped) else x
    axis = x.order[axis] if isinstance(x, Swapped) else axis % len(value.shape)
    shape = [stop - start if i == axis else n for i, n in enumerate(value.shape)]
    begin = [start if i == axis else 0 for i in range(len(shape))]
    version = 5 if len(shape) > 4 else 1
    inputs = [value, g.ints(*begin), g.ints(*shape)]
    part = g.op("SLICE", inputs, shape, schema.SliceOptionsT(), version)
    return Swapped(part, x.order) if isinstance(x, Swapped) else part


def joined(g: GraphBuilder, parts: Sequence[Value], axis: int, shape: Sequence[int]) -> Value:
    """Concatenation, of a few parts at a time."""
    options = schema.ConcatenationOptionsT(axis=axis)
    if len(parts) <= MAX_JOINED:
        return g.op("CONCATENATION", parts, shape, options)
    groups = [parts[i : i + MAX_JOINED] for i in range(0, len(parts), MAX_JOINED)]
    sizes = [sum(part.shape[axis] for part in group) for group in groups]
    shapes = [(*shape[:axis], size, *shape[axis + 1 :]) for size in sizes]
    inner = [joined(g, part, axis, s) for part, s in zip(groups, shapes, strict=True)]
    return joined(g, inner, axis, shape)


def swapped(x: Tensor, a: int, b: int) -> Tensor:
    """`x` with two axes exchanged; two exchanges of the same axes cancel."""
    order = list(x.order) if isinstance(x, Swapped) else list(range(len(x.shape)))
    order[a], order[b] = order[b], order[a]
    value = x.value if isinstance(x, Swapped) else x
    return value if order == sorted(order) else Swapped(value, tuple(order))
