"""Separated voices: chunk by chunk waveforms of up to K slots, joined without clicks.

A slot that holds a voice which diarization has found is told so, and keeps it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.manifest import SeparationSpec
from echo_edge.engines.stateful import GraphStream
from echo_edge.heads.clustering import NOBODY

Array = NDArray[np.float32]

FADE = np.float32(0.8)
"""What remains, per chunk, of the energy by which slots that hold nobody are compared."""


class VoiceSlots:
    """Which voice each slot holds. A new voice gets the slot in which it was heard before it was
    known, or else the one whose voice has been silent for longest."""

    def __init__(self, n_slots: int, alike: float) -> None:
        self._alike = alike
        self.held = [NOBODY] * n_slots

    def assign(self, recent: list[int], centroids: Array, energies: Array) -> Array:
        """What each slot is told, `[1, K, E]`, zero for nobody.

        `recent`: voices, last heard first; centroids `[voices, E]` of unit length; energies `[K]`
        of late. Of two voices that are `alike`, only one gets a slot.
        """
        for voice in recent[: len(self.held)]:
            others = [held for held in self.held if held != NOBODY]
            alike = centroids[others] @ centroids[voice] >= self._alike
            if voice not in self.held and not alike.any():
                self.held[self._slot(recent, energies)] = voice
        told = np.zeros((1, len(self.held), centroids.shape[1]), np.float32)
        for slot, voice in enumerate(self.held):
            if voice != NOBODY:
                told[0, slot] = centroids[voice]
        return told

    def join(self, groups: Sequence[int]) -> None:
        """Voices of one group are one voice, numbered as the group is; one slot keeps it."""
        held = [NOBODY if voice == NOBODY else groups[voice] for voice in self.held]
        first = [voice not in held[:slot] for slot, voice in enumerate(held)]
        self.held = [voice if keep else NOBODY for voice, keep in zip(held, first, strict=True)]

    def _slot(self, recent: list[int], energies: Array) -> int:
        free = [slot for slot, voice in enumerate(self.held) if voice == NOBODY]
        if free:
            return max(free, key=lambda slot: float(energies[slot]))
        return max(range(len(self.held)), key=lambda slot: recent.index(self.held[slot]))


class SeparationDecoder:
    """Overlap-added waveforms `[K, samples]`. Their delay of `overlap_samples` is cut off at the
    start and made up at the end, so the output is exactly as long as the input."""

    def __init__(self, graph: GraphStream, spec: SeparationSpec, alike: float) -> None:
        self._graph = graph
        self._overlap = spec.overlap_samples
        self._tail = np.zeros((spec.max_sources, spec.overlap_samples), np.float32)
        self._skip = spec.overlap_samples
        self.slots = VoiceSlots(spec.max_sources, alike)
        self._energies = np.zeros(spec.max_sources, np.float32)

    def push(
        self,
        latents: Array,
        features: Array,
        spectrum: Array,
        recent: list[int],
        centroids: Array,
    ) -> Array:
        """Waveforms `[K, samples]` that became final with this chunk; `recent` voices, last heard
        first, and all `centroids` `[voices, E]` as diarization knows them."""
        voices = self.slots.assign(recent, centroids, self._energies)
        sources = self._graph.run(
            latents=latents, features=features, spectrum=spectrum, voices=voices
        )["sources"].copy()
        sources[:, : self._overlap] += self._tail
        self._energies = FADE * self._energies + np.square(sources).mean(axis=1)
        ready, self._tail = np.split(sources, [sources.shape[1] - self._overlap], axis=1)
        ready, self._skip = ready[:, self._skip :], max(0, self._skip - ready.shape[1])
        return ready

    def finish(self) -> Array:
        """What was still held back."""
        return self._tail
