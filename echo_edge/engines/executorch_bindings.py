"""ExecuTorch through its own Python bindings, which import torch: for a workstation that has torch
but neither our C library nor a compiler. Slower to load, and far larger. Boards never get here.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.manifest import GraphSpec
from echo_edge.engines.stderr import quiet_stderr
from echo_edge.errors import EngineError

Array = NDArray[np.float32]

BINDINGS = "executorch.extension.pybindings.portable_lib"


def available() -> bool:
    """Whether torch and the bindings are installed."""
    return find_spec("torch") is not None and find_spec(BINDINGS) is not None


class BindingsEngine:
    """One open graph. Its outputs are new arrays in every run."""

    def __init__(self, path: Path, spec: GraphSpec, threads: int) -> None:
        self._path, self._spec = path, spec
        self._module: Any = None
        try:
            with _quiet():
                self._torch, library = import_module("torch"), import_module(BINDINGS)
                if library._threadpool_get_thread_count() != threads:  # of the whole process
                    library._unsafe_reset_threadpool(threads)
                self._module = library._load_for_executorch(str(path))
                meta = self._module.method_meta("forward")
        except Exception as error:  # RuntimeError mostly; a native library may raise anything
            raise self._failure("cannot load it", error) from error
        found = {
            "inputs": [tuple(meta.input_tensor_meta(i).sizes()) for i in range(meta.num_inputs())],
            "outputs": [
                tuple(meta.output_tensor_meta(i).sizes()) for i in range(meta.num_outputs())
            ],
        }
        for side, declared in (("inputs", spec.inputs), ("outputs", spec.outputs)):
            expected = [tensor.shape for tensor in declared]
            if found[side] != expected:
                raise EngineError(
                    f"{path.name}: {side}: found {found[side]}, expected {expected} as "
                    "manifest.json says: export the bundle again"
                )

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name."""
        try:
            given = [
                self._torch.from_numpy(np.ascontiguousarray(inputs[t.name], np.float32))
                for t in self._spec.inputs
            ]
            # The bindings reuse their outputs' memory in the next run.
            values = [np.array(value.numpy()) for value in self._module.forward(given)]
        except Exception as error:
            raise self._failure("failed", error) from error
        return {t.name: value for t, value in zip(self._spec.outputs, values, strict=True)}

    def _failure(self, what: str, error: Exception) -> EngineError:
        lines = str(error).splitlines() or [type(error).__name__]
        return EngineError(f"{self._path.name}: executorch {what}: {lines[0]}")

    def close(self) -> None:
        """Free the graph."""
        self._module = None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's warnings that its bindings may change, and its log."""
    with warnings.catch_warnings(), quiet_stderr():
        warnings.simplefilter("ignore")
        yield
