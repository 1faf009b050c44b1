"""A recording that was heard to its end once more, told from the start who speaks when: each voice.

Live, a slot is told a voice only once that voice is known, and of little speech at first.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.manifest import Manifest
from echo_edge.engines.stateful import GraphStream
from echo_edge.frontend import Frontend
from echo_edge.heads.separation import SeparationDecoder
from echo_edge.result import Speaker, Turn

Array = NDArray[np.float32]

NEVER_ALIKE = 2.0
"""A cosine that no two voices have: who is who is settled."""


class KnownVoices:
    """Who is nearest to talking at any moment: a recording may have more voices than slots."""

    def __init__(self, speakers: Sequence[Speaker], turns: Iterable[Turn]) -> None:
        spans: dict[str, list[tuple[float, float]]] = {speaker.id: [] for speaker in speakers}
        for turn in turns:
            spans[turn.speaker].append((turn.start_s, turn.end_s))
        self._spans = [np.array(each).reshape(-1, 2) for each in spans.values()]

    def nearest(self, start_s: float, end_s: float) -> list[int]:
        """Places of the speakers; first who talks between these times, last who is silent for
        longest around them."""
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

    `centroids [speakers, E]` of unit length. Who has no slot at a moment is silent in it. The last
    row is what nobody of them said; all rows sum to the recording, but for its last moment and what
    lies below 80 Hz.
    """
    frontend = Frontend(graph("frontend"), manifest.streaming.step_samples)
    encoder = graph("encoder")
    decoder = SeparationDecoder(graph("separation"), manifest.separation, NEVER_ALIKE)
    audio = manifest.audio
    heard = emitted = 0
    for chunk in _chunks(blocks, audio.chunk_samples):
        whole = np.pad(chunk, (0, audio.chunk_samples - len(chunk)))
        features, spectrum = frontend.hear(whole, len(chunk))
        latents = encoder.run(features=features)["latents_separation"]
        start_s, end_s = heard / audio.sample_rate, (heard + len(chunk)) / audio.sample_rate
        slots = decoder.push(latents, features, spectrum, known.nearest(start_s, end_s), centroids)
        heard += len(chunk)
        voices = _of_speakers(slots[:, : heard - emitted], decoder.slots.held, len(centroids))
        emitted += voices.shape[1]
        yield voices
    if emitted < heard:
        yield _of_speakers(
            decoder.finish()[:, : heard - emitted], decoder.slots.held, len(centroids)
        )


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


def _of_speakers(slots: Array, held: Sequence[int], n_speakers: int) -> Array:
    """Rows of slots as rows of the speakers who hold them, and a row for the others."""
    voices = np.zeros((n_speakers + 1, slots.shape[1]), np.float32)
    for row, voice in zip(slots, held, strict=True):
        voices[voice] += row  # NOBODY is the last row
    return voices
