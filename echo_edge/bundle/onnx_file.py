"""Reads an .onnx file without an engine: its inputs and outputs, and that its weights are inside.
So a file that would make an engine open others never reaches one.

Reads the few Protocol Buffers fields it needs and knows nothing of what the nodes compute. Strict
where readers differ: a field that may stand once must not stand twice.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from echo_edge.bundle.graph_io import check_declared
from echo_edge.bundle.manifest import GraphSpec, TensorSpec
from echo_edge.errors import BundleError

# Message -> field number -> message inside it: all the ways to a tensor (onnx.proto3).
_INSIDE = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_GRAPH = 7
_TENSOR_NAME, _EXTERNAL_DATA, _DATA_LOCATION = 8, 13, 14
_INPUT, _OUTPUT, _INITIALIZER = 11, 12, 5
_DTYPES = {1: "float32", 7: "int64"}
_MAX_FIELDS = 2_000_000
_DEEPEST = 16

_VARINT, _BYTES = 0, 2
_FIXED = {1: 8, 5: 4}
"""Kind of a number of fixed size -> bytes."""


class _Field(NamedTuple):
    """One field: a number, or the place of its bytes."""

    number: int
    kind: int
    value: int
    start: int
    end: int


class _MalformedError(Exception):
    """The file is not what Protocol Buffers write; the message says why."""


def check_onnx(path: Path, name: str, spec: GraphSpec) -> None:
    """Raise BundleError unless the file declares what `spec` says and refers to no other file.

    `name` is the file's name in the bundle.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            reader = _Reader(data, name)
            reader.walk("model", 0, len(data), 0)
            found = reader.tensors()
    except (_MalformedError, ValueError) as error:  # ValueError: an empty file cannot be mapped
        raise BundleError(
            f"{name}: found no ONNX ({error}), expected a graph: export the bundle again",
            "onnx",
        ) from error
    check_declared(name, found, spec, "onnx-tensors")


_SIDES = {_INPUT: "inputs", _OUTPUT: "outputs"}


class _Reader:
    """One file, field by field, a bounded number of them."""

    def __init__(self, data: mmap.mmap, name: str) -> None:
        self._data, self._name = data, name
        self._n_fields = 0

    def walk(self, message: str, start: int, end: int, depth: int) -> None:
        """Refuse tensors that are outside of this message."""
        if depth > _DEEPEST:
            raise _MalformedError("graphs nested too deep")
        inside = _INSIDE[message]
        for field in self._fields(start, end):
            if message == "tensor" and self._is_external(field):
                raise BundleError(
                    f"{self._name}: found weights kept in another file, expected them inside: "
                    "export the bundle again",
                    "onnx-external",
                )
            if field.number not in inside:
                continue
            self._expect(field, _BYTES)
            self.walk(inside[field.number], field.start, field.end, depth + 1)

    def tensors(self) -> dict[str, dict[str, TensorSpec]]:
        """Inputs that no weight fills, and outputs, of the main graph, by side and name."""
        graph = self._only(_Field(0, _BYTES, 0, 0, len(self._data)), _GRAPH, _BYTES)
        fields = list(self._fields(graph.start, graph.end))
        filled = {self._name_of(f, _TENSOR_NAME) for f in fields if f.number == _INITIALIZER}
        found: dict[str, dict[str, TensorSpec]] = {side: {} for side in _SIDES.values()}
        for field in fields:
            if field.number in _SIDES:
                tensor, side = self._tensor(field), found[_SIDES[field.number]]
                if tensor.name in side:
                    raise _MalformedError(f"{tensor.name[:60]!r} twice")
                side[tensor.name] = tensor
        return {
            side: {name: tensor for name, tensor in tensors.items() if name not in filled}
            for side, tensors in found.items()
        }

    def _tensor(self, field: _Field) -> TensorSpec:
        """A ValueInfoProto: name = 1, type = 2 > tensor_type = 1 > elem_type = 1, shape = 2 >
        dim = 1 > dim_value = 1."""
        name = self._name_of(field, 1)
        tensor_type = self._only(self._only(field, 2, _BYTES), 1, _BYTES)
        dtype = _DTYPES.get(self._only(tensor_type, 1, _VARINT).value, "another type")
        shape = self._only(tensor_type, 2, _BYTES)
        dims = [f for f in self._fields(shape.start, shape.end) if f.number == 1]
        sizes = tuple(self._dim(dim) for dim in dims)
        return TensorSpec(name, sizes, dtype)

    def _dim(self, field: _Field) -> int:
        self._expect(field, _BYTES)
        sizes = [f for f in self._fields(field.start, field.end) if f.number == 1]
        return sizes[0].value if len(sizes) == 1 and sizes[0].kind == _VARINT else -1  # not fixed

    def _name_of(self, field: _Field, number: int) -> str:
        self._expect(field, _BYTES)
        place = self._only(field, number, _BYTES)
        return self._data[place.start : place.end].decode("utf-8", "replace")

    def _only(self, message: _Field, number: int, kind: int) -> _Field:
        found = [f for f in self._fields(message.start, message.end) if f.number == number]
        if len(found) != 1 or found[0].kind != kind:
            raise _MalformedError(f"field {number} {len(found)} times")
        return found[0]

    @staticmethod
    def _is_external(field: _Field) -> bool:
        return field.number == _EXTERNAL_DATA or (
            field.number == _DATA_LOCATION and (field.kind != _VARINT or field.value != 0)
        )

    @staticmethod
    def _expect(field: _Field, kind: int) -> None:
        if field.kind != kind:
            raise _MalformedError(f"field {field.number} of another kind")

    def _fields(self, start: int, end: int) -> Iterator[_Field]:
        at, data = start, self._data
        while at < end:
            self._n_fields += 1
            if self._n_fields > _MAX_FIELDS:
                raise _MalformedError(f"more than {_MAX_FIELDS} fields")
            # Nearly always a tag of one byte and a size of one byte.
            if (tag := data[at]) < 128:
                at += 1
            else:
                tag, at = self._varint(at, end)
            kind, value, size = tag & 7, 0, 0
            if kind == _BYTES:
                if at < end and (size := data[at]) < 128:
                    at += 1
                else:
                    size, at = self._varint(at, end)
            elif kind == _VARINT:
                value, at = self._varint(at, end)
            elif kind in _FIXED:
                size = _FIXED[kind]
            else:
                raise _MalformedError(f"wire type {kind}")
            if size > end - at:
                raise _MalformedError("a field longer than its message")
            yield _Field(tag >> 3, kind, value, at, at + size)
            at += size

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        if at < end and (value := self._data[at]) < 128:  # nearly always
            return value, at + 1
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                break
            byte = self._data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, at
        raise _MalformedError("a number that breaks off")
