"""ONNX Runtime on the CPU."""

import ctypes
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.manifest import GraphSpec
from echo_edge.errors import EngineError

Array = NDArray[np.float32]


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

_loading: set[object] = set()
"""One token per graph that is being loaded now, by whatever thread."""
_loading_lock = Lock()


@contextmanager
def _weights_outside_the_heap() -> Iterator[None]:
    """Let glibc map large blocks while a graph loads, so that copies of the weights which the
    engine frees go back to the system: 12 to 25 MiB less of peak memory. Afterwards large blocks
    come from the heap again: mapping every intermediate anew would double the time of a chunk.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # None: not glibc, nothing to do
    token = object()
    with _loading_lock:
        _loading.add(token)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, 64 << 10)
    try:
        yield
    finally:
        with _loading_lock:
            _loading.remove(token)
            if mallopt is not None and not _loading:
                mallopt(_M_MMAP_THRESHOLD, 32 << 20)
                mallopt(_M_TRIM_THRESHOLD, 32 << 20)


class OnnxEngine:
    """One graph in one inference session. The arena is off: chunks are small, memory matters."""

    def __init__(self, path: Path, spec: GraphSpec, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.log_severity_level = 3
        # Workers that spin between chunks would burn a board's battery for nothing.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._path = path
        self._outputs = [tensor.name for tensor in spec.outputs]
        try:
            with _weights_outside_the_heap():
                self._session = onnxruntime.InferenceSession(
                    str(path), options, providers=["CPUExecutionProvider"]
                )
        except Exception as error:  # onnxruntime's own exceptions share no base class
            reason = str(error).splitlines()[0]
            raise EngineError(f"{path.name}: onnxruntime cannot load it: {reason}") from error

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name."""
        try:
            values = self._session.run(self._outputs, inputs)
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise EngineError(f"{self._path.name}: onnxruntime failed: {reason}") from error
        return dict(zip(self._outputs, values, strict=True))

    def close(self) -> None:
        """Free the session."""
        self._session = None


def open_graph(path: Path, spec: GraphSpec, threads: int) -> OnnxEngine:
    """Load one .onnx file."""
    return OnnxEngine(path, spec, threads)
