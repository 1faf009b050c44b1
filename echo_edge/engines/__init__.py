"""Engines run graphs: one small file per engine, one protocol, one table from name to engine.

An engine knows one graph file and nothing of what it computes.
"""

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from echo_edge import habits
from echo_edge.bundle.manifest import EngineSpec, GraphSpec
from echo_edge.errors import EngineError

Array = NDArray[np.float32]


class Engine(Protocol):
    """One loaded graph. Not thread-safe; `close` frees it, and may be called twice."""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name for all inputs by name, float32 of the shapes the manifest gives."""

    def close(self) -> None:
        """Free the graph."""


ENGINES = {
    "onnx": ("echo_edge.engines.onnx", "onnxruntime", "pip install 'echo-edge[onnx]'"),
    "tflite": ("echo_edge.engines.tflite", "ai_edge_litert", "pip install 'echo-edge[tflite]'"),
    "executorch": (
        "echo_edge.engines.executorch", "executorch.version",
        "pip install --no-deps executorch echo-edge-executorch",
    ),
    "null": ("echo_edge.engines.null", "numpy", ""),
}  # fmt: skip
"""Engine name -> module, what it needs that knows its version, how to get that."""


def engine_version(name: str) -> str:
    """Version of the installed library behind an engine. EngineError if it is not there."""
    _, versioned, cure = _entry(name)
    library = versioned.partition(".")[0]
    habits.switch_off()  # again: the program may have changed its environment since our import
    try:
        return str(import_module(versioned).__version__)
    except ImportError as error:
        raise EngineError(f"engine {name}: {library} is not installed here: {cure}") from error
    except Exception as error:  # a native library may fail in any way while it loads
        raise EngineError(f"engine {name}: {library} does not load here: {error}") from error


def check_engine(spec: EngineSpec) -> None:
    """Raise EngineError if the engine is not installed here or older than a bundle needs."""
    found = engine_version(spec.name)
    if _numbers(found) < _numbers(spec.minimum_version):
        library = _entry(spec.name)[1].partition(".")[0]
        raise EngineError(
            f"engine {spec.name}: found {library} {found}, expected at least "
            f"{spec.minimum_version} for this bundle: pip install -U {library}"
        )


def open_engine(name: str, path: Path, spec: GraphSpec, threads: int) -> Engine:
    """Load one graph file. EngineError if the engine is absent or refuses the file."""
    module, _, _ = _entry(name)
    engine_version(name)
    engine: Engine = import_module(module).open_graph(path, spec, threads)
    return engine


def _entry(name: str) -> tuple[str, str, str]:
    if name not in ENGINES:
        known = ", ".join(ENGINES)
        raise EngineError(
            f"engine {name}: this version cannot run it (it can: {known}): "
            "use a bundle for one of those"
        )
    return ENGINES[name]


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:4]]
