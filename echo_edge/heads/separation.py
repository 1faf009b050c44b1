"""Separated voices: chunk by chunk waveforms of up to K slots, joined without clicks.

Slots may swap between chunks; the slot vectors say which continues which.
"""

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from echo_edge.graph import GraphStream
from echo_edge.manifest import SeparationSpec

Array = NDArray[np.float32]


class SeparationDecoder:
    """Overlap-added waveforms `[K, samples]`. Their delay of `overlap_samples` is cut off at the
    start and made up at the end, so the output is exactly as long as the input."""

    def __init__(self, graph: GraphStream, spec: SeparationSpec) -> None:
        self._graph = graph
        self._overlap = spec.overlap_samples
        self._tail = np.zeros((spec.max_sources, spec.overlap_samples), np.float32)
        self._slots: Array | None = None
        self._skip = spec.overlap_samples
        self._orders = list(permutations(range(spec.max_sources)))

    def push(self, latents: Array, features: Array, spectrum: Array) -> Array:
        """Waveforms `[K, samples]` that became final with this chunk."""
        out = self._graph.run(latents=latents, features=features, spectrum=spectrum)
        order = self._continue(out["slots"])
        sources = out["sources"][order]
        sources[:, : self._overlap] += self._tail
        ready, self._tail = np.split(sources, [sources.shape[1] - self._overlap], axis=1)
        ready, self._skip = ready[:, self._skip :], max(0, self._skip - ready.shape[1])
        return ready

    def finish(self) -> Array:
        """What was still held back."""
        return self._tail

    def _continue(self, slots: Array) -> list[int]:
        """Order of the new slots that best continues the running slot vectors (mean cosine)."""
        unit = slots / (np.linalg.norm(slots, axis=1, keepdims=True) + 1e-9)
        if self._slots is None:
            self._slots = unit
            return list(range(len(unit)))
        similarity = self._slots @ unit.T
        rows = np.arange(len(unit))
        best = max(self._orders, key=lambda order: float(similarity[rows, list(order)].sum()))
        self._slots = 0.8 * self._slots + 0.2 * unit[list(best)]
        return list(best)
