"""PCM to features: the frontend graph behind what puts rumble and level right."""

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio import LOUDEST
from echo_edge.audio.condition import Conditioner
from echo_edge.engines.stateful import GraphStream
from echo_edge.errors import AudioError

Array = NDArray[np.float32]


class Frontend:
    """One stream's frontend. Features are of audio at the level that training heard, the spectrum
    is at the level of the input, so what is separated from it is as loud as it was."""

    def __init__(self, graph: GraphStream, step_samples: int) -> None:
        self._graph = graph
        self._conditioner = Conditioner(step_samples)
        self._gain = 0
        self._began = False

    @property
    def factor(self) -> np.float32:
        """By which the last chunk was multiplied for its features: a power of two."""
        return np.float32(2.0**self._gain)

    @property
    def finding(self) -> str:
        """Everything about the audio so far that is not nominal; empty if nothing."""
        return self._conditioner.finding()

    def hear(self, chunk: Array, n_samples: int) -> tuple[Array, Array]:
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


def checked(pcm: Array, n_before: int) -> Array:
    """Samples as the frontend takes them; `n_before` of them came before."""
    pcm = np.asarray(pcm)
    if pcm.ndim != 1 or pcm.dtype.kind != "f":
        raise AudioError(
            f"push: found {pcm.dtype} of shape {list(pcm.shape)}, expected float32 [samples], "
            "16 kHz mono within -1 to 1"
        )
    with np.errstate(over="ignore"):  # what becomes infinite here is refused below
        samples = pcm.astype(np.float32, copy=False)
    wrong = ~(np.abs(samples) < LOUDEST)  # also true of NaN
    if wrong.any():
        at = int(wrong.argmax())
        raise AudioError(
            f"push: found {pcm[at]:g} at sample {n_before + at}, expected finite values, "
            "nominally within -1 to 1"
        )
    return samples
