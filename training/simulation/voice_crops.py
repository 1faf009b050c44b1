"""Crops of single voices with what a pretrained speaker encoder says of each step, clean."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from training.corpora.data import SAMPLE_RATE, Pcm
from training.simulation.augment import SPEEDS
from training.simulation.mixtures import STEP_SAMPLES

Array = NDArray[np.float32]

CROP_S = (1.5, 4.5)
"""Short turns must identify too."""

ROUGH_SHARE = 0.5
"""Of crops that a room, a microphone or noise changes; all get a tone and a level."""

UNCHANGED = SPEEDS.index(1.0)


class VoiceSource(Protocol):
    """Frames of a speaker encoder before it pools them, C channels every 40 ms."""

    pooling: tuple[Array, Array]
    """Weight `[E, 2 C]` and bias `[E]`: mean and deviation of frames to an embedding."""
    mean: Array
    """`[C]`, of all frames."""
    std: Array

    @property
    def names(self) -> Sequence[str]:
        """Speakers."""

    @property
    def centroids(self) -> Mapping[str, Array]:
        """Speaker -> unit embedding `[E]`."""

    def crop(self, name: str, n_steps: int, rng: np.random.Generator) -> tuple[Pcm, Array]:
        """PCM `[640 n]` and frames `[n, C]` of one voice, n at most `n_steps`."""


class VoiceCrops:
    """Draws two crops each of random voices, all of one length, about `seconds` in sum."""

    def __init__(
        self,
        source: VoiceSource | None,
        seconds: float,
        classes: Mapping[str, int],
        colour: Callable[[Pcm, float, np.random.Generator], Pcm],
    ) -> None:
        self.source, self.seconds, self.classes, self.colour = source, seconds, classes, colour

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """`crops [V, N]`, `crop_frames [V, N / 640, C]` and `crop_voices [V]` of a batch; a voice
        that has less repeats itself."""
        if self.source is None or not self.seconds:
            empty = torch.zeros(0, 0)
            return {"crops": empty, "crop_frames": empty, "crop_voices": torch.zeros(0).long()}
        n_steps = int(rng.uniform(*CROP_S) * SAMPLE_RATE) // STEP_SAMPLES
        n_voices = max(1, int(self.seconds * SAMPLE_RATE / (2 * n_steps * STEP_SAMPLES)))
        chosen = [str(name) for name in rng.choice(self.source.names, n_voices).repeat(2)]
        pcm, frames = [], []
        for name in chosen:
            clean, said = self.source.crop(name, n_steps, rng)
            heard = np.resize(clean, n_steps * STEP_SAMPLES)
            pcm.append(self.colour(heard, float(rng.random() < ROUGH_SHARE), rng))
            frames.append(np.resize(said, (n_steps, said.shape[1])))
        voices = [self.classes[name] * len(SPEEDS) + UNCHANGED for name in chosen]
        return {
            "crops": torch.from_numpy(np.stack(pcm)),
            "crop_frames": torch.from_numpy(np.stack(frames)),
            "crop_voices": torch.tensor(voices),
        }
