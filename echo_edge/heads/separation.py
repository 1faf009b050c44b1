"""Separated voices: chunk by chunk waveforms of up to K slots, joined without clicks.

A slot that carries a voice which diarization has found gets its embedding, and keeps the voice.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.decoding import DecodingSpec
from echo_edge.bundle.manifest import SeparationSpec
from echo_edge.engines.stateful import GraphStream
from echo_edge.frontend import Chunk
from echo_edge.heads.clustering import NOBODY

Array = NDArray[np.float32]


class VoiceSlots:
    """The voice of each slot. A new voice gets the loudest free slot, where it was before it was
    known, or else the one whose voice has been silent for longest."""

    def __init__(self, n_slots: int, alike: float) -> None:
        self._alike = alike
        self.voices = [NOBODY] * n_slots

    def assign(self, recent: list[int], centroids: Array, energies: Array) -> Array:
        """Embedding of each slot's voice `[1, K, E]`, zero for nobody.

        `recent`: voices, the last active one first; centroids `[voices, E]` of unit length;
        energies `[K]` of late. Of two voices that are `alike`, only one gets a slot.
        """
        for voice in recent[: len(self.voices)]:
            others = [other for other in self.voices if other != NOBODY]
            alike = centroids[others] @ centroids[voice] >= self._alike
            if voice not in self.voices and not alike.any():
                self.voices[self._slot(recent, energies)] = voice
        slot_embeddings = np.zeros((1, len(self.voices), centroids.shape[1]), np.float32)
        for slot, voice in enumerate(self.voices):
            if voice != NOBODY:
                slot_embeddings[0, slot] = centroids[voice]
        return slot_embeddings

    def join(self, groups: Sequence[int]) -> None:
        """Merge voices: voice `v` becomes `groups[v]`; the first of its slots keeps it."""
        joined = [NOBODY if voice == NOBODY else groups[voice] for voice in self.voices]
        first = [voice not in joined[:slot] for slot, voice in enumerate(joined)]
        self.voices = [voice if keep else NOBODY for voice, keep in zip(joined, first, strict=True)]

    def _slot(self, recent: list[int], energies: Array) -> int:
        free = [slot for slot, voice in enumerate(self.voices) if voice == NOBODY]
        if free:
            return max(free, key=lambda slot: float(energies[slot]))
        return max(range(len(self.voices)), key=lambda slot: recent.index(self.voices[slot]))


class SeparationDecoder:
    """Overlap-added waveforms `[K, samples]`. Their delay of `overlap_samples` is cut off at the
    start and made up at the end, so the output is exactly as long as the input."""

    def __init__(self, graph: GraphStream, spec: SeparationSpec, decoding: DecodingSpec) -> None:
        self._graph = graph
        self._overlap = spec.overlap_samples
        self._tail = np.zeros((spec.max_sources, spec.overlap_samples), np.float32)
        self._skip = spec.overlap_samples
        self.slots = VoiceSlots(spec.max_sources, decoding.slot_threshold)
        self._decay = np.float32(decoding.slot_decay)
        self._energies = np.zeros(spec.max_sources, np.float32)

    def push(self, chunk: Chunk, recent: list[int], centroids: Array) -> Array:
        """Waveforms `[K, samples]` that became final with this chunk.

        `recent`: voices, the last active one first; `centroids` `[voices, E]` of unit length.
        """
        sources = self._graph.run(
            latents=chunk.latents_separation,
            features=chunk.features,
            spectrum=chunk.spectrum,
            voices=self.slots.assign(recent, centroids, self._energies),
        )["sources"].copy()
        sources[:, : self._overlap] += self._tail
        self._energies = self._decay * self._energies + np.square(sources).mean(axis=1)
        ready, self._tail = np.split(sources, [sources.shape[1] - self._overlap], axis=1)
        ready, self._skip = ready[:, self._skip :], max(0, self._skip - ready.shape[1])
        return ready

    def finish(self) -> Array:
        """The last `overlap_samples`."""
        return self._tail
