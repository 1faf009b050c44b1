"""Reads a .tflite file without an engine: its inputs and outputs, and that its weights are
inside. So a file that would make an engine open others never reaches one.

Reads the few FlatBuffers tables it needs and knows nothing of what the operators compute.
"""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

from echo_edge.bundle.graph_io import check_declared
from echo_edge.bundle.manifest import GraphSpec, TensorSpec
from echo_edge.errors import BundleError

_MAGIC = b"TFL3"

# Fields of the tables of TFLite's schema, by their number there.
_SUBGRAPHS, _BUFFERS, _SIGNATURES, _EXTERNAL_GROUPS, _EXTERNAL_BUFFERS = 2, 4, 7, 8, 9
_BUFFER_OFFSET, _BUFFER_SIZE = 1, 2
_TENSORS = 0
_SHAPE, _TYPE, _TENSOR_NAME = 0, 1, 3
_TENSOR_EXTERNAL = 10
_SIDES = {"inputs": 0, "outputs": 1}
_SUBGRAPH_OF_SIGNATURE = 4
_NAME, _INDEX = 0, 1

_MAX_ITEMS = 100_000
_DTYPES = {0: "float32", 4: "int64"}


class _MalformedError(Exception):
    """The file is not what FlatBuffers write; the message says why."""


def check_tflite(path: Path, name: str, spec: GraphSpec) -> None:
    """Raise BundleError unless the file declares what `spec` says and refers to no other file.

    `name` is the file's name in the bundle.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            external, found = _declared(_Reader(data))
    except (_MalformedError, ValueError) as error:  # ValueError: an empty file cannot be mapped
        raise BundleError(
            f"{name}: found no TFLite ({error}), expected a graph: export the bundle again",
            "tflite",
        ) from error
    if external:
        raise BundleError(
            f"{name}: found weights kept outside of the graph, expected them inside: "
            "export the bundle again",
            "tflite-external",
        )
    check_declared(name, found, spec, "tflite-tensors")


def _declared(reader: "_Reader") -> tuple[bool, dict[str, dict[str, TensorSpec]]]:
    """Whether weights are elsewhere, and the tensors of both sides of the one signature."""
    if reader.bytes(4, 4) != _MAGIC:
        raise _MalformedError(f"no {_MAGIC.decode()} at byte 4")
    model = reader.follow(0)
    subgraphs, signatures = reader.tables(model, _SUBGRAPHS), reader.tables(model, _SIGNATURES)
    if len(subgraphs) != 1 or len(signatures) != 1:
        counts = f"{len(subgraphs)} graphs, {len(signatures)} signatures"
        raise _MalformedError(f"{counts} instead of one each")
    tensors = reader.tables(subgraphs[0], _TENSORS)
    external = (
        any(reader.tables(model, number) for number in (_EXTERNAL_GROUPS, _EXTERNAL_BUFFERS))
        or any(reader.number(tensor, _TENSOR_EXTERNAL, "I") for tensor in tensors)
        or any(
            reader.number(buffer, number, "Q")
            for buffer in reader.tables(model, _BUFFERS)
            for number in (_BUFFER_OFFSET, _BUFFER_SIZE)
        )
    )
    if reader.number(signatures[0], _SUBGRAPH_OF_SIGNATURE, "I") != 0:
        raise _MalformedError("a signature of another graph")
    found: dict[str, dict[str, TensorSpec]] = {}
    for side, number in _SIDES.items():
        entries = list(_entries(reader, reader.tables(signatures[0], number), tensors))
        found[side] = {tensor.name: tensor for tensor in entries}
        if len(found[side]) != len(entries):
            raise _MalformedError("a name twice")
    return external, found


def _entries(reader: "_Reader", maps: list[int], tensors: list[int]) -> Iterator[TensorSpec]:
    for entry in maps:
        index = reader.number(entry, _INDEX, "I")
        if index >= len(tensors):
            raise _MalformedError(f"tensor {index} of {len(tensors)}")
        tensor = tensors[index]
        dtype = _DTYPES.get(reader.number(tensor, _TYPE, "b"), "another type")
        yield TensorSpec(reader.text(entry, _NAME), reader.ints(tensor, _SHAPE), dtype)


class _Reader:
    """FlatBuffers by hand: tables are places in the file, every step is inside it."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data

    def bytes(self, at: int, size: int) -> bytes:
        """`size` bytes that are there."""
        if at < 0 or at + size > len(self._data):
            raise _MalformedError("an offset that leads out of the file")
        return self._data[at : at + size]

    def _unpack(self, at: int, kind: str) -> int:
        (number,) = struct.unpack(f"<{kind}", self.bytes(at, struct.calcsize(kind)))
        return int(number)

    def follow(self, at: int) -> int:
        """Where the offset at a place leads."""
        return at + self._unpack(at, "I")

    def _field(self, table: int, number: int) -> int | None:
        """The place of a table's field; None if it has its default."""
        layout = table - self._unpack(table, "i")
        entry = 4 + 2 * number
        if entry + 2 > self._unpack(layout, "H"):
            return None
        offset = self._unpack(layout + entry, "H")
        return table + offset if offset else None

    def number(self, table: int, number: int, kind: str) -> int:
        """A field that holds a number; its default is 0."""
        place = self._field(table, number)
        return 0 if place is None else self._unpack(place, kind)

    def _vector(self, table: int, number: int, item_size: int) -> tuple[int, int]:
        """Start and length of a field that holds a vector."""
        place = self._field(table, number)
        if place is None:
            return 0, 0
        start = self.follow(place)
        length = self._unpack(start, "I")
        if length > _MAX_ITEMS or length * item_size > len(self._data) - start:
            raise _MalformedError(f"a vector of {length}")
        return start + 4, length

    def tables(self, table: int, number: int) -> list[int]:
        """The tables in a vector."""
        start, length = self._vector(table, number, 4)
        return [self.follow(start + 4 * i) for i in range(length)]

    def ints(self, table: int, number: int) -> tuple[int, ...]:
        """The numbers in a vector of int32."""
        start, length = self._vector(table, number, 4)
        return struct.unpack(f"<{length}i", self.bytes(start, 4 * length))

    def text(self, table: int, number: int) -> str:
        """A string."""
        start, length = self._vector(table, number, 1)
        return self.bytes(start, length).decode("utf-8", "replace")
