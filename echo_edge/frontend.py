"""PCM to what the heads decode: the level is put right, then frontend graph and encoder graph."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio import LOUDEST
from echo_edge.audio.condition import Conditioner
from echo_edge.bundle.manifest import Manifest
from echo_edge.engines.stateful import GraphStream
from echo_edge.errors import AudioError

Array = NDArray[np.float32]
Pcm = NDArray[np.float32] | NDArray[np.int16]
"""Samples `[n]` at 16 kHz, mono: float32 within -1 to 1, or int16."""


@dataclass(frozen=True)
class Chunk:
    """One chunk of audio as the heads take it: C steps of 40 ms, float32."""

    features: Array
    """`[1, 4 C, 80]`: log-mel frames of audio at the level of the training data."""
    spectrum: Array
    """`[1, 4 C, 257, 2]`: real and imaginary part, at the level of the input."""
    latents_asr: Array
    """`[1, C, d]`, as the three below: one mix of the encoder's layers for each head."""
    latents_diarization: Array
    latents_speaker: Array
    latents_separation: Array
    n_steps: int
    """So many steps are of the audio, 0 to C; those after them pad its end."""
    end_s: float
    """Length of the audio so far, which may go on beyond this chunk; padding does not count."""
    latents: Array
    """`[1, C, d]`: the encoder's last layer, for the second pass of words."""


class Frontend:
    """Features and spectrum of one stream. Features are of audio at the level of the training data,
    the spectrum is at the level of the input, so voices separated from it are as loud as they were.
    """

    def __init__(self, graph: GraphStream, step_samples: int) -> None:
        self._graph = graph
        self._conditioner = Conditioner(step_samples)
        self._gain = 0
        self._began = False

    @property
    def factor(self) -> np.float32:
        """Gain of the last chunk's features over the input: a power of two."""
        return np.float32(2.0**self._gain)

    @property
    def finding(self) -> str:
        """A line on all that is not nominal about the audio so far; empty if nothing."""
        return self._conditioner.finding()

    def push(self, chunk: Array, n_samples: int) -> tuple[Array, Array]:
        """Features and spectrum of one chunk `[n]`, of which the first `n_samples` are real."""
        pcm, gain = self._conditioner.push(chunk, n_samples)
        if not self._began:
            self._began = True
            self._graph.fill(self._conditioner.before)
        if gain != self._gain:
            self._graph.scale(2.0 ** (gain - self._gain))
            self._gain = gain
        front = self._graph.run(pcm=pcm[None])
        spectrum = front["spectrum"]
        return front["features"], spectrum if gain == 0 else spectrum / self.factor


class Encoder:
    """Audio of one stream to chunks: the frontend, then the encoder graph."""

    def __init__(self, graph: Callable[[str], GraphStream], manifest: Manifest) -> None:
        """`graph` gives a graph of the bundle by name, its state silence."""
        self._chunk_samples = manifest.audio.chunk_samples
        self._step_samples = manifest.streaming.step_samples
        self.frontend = Frontend(graph("frontend"), self._step_samples)
        self._graph = graph("encoder")

    def push(self, pcm: Array, end_s: float) -> Chunk:
        """The next samples `[n]`: a whole chunk, or fewer at the end of the audio.

        `end_s` is the length of the audio so far, which may go on beyond these samples.
        """
        padded = np.pad(pcm, (0, self._chunk_samples - len(pcm)))
        features, spectrum = self.frontend.push(padded, len(pcm))
        latents = self._graph.run(features=features)
        return Chunk(
            features,
            spectrum,
            latents["latents_asr"],
            latents["latents_diarization"],
            latents["latents_speaker"],
            latents["latents_separation"],
            math.ceil(len(pcm) / self._step_samples),
            end_s,
            latents["latents"],
        )


def checked(samples: Pcm, n_before: int) -> Array:
    """`samples` `[n]` as float32; `n_before` samples came before, for the message.

    Integers of 16 and 32 bits are divided by their range. Raises AudioError for an array that is
    not one-dimensional, is of another type, is not finite or is far beyond -1 to 1.
    """
    pcm: NDArray[Any] = np.asarray(samples)
    is_pcm = pcm.dtype.kind == "f" or (pcm.dtype.kind == "i" and pcm.dtype.itemsize in (2, 4))
    if pcm.ndim != 1 or not is_pcm:
        cure = f": take the mean, pcm.mean(axis={np.argmin(pcm.shape)})" if pcm.ndim == 2 else ""
        raise AudioError(
            f"push: found {pcm.dtype} of shape {list(pcm.shape)}, expected float32 or int16 "
            f"[samples], 16 kHz mono{cure}"
        )
    with np.errstate(over="ignore"):  # what becomes infinite here is refused below
        floats: Array = pcm.astype(np.float32, copy=False)
    if pcm.dtype.kind == "i":
        return floats / np.float32(2.0 ** (8 * pcm.dtype.itemsize - 1))
    wrong = ~(np.abs(floats) < LOUDEST)  # also true of NaN
    if wrong.any():
        at = int(wrong.argmax())
        raise AudioError(
            f"push: found {pcm[at]:g} at sample {n_before + at}, expected finite values, "
            "nominally within -1 to 1"
        )
    return floats
