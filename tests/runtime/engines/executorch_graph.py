"""A small graph for ExecuTorch: `fixtures/executorch/make.py` says what it computes."""

from pathlib import Path

import numpy as np

from echo_edge.bundle.manifest import GraphSpec, TensorSpec
from echo_edge.engines import executorch_library
from echo_edge.errors import EngineError

FIXTURE = Path(__file__).parents[2] / "fixtures/executorch/running.pte"


WEIGHT = np.arange(64).reshape(8, 8) % 7 - 3.0


def tensors(*names: str) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, (1, 8), "float32") for name in names)


SPEC = GraphSpec(
    FIXTURE.name, tensors("x", "total"), tensors("y", "total_next"), {"total": "total_next"}
)


ONES = {"x": np.ones((1, 8), np.float32), "total": np.zeros((1, 8), np.float32)}

try:
    executorch_library.library()
    MISSING = ""
except EngineError as error:
    MISSING = str(error)
