"""ExecuTorch's C++ runtime, without torch: a small C library of ours around the wheel's own."""

import ctypes
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.manifest import GraphSpec, TensorSpec
from echo_edge.engines import executorch_bindings as bindings
from echo_edge.engines.executorch_library import library
from echo_edge.errors import EngineError

Array = NDArray[np.float32]

MAGIC = b"ET12"
"""At byte 4 of every file for ExecuTorch."""
SEAL = b"echocrc1"
"""Behind the program, before the CRC-32 of all that is before it, 4 bytes, little endian."""
_BLOCK_BYTES = 1 << 20
_MAX_DIMENSIONS = 16


class ExecutorchEngine:
    """One open graph. Its outputs are new arrays in every run."""

    def __init__(self, path: Path, spec: GraphSpec, threads: int) -> None:
        self._handle: int | None = None
        self._path, self._spec = path, spec
        self._library = library()
        handle = self._library.ee_open(os.fsencode(path), threads)
        if not handle:
            raise EngineError(f"{path.name}: executorch cannot load it: {self._error()}")
        self._handle = handle
        try:
            self._check("inputs", 0, spec.inputs)
            self._check("outputs", 1, spec.outputs)
        except EngineError:
            self.close()
            raise

    def _error(self) -> str:
        return str(self._library.ee_error().decode(errors="replace"))

    def _check(self, side: str, number: int, declared: Sequence[TensorSpec]) -> None:
        """Raise EngineError unless the file's tensors have the shapes that the manifest says."""
        found = self._library.ee_count(self._handle, number)
        shapes = [self._shape(number, index) for index in range(found)]
        if shapes == [tensor.shape for tensor in declared]:
            return
        pairs = zip(declared, shapes, strict=False)
        wrong = [f"{t.name} {list(s)}, expected {list(t.shape)}" for t, s in pairs if s != t.shape]
        what = wrong[0] if wrong else f"{found}, expected {len(declared)}"
        raise EngineError(
            f"{self._path.name}: {side}: found {what}, as manifest.json says: "
            "export the bundle again"
        )

    def _shape(self, side: int, index: int) -> tuple[int, ...]:
        sizes = (ctypes.c_int32 * _MAX_DIMENSIONS)()
        rank = self._library.ee_shape(self._handle, side, index, sizes, _MAX_DIMENSIONS)
        return tuple(sizes[:rank])

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name."""
        if self._handle is None:
            raise EngineError(f"{self._path.name}: executorch failed: the graph is closed")
        given = [self._input(tensor, inputs) for tensor in self._spec.inputs]
        outputs = {t.name: np.empty(t.shape, np.float32) for t in self._spec.outputs}
        places = _addresses(list(outputs.values()))
        if self._library.ee_run(self._handle, _addresses(given), places) != 0:
            raise EngineError(f"{self._path.name}: executorch failed: {self._error()}")
        return outputs

    def _input(self, tensor: TensorSpec, inputs: Mapping[str, Array]) -> Array:
        """The array itself where it is as the library wants it; a copy otherwise."""
        value = inputs.get(tensor.name)
        if value is None or value.shape != tensor.shape:
            found = "nothing" if value is None else f"shape {list(value.shape)}"
            raise EngineError(
                f"{self._path.name}: executorch failed: found {found} for {tensor.name}, "
                f"expected shape {list(tensor.shape)}"
            )
        return np.ascontiguousarray(value, np.float32)

    def close(self) -> None:
        """Free the graph."""
        if self._handle is not None:
            self._library.ee_close(self._handle)
            self._handle = None

    def __del__(self) -> None:
        self.close()


def _addresses(arrays: Sequence[Array]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))


def sealed(program: bytes) -> bytes:
    """A program as the exporter writes it: with a checksum behind it, which ExecuTorch ignores."""
    return program + SEAL + zlib.crc32(program).to_bytes(4, "little")


def _check_whole(path: Path) -> None:
    """Raise EngineError unless the file is an ExecuTorch program with a right checksum: what the
    library makes of damaged XNNPACK data ends the process at times."""
    size_left = max(path.stat().st_size - len(SEAL) - 4, 0)
    with path.open("rb") as file:
        start = file.read(min(8, size_left))
        checksum = zlib.crc32(start)
        size_left -= len(start)
        while block := file.read(min(_BLOCK_BYTES, size_left)):
            checksum = zlib.crc32(block, checksum)
            size_left -= len(block)
        seal = file.read()
    if start[4:] != MAGIC:
        found, expected = "no ExecuTorch program", f"{MAGIC.decode()} at byte 4"
    elif seal != SEAL + checksum.to_bytes(4, "little"):
        found, expected = "a damaged file", "what the exporter wrote, with its checksum"
    else:
        return
    raise EngineError(
        f"{path.name}: executorch cannot load it: found {found}, expected {expected}: "
        "export the bundle again"
    )


def open_graph(
    path: Path, spec: GraphSpec, threads: int
) -> "ExecutorchEngine | bindings.BindingsEngine":
    """Load one .pte file. Several graphs with more than one thread share the same threads: their
    number cannot differ while they are open."""
    try:
        _check_whole(path)
    except OSError as error:
        raise EngineError(f"{path.name}: cannot be read ({error.strerror})") from error
    try:
        library()
    except EngineError:
        if not bindings.available():
            raise
        return bindings.BindingsEngine(path, spec, threads)
    return ExecutorchEngine(path, spec, threads)
