"""Stretches of untranscribed speech with the target encoder's latents, disturbed as the student
hears them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.corpora.data import Pcm
from training.simulation.augment import add_noise, converter, level_gain, microphone, reverberate

LATENT_SAMPLES = 320
"""Samples per latent of the target encoder: 50 Hz."""
STEP_SAMPLES = 640

OTHER_VOICE_SHARE, NOISE_SHARE, ROOM_SHARE, MICROPHONE_SHARE = 0.25, 0.35, 0.3, 0.5


class LatentSource(Protocol):
    """Windows of clean speech of up to 30 s with the target encoder's latents of them."""

    mean: NDArray[np.float32]
    """`[d]`, of all latents."""
    std: NDArray[np.float32]

    @property
    def windows(self) -> Sequence[object]:
        """One of whatever for every window."""

    def length(self, window: int) -> int:
        """Samples of speech in it."""

    def cut(self, window: int, start: int, n: int) -> tuple[Pcm, NDArray[np.float32]]:
        """PCM `[n]` and latents `[n // 320, d]` from sample `start`, a multiple of 640; zeros
        beyond the window's speech."""

    def place(self, utterance_id: str) -> tuple[int, int, int]:
        """Window, first sample in it, a multiple of 640, and number of samples of an utterance."""

    def __contains__(self, utterance_id: str) -> bool:
        """True if there are latents of an utterance."""


@dataclass(frozen=True)
class Window:
    """N samples as heard, the latents `[N / 320, d]` of the clean ones, and which are speech."""

    pcm: Pcm
    latents: NDArray[np.float32]
    valid: NDArray[np.bool_]


class Windows:
    """Draws stretches of all windows of a source, each second as likely as any other."""

    def __init__(self, source: LatentSource, rooms: NDArray[np.float32] | None) -> None:
        self.source, self.rooms = source, rooms
        self.lengths = np.array([source.length(w) for w in range(len(source.windows))])
        self.chance = self.lengths / self.lengths.sum()

    def clean(self, n_samples: int, rng: np.random.Generator) -> Window:
        """`n_samples` of a random window, silence after its end."""
        window = int(rng.choice(len(self.lengths), p=self.chance))
        length = int(self.lengths[window])
        spare = max(0, length - n_samples) // STEP_SAMPLES
        start = int(rng.integers(spare + 1)) * STEP_SAMPLES
        kept = min(n_samples, length - start) // LATENT_SAMPLES
        pcm = np.zeros(n_samples, np.float32)
        latents = np.zeros((n_samples // LATENT_SAMPLES, len(self.source.mean)), np.float32)
        pcm[: kept * LATENT_SAMPLES], latents[:kept] = self.source.cut(
            window, start, kept * LATENT_SAMPLES
        )
        return Window(pcm, latents, np.arange(len(latents)) < kept)

    def draw(self, n_samples: int, rng: np.random.Generator) -> Window:
        """A clean window as heard: through a room and a microphone, beside another voice or noise,
        at a random level, from a converter with faults."""
        window = self.clean(n_samples, rng)
        pcm = window.pcm
        if self.rooms is not None and rng.random() < ROOM_SHARE:
            room = self.rooms[int(rng.integers(len(self.rooms)))]
            pcm = reverberate(pcm, room[int(rng.integers(len(room)))])
        power = float(np.mean(pcm**2))
        disturbance = rng.random()
        if disturbance < OTHER_VOICE_SHARE:
            other = self.clean(n_samples, rng).pcm
            ratio = power / max(float(np.mean(other**2)), 1e-9)
            pcm = pcm + other * np.float32(np.sqrt(ratio * 10 ** (-rng.uniform(3.0, 25.0) / 10)))
        elif disturbance < OTHER_VOICE_SHARE + NOISE_SHARE:
            pcm = add_noise(pcm, power, None, rng)
        if rng.random() < MICROPHONE_SHARE:
            pcm = microphone(pcm[None], rng)[0]
        heard = converter(pcm * np.float32(level_gain(pcm, rng)), rng)
        return Window(heard.astype(np.float32), window.latents, window.valid)
