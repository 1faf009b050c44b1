"""A graph with its state: tensors that a stream passes from chunk to chunk, by name."""

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.manifest import GraphSpec
from echo_edge.engines import Engine

Array = NDArray[np.float32]


class GraphStream:
    """One stream's use of one loaded graph. State starts at zero."""

    def __init__(self, engine: Engine, spec: GraphSpec) -> None:
        self._engine = engine
        self._carried = spec.state
        shapes = {tensor.name: tensor.shape for tensor in spec.inputs}
        self._state = {name: np.zeros(shapes[name], np.float32) for name in spec.state}

    def run(self, **inputs: Array) -> dict[str, Array]:
        """Outputs for the inputs that are not state; the state moves on by one call."""
        outputs = self._engine.run({**inputs, **self._state})
        for name, source in self._carried.items():
            self._state[name] = outputs.pop(source)
        return outputs

    def fill(self, value: float) -> None:
        """Let all state be `value`, for a graph whose state is what it was given last."""
        for state in self._state.values():
            state[:] = value

    def scale(self, factor: float) -> None:
        """Multiply the state, for such a graph too."""
        for name, state in self._state.items():
            self._state[name] = state * np.float32(factor)
