"""Conditions a stream's audio before the frontend, and reports what is not nominal about it.

Audio that is nominal passes bit for bit. Rumble is filtered out and the level put right where they
are not; an offset is the frontend's own work, and clipping can only be reported. Everything is
decided chunk by chunk from earlier ones, so it does not depend on how the samples were pushed.
"""

import math
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio.level import Level
from echo_edge.audio.rumble import CUTOFF_HZ, RumbleGate
from echo_edge.audio.wav import SAMPLE_RATE, Array

OFFSET = 0.01
"""Of full scale; a mean of more than this is reported."""
CLIPPED = 0.25
"""Three equal samples at the extreme of a block that reaches so far were cut off there."""
QUIET = 1e-3
"""Audio that nowhere reaches this (-60 dBFS), nor stands out of its noise, holds no speech."""
MIN_REPORTED_S = 5.0
"""Of less audio nothing is reported: it says too little of the signal."""
OFTEN = 0.1
"""Reported is what concerns more than this share of the audio, or of its speech."""


class Conditioner:
    """One stream's chunks on their way to the frontend."""

    def __init__(self, block_samples: int) -> None:
        self._block_samples = block_samples
        self._level, self._rumble = Level(), RumbleGate()
        self._sum = 0.0
        self._n_samples = self._n_chunks = self._n_rumbling = self._n_clipped = 0
        self._peak = 0.0
        self.before = 0.0
        """The value that the frontend assumes before the first sample: with an offset it is not 0,
        or the stream would begin with a bang."""
        self._gains: Counter[int] = Counter()

    def push(self, chunk: Array, n_samples: int) -> tuple[Array, int]:
        """One chunk `[n]` of which the first `n_samples` are real: conditioned, and the
        power of two by which it was multiplied, as an exponent."""
        self._count(chunk[:n_samples])
        samples = self._rumble.push(chunk)
        if not self._n_chunks and not self._rumble.is_on:
            self.before = self._offset()
        gain = self._level.push(samples[:n_samples], self._block_samples)
        self._n_chunks += 1
        self._n_rumbling += self._rumble.is_on
        self._gains[gain] += 1
        return samples if gain == 0 else samples * np.float32(2.0**gain), gain

    def _count(self, samples: Array) -> None:
        """Count what is to be reported in the end."""
        self._n_samples += len(samples)
        self._sum += float(samples.sum(dtype=np.float64))
        self._peak = max(self._peak, float(np.abs(samples).max(initial=0.0)))
        n_blocks = len(samples) // self._block_samples
        blocks = samples[: n_blocks * self._block_samples].reshape(n_blocks, self._block_samples)
        high, low = blocks.max(axis=1), blocks.min(axis=1)
        for block, top, bottom in zip(blocks, high, low, strict=True):
            at_top = top >= CLIPPED and _is_flat(block == top)
            self._n_clipped += at_top or (bottom <= -CLIPPED and _is_flat(block == bottom))

    def finding(self) -> str:
        """Everything about the audio so far that is not nominal, for one line; empty if nothing."""
        if self._n_samples < MIN_REPORTED_S * SAMPLE_RATE:
            return ""
        if not self._peak:
            return "nothing but zeros: is the microphone muted, or is it another channel?"
        found = [*self._level_finding()]
        if offset := self._offset():
            found.append(f"an offset of {100 * offset:.0f} % of full scale (taken away)")
        if self._n_rumbling > OFTEN * self._n_chunks:
            found.append(f"rumble below {CUTOFF_HZ:.0f} Hz (filtered out)")
        if self._n_clipped > OFTEN * max(self._level.n_speech, 1):
            found.append("clipping, which distorts voices: turn the microphone down")
        return ", ".join(found)

    def _offset(self) -> float:
        """The mean of all samples, 0 if that is little."""
        mean = self._sum / max(self._n_samples, 1)
        return mean if abs(mean) > OFFSET * max(1.0, self._peak) else 0.0

    def _level_finding(self) -> list[str]:
        for way, turned, sign in (("quiet", "up", 1), ("loud", "down", -1)):
            gains = Counter({g: n for g, n in self._gains.items() if g * sign > 0})
            if gains.total() > OFTEN * self._n_chunks:
                usual = abs(gains.most_common(1)[0][0])
                return [f"very {way} (turned {turned} by {6 * usual} dB)"]
        if not self._level.n_speech and self._peak < QUIET:
            peak_db = 20 * math.log10(self._peak)
            return [f"nothing louder than {peak_db:.0f} dBFS: turn the microphone up"]
        return []


def not_nominal(name: str, finding: str) -> str:
    """The line that says so of the audio called `name`."""
    return f"{name}: not nominal: {finding}"


def _is_flat(extreme: NDArray[np.bool_]) -> bool:
    """Whether three samples in a row are the extreme."""
    return bool((extreme[2:] & extreme[1:-1] & extreme[:-2]).any())
