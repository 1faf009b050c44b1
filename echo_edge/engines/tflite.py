"""LiteRT, the runtime of .tflite files, on the CPU; its predecessor tflite-runtime where that is
what there is.
"""

import ctypes
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.manifest import GraphSpec, TensorSpec
from echo_edge.engines.stderr import quiet_stderr
from echo_edge.errors import EngineError

Array = NDArray[np.float32]

MAGIC = b"TFL3"
"""At byte 4 of every .tflite file."""

_MADV_DONTNEED = 4

LIBRARIES = ("ai_edge_litert", "tflite_runtime")
"""The same interface under two names, the living one first."""


class TfliteEngine:
    """One graph in one interpreter. Its outputs are new arrays in every run."""

    def __init__(self, path: Path, spec: GraphSpec, threads: int) -> None:
        self._path = path
        _check_magic(path)
        try:
            with quiet_stderr(_is_noise):
                self._interpreter = _interpreter_class()(str(path), num_threads=threads)
                self._interpreter.allocate_tensors()
                runner = self._interpreter.get_signature_runner()
                inputs, outputs = runner.get_input_details(), runner.get_output_details()
        except EngineError:
            raise
        except Exception as error:  # ValueError, RuntimeError, SystemError: the library's choice
            raise EngineError(f"{path.name}: litert cannot load it: {_line(error)}") from error
        self._inputs = self._places("inputs", inputs, spec.inputs)
        self._outputs = self._places("outputs", outputs, spec.outputs)
        _give_back_pages(path)

    def _places(
        self, side: str, found: Mapping[str, Any], declared: Sequence[TensorSpec]
    ) -> dict[str, int]:
        """The interpreter's number of each tensor; EngineError unless they are as declared."""
        tensors = {
            name: (tuple(int(n) for n in detail["shape"]), np.dtype(detail["dtype"]).name)
            for name, detail in found.items()
        }
        expected = {tensor.name: (tensor.shape, tensor.dtype) for tensor in declared}
        if tensors != expected:
            names = tensors.keys() | expected
            name = min(n for n in names if tensors.get(n) != expected.get(n))
            has, wants = (_shown(side.get(name)) for side in (tensors, expected))
            raise EngineError(
                f"{self._path.name}: {side}: found {name} {has}, expected {wants}, as "
                "manifest.json says: export the bundle again"
            )
        return {name: int(detail["index"]) for name, detail in found.items()}

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name."""
        interpreter = self._interpreter
        if interpreter is None:
            raise EngineError(f"{self._path.name}: litert failed: the graph is closed")
        if missing := self._inputs.keys() - inputs.keys():
            names = ", ".join(sorted(missing))
            raise EngineError(
                f"{self._path.name}: litert failed: found no {names}, expected every input"
            )
        name = ""
        try:
            for name, place in self._inputs.items():
                interpreter.set_tensor(place, inputs[name])
            name = "its operators"
            interpreter.invoke()
            return {name: interpreter.get_tensor(place) for name, place in self._outputs.items()}
        except (ValueError, RuntimeError) as error:
            reason = f"{name}: {_line(error)}"
            raise EngineError(f"{self._path.name}: litert failed: {reason}") from error

    def close(self) -> None:
        """Free the interpreter."""
        self._interpreter = None


def _interpreter_class() -> Any:
    for library in LIBRARIES:
        with suppress(ImportError):
            return import_module(f"{library}.interpreter").Interpreter
    raise EngineError(
        f"engine tflite: {LIBRARIES[0]} is not installed here: pip install 'echo-edge[tflite]'"
    )


def _check_magic(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise EngineError(f"{path.name}: cannot be read ({error.strerror})") from error
    if start[4:] != MAGIC:
        raise EngineError(
            f"{path.name}: litert cannot load it: found no {MAGIC.decode()} at byte 4, expected a "
            ".tflite file: export the bundle again"
        )


def _give_back_pages(path: Path) -> None:
    """Let the system take back the memory that the file itself is mapped to. The library has made
    its own copy of the weights by now; what it reads from the file later is read again. A quarter
    of the peak memory."""
    madvise = getattr(ctypes.CDLL(None), "madvise", None)
    maps = Path("/proc/self/maps")
    if madvise is None or not maps.exists():  # not Linux
        return
    name = os.fsencode(path.resolve())
    for line in maps.read_bytes().splitlines():
        # Only what nobody can have written to: there the pages are the file and nothing else.
        place = re.match(rb"([0-9a-f]+)-([0-9a-f]+) r-[-x][ps] ", line)
        if place and line.endswith(b" " + name):
            first, last = (int(end, 16) for end in place.groups())
            madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), _MADV_DONTNEED)


def _is_noise(line: bytes) -> bool:
    return line.startswith((b"INFO:", b"WARNING: All log messages before absl"))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _shown(tensor: tuple[tuple[int, ...], str] | None) -> str:
    return "nothing" if tensor is None else f"{tensor[1]}{list(tensor[0])}"


def open_graph(path: Path, spec: GraphSpec, threads: int) -> TfliteEngine:
    """Load one .tflite file."""
    return TfliteEngine(path, spec, threads)
