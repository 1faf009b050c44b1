"""Second pass over a recording whose speakers are known: the waveform of each.

Live, a slot gets a voice only once that voice is known, and from little speech at first.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.manifest import Manifest
from echo_edge.engines.stateful import GraphStream
from echo_edge.frontend import Encoder
from echo_edge.heads.separation import SeparationDecoder
from echo_edge.result import Speaker, Turn

Array = NDArray[np.float32]

NEVER_ALIKE = 2.0
"""A cosine that no two voices have: who is who is settled."""


class KnownVoices:
    """Ranks speakers by how near their turns are: a recording may have more voices than slots."""

    def __init__(self, speakers: Sequence[Speaker], turns: Iterable[Turn]) -> None:
        spans: dict[str, list[tuple[float, float]]] = {speaker.id: [] for speaker in speakers}
        for turn in turns:
            spans[turn.speaker].append((turn.start_s, turn.end_s))
        self._spans = [np.array(each).reshape(-1, 2) for each in spans.values()]

    def nearest(self, start_s: float, end_s: float) -> list[int]:
        """Indices of the speakers: first those who talk between these times, last the one whose
        turns are farthest from them."""
        apart = [
            np.maximum(spans[:, 0] - end_s, start_s - spans[:, 1]).min(initial=np.inf)
            for spans in self._spans
        ]
        return [int(place) for place in np.argsort(np.maximum(apart, 0.0), kind="stable")]


def separate(
    graph: Callable[[str], GraphStream],
    manifest: Manifest,
    centroids: Array,
    known: KnownVoices,
    blocks: Iterable[Array],
) -> Iterator[Array]:
    """Waveforms `[speakers + 1, samples]`, as many samples in all as the blocks `[n]` have.

    `centroids` `[speakers, E]` of unit length. A speaker without a slot is silent meanwhile. The
    last row is the rest, which is no speaker's; all rows sum to the recording, but for its last
    overlap and everything below 80 Hz.
    """
    encoder = Encoder(graph, manifest)
    decoding = replace(manifest.decoding, slot_threshold=NEVER_ALIKE)
    decoder = SeparationDecoder(graph("separation"), manifest.separation, decoding)
    audio, n_received, n_emitted = manifest.audio, 0, 0
    for pcm in _chunks(blocks, audio.chunk_samples):
        start_s = n_received / audio.sample_rate
        n_received += len(pcm)
        end_s = n_received / audio.sample_rate
        slots = decoder.push(encoder.push(pcm, end_s), known.nearest(start_s, end_s), centroids)
        voices = _by_speaker(
            slots[:, : n_received - n_emitted], decoder.slots.voices, len(centroids)
        )
        n_emitted += voices.shape[1]
        yield voices
    if n_emitted < n_received:
        rest = decoder.finish()[:, : n_received - n_emitted]
        yield _by_speaker(rest, decoder.slots.voices, len(centroids))


def _chunks(blocks: Iterable[Array], size: int) -> Iterator[Array]:
    """The same samples, `size` at a time, the last ones fewer."""
    pending = np.zeros(0, np.float32)
    for block in blocks:
        pending = np.concatenate([pending, block])
        while len(pending) >= size:
            yield pending[:size]
            pending = pending[size:]
    if len(pending):
        yield pending


def _by_speaker(slots: Array, slot_voices: Sequence[int], n_speakers: int) -> Array:
    """Rows of slots `[K, samples]` as rows of their speakers, and a row for the others."""
    speakers = np.zeros((n_speakers + 1, slots.shape[1]), np.float32)
    for row, voice in zip(slots, slot_voices, strict=True):
        speakers[voice] += row  # NOBODY is the last row
    return speakers
