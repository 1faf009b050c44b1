"""A TFLite graph under construction: values and operators, three clean-ups, and the file.

Knows the file format and nothing of torch. Same calls, same bytes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

IDENTIFIER = b"TFL3"
_ALIGNMENT = 16
"""Bytes; engines map the file and read weights where they are."""

TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int8): schema.TensorType.INT8,
}
_COPIES = ("TRANSPOSE", "RESHAPE", "QUANTIZE")
"""What only rewrites its input: asked for twice, it is done once."""

_FUSES_RELU = ("FULLY_CONNECTED", "ADD", "CONV_2D", "DEPTHWISE_CONV_2D")


@dataclass(frozen=True)
class Quantization:
    """Real value = scale x (integer - zero point); one scale, or one per row of a weight."""

    scale: tuple[float, ...]
    zero: int = 0


@dataclass(eq=False)
class Value:
    """A tensor: a constant if it has data, else an input or what one operator computes."""

    shape: tuple[int, ...]
    data: NDArray[Any] | None = None
    quantization: Quantization | None = None
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))


@dataclass(eq=False)
class Op:
    """An operator with one output, by its name in the schema."""

    code: str
    inputs: list[Value]
    output: Value
    options: Any
    version: int


class GraphBuilder:
    """Operators in order; equal small constants are one value."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], Value] = {}
        self._copies: dict[Any, Value] = {}

    def constant(self, data: NDArray[Any], quantization: Quantization | None = None) -> Value:
        """A constant of float32, int32 or int8; int64 and float64 become their 32-bit kind."""
        narrow = {"float64": np.float32, "int64": np.int32}.get(data.dtype.name, data.dtype)
        data = np.ascontiguousarray(data.astype(narrow)).reshape(data.shape)
        value = Value(data.shape, data, quantization, data.dtype)
        if quantization is not None:
            return value
        key = (data.dtype.name, data.shape, data.tobytes())
        return self._constants.setdefault(key, value)

    def ints(self, *numbers: int) -> Value:
        """A constant int32 vector."""
        return self.constant(np.array(numbers, np.int32))

    def op(
        self,
        code: str,
        inputs: Sequence[Value],
        shape: Sequence[int],
        options: Any = None,
        version: int = 1,
        quantization: Quantization | None = None,
        dtype: type[np.generic] = np.float32,
    ) -> Value:
        """Append an operator and return its output, int8 if it has a quantization."""
        kind = np.dtype(dtype if quantization is None else np.int8)
        key = (code, tuple(inputs), quantization)
        if code in _COPIES and key in self._copies:
            return self._copies[key]
        output = Value(tuple(int(n) for n in shape), None, quantization, kind)
        self.ops.append(Op(code, list(inputs), output, options, version))
        if code in _COPIES:
            self._copies[key] = output
        return output

    def quantize(self, x: Value, quantization: Quantization) -> Value:
        """The integers of a float value; those that it came from, if there are such."""
        options = schema.QuantizeOptionsT()
        return self.op("QUANTIZE", [x], x.shape, options, quantization=quantization)

    def dequantize(self, x: Value) -> Value:
        """The floats of integers."""
        floats = self.op("DEQUANTIZE", [x], x.shape, schema.DequantizeOptionsT(), version=2)
        self._copies["QUANTIZE", (floats,), x.quantization] = x
        return floats

    def simplify(self, results: Sequence[Value]) -> None:
        """Drop what no result needs, reshapes of reshapes, and ReLUs that their producers do."""
        self._merge_reshapes()
        self._fuse_relus(results)
        needed = set(results)
        kept = []
        for op in reversed(self.ops):
            if op.output in needed:
                needed.update(op.inputs)
                kept.append(op)
        self.ops = kept[::-1]

    def _merge_reshapes(self) -> None:
        """A reshape takes what was there before all reshapes; one that changes nothing goes."""
        origin: dict[Value, Value] = {}
        for op in self.ops:
            op.inputs = [
                origin[v] if v in origin and origin[v].shape == v.shape else v for v in op.inputs
            ]
            if op.code == "RESHAPE":
                op.inputs[0] = origin.get(op.inputs[0], op.inputs[0])
                origin[op.output] = op.inputs[0]

    def _fuse_relus(self, results: Sequence[Value]) -> None:
        uses = Counter(v for op in self.ops for v in op.inputs) + Counter(results)
        producers = {op.output: op for op in self.ops}
        kept = []
        for op in self.ops:
            last = producers.get(op.inputs[0]) if op.code == "RELU" else None
            first = last
            if last is not None and last.code == "RESHAPE" and uses[last.output] == 1:
                first = producers.get(last.inputs[0])
            if (
                first is None
                or last is None
                or first.code not in _FUSES_RELU
                or uses[first.output] > 1
            ):
                kept.append(op)
                continue
            first.options.fusedActivationFunction = schema.ActivationFunctionType.RELU
            last.output = op.output
            producers[op.output] = last
        self.ops = kept


class _Buffer:
    """Packs like the schema's buffer, but aligned: its generated code aligns to a byte."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def Pack(self, builder: Any) -> int:  # noqa: N802  the schema's name
        vector = None
        if self._data:
            builder.StartVector(1, len(self._data), _ALIGNMENT)
            builder.head -= len(self._data)
            builder.Bytes[builder.head : builder.head + len(self._data)] = self._data
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))


def write_graph(
    path: Path,
    name: str,
    builder: GraphBuilder,
    inputs: Mapping[str, Value],
    outputs: Mapping[str, Value],
) -> None:
    """Write the graph to `path` as a file of one signature, called `name`."""
    everything = [*inputs.values(), *(v for op in builder.ops for v in (*op.inputs, op.output))]
    indices = {value: i for i, value in enumerate(dict.fromkeys(everything))}
    # Large ones first: engines copy those into a layout of their own, and then read the file for
    # the small ones only, which are better side by side on few pages.
    stored = sorted((v for v in indices if v.data is not None), key=_size, reverse=True)
    buffers = {value: i + 1 for i, value in enumerate(stored)}
    names = {value: key for named in (outputs, inputs) for key, value in named.items()}
    tensors = [_tensor(v, names.get(v, f"t{i}"), buffers.get(v, 0)) for v, i in indices.items()]
    codes = sorted({(op.code, op.version) for op in builder.ops})
    operators = [_operator(op, codes.index((op.code, op.version)), indices) for op in builder.ops]
    graph = schema.SubGraphT(
        tensors=tensors,
        inputs=[indices[v] for v in inputs.values()],
        outputs=[indices[v] for v in outputs.values()],
        operators=operators,
        name=name,
    )
    model = schema.ModelT(
        version=3,
        operatorCodes=[_operator_code(code, version) for code, version in codes],
        subgraphs=[graph],
        description="echo-edge",
        buffers=[_Buffer(b""), *(_Buffer(_bytes(value)) for value in stored)],
        signatureDefs=[
            schema.SignatureDefT(
                inputs=[schema.TensorMapT(k, indices[v]) for k, v in inputs.items()],
                outputs=[schema.TensorMapT(k, indices[v]) for k, v in outputs.items()],
                signatureKey=name,
                subgraphIndex=0,
            )
        ],
    )
    packed = flatbuffers.Builder(1 << 20)
    packed.Finish(model.Pack(packed), IDENTIFIER)
    path.write_bytes(packed.Output())


def _bytes(value: Value) -> bytes:
    return b"" if value.data is None else value.data.tobytes()


def _size(value: Value) -> int:
    return 0 if value.data is None else value.data.nbytes


def _tensor(value: Value, name: str, buffer: int) -> Any:
    quantization = None
    if value.quantization is not None:
        scale = np.array(value.quantization.scale, np.float32)
        zeros = np.full(len(scale), value.quantization.zero, np.int64)
        quantization = schema.QuantizationParametersT(scale=scale, zeroPoint=zeros)
    return schema.TensorT(
        shape=np.array(value.shape, np.int32),
        type=TYPES[value.dtype],
        buffer=buffer,
        name=name,
        quantization=quantization,
        hasRank=True,
    )


def _operator(op: Op, code: int, indices: Mapping[Value, int]) -> Any:
    operator = schema.OperatorT(
        opcodeIndex=code,
        inputs=[indices[v] for v in op.inputs],
        outputs=[indices[op.output]],
    )
    if op.options is not None:
        kind = type(op.options).__name__.removesuffix("T")
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        operator.builtinOptions = op.options
    return operator


def _operator_code(name: str, version: int) -> Any:
    code = getattr(schema.BuiltinOperator, name)
    # Readers from before there were more than 127 operators look at the old field.
    return schema.OperatorCodeT(
        deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=version
    )
