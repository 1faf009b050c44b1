"""Rumble of traffic, wind and tables: a high-pass that works only where there is any.

It is outside the frontend graph because a filter that spares voices remembers longer than a frame,
and because what it takes is not nothing: audio without rumble must pass bit for bit.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio.wav import SAMPLE_RATE, Array

Doubles = NDArray[np.float64]

CUTOFF_HZ = 80.0
"""About the pitch of the lowest voices; 50 Hz is 33 dB down, 100 Hz 0.1 dB."""
ORDER = 8
"""Butterworth. Order 4 at 60 Hz leaves too much of 50 Hz (docs/decisions)."""
HALF_LIFE_S = 5.0
"""Of what is remembered of the power with and without rumble: pauses between words are shorter."""
ON, OFF = 1.5, 1.2
"""The filter works from where the power is this many times that without rumble, until where it is
less than that many times. Speech without rumble has at most 1.1."""
MIN_POWER = 1e-5
"""Rumble below -50 dBFS harms nothing."""
PRIOR = 1e-4 * SAMPLE_RATE
"""Energy that is taken as heard at the start, none of it rumble: a second of speech at -40 dBFS.
The noise of a room before the first word is no rumble."""
_BLOCK = 160


class HighPass:
    """In double precision; settled on the first sample, so that an offset leaves no mark."""

    def __init__(self) -> None:
        self._state: Doubles | None = None

    def push(self, samples: Array) -> Doubles:
        """The filtered samples `[n]`."""
        if self._state is None:
            b0 = _biquad(0)[0]
            self._state = np.zeros(ORDER)
            self._state[:2] = -b0 * float(samples[0]), b0 * float(samples[0])
        size = math.gcd(len(samples), _BLOCK)
        ahead, out, inward, keep = _matrices(size)
        blocks = samples.astype(np.float64).reshape(-1, size)
        states = np.empty((len(blocks), ORDER))
        for row, given in zip(states, blocks @ inward, strict=True):
            row[:] = self._state
            self._state = keep @ self._state + given
        return (blocks @ ahead + states @ out).reshape(-1)


class RumbleGate:
    """Chunks with their rumble taken away while there is some; else the very samples."""

    def __init__(self) -> None:
        self._filter = HighPass()
        self._all = self._above = PRIOR
        self._n_samples = 0.0
        self.is_on = False

    def push(self, chunk: Array) -> Array:
        """One chunk `[n]`, float32, filtered if it rumbles."""
        above = self._filter.push(chunk)
        centred = chunk.astype(np.float64)
        centred -= centred.mean()
        decay = 0.5 ** (len(chunk) / SAMPLE_RATE / HALF_LIFE_S)
        self._all = decay * self._all + float(centred @ centred)
        self._above = decay * self._above + float(above @ above)
        self._n_samples = decay * self._n_samples + len(chunk)
        ratio = OFF if self.is_on else ON
        is_loud = self._all - self._above > MIN_POWER * self._n_samples
        self.is_on = is_loud and self._all > ratio * self._above
        return above.astype(np.float32) if self.is_on else chunk


def _biquad(number: int) -> tuple[float, float, float, float, float]:
    """Coefficients b0, b1, b2, a1, a2 of one of the sections (bilinear transform; R. Bristow-
    Johnson, "Cookbook formulae for audio equalizer biquad filter coefficients")."""
    quality = 0.5 / math.cos((2 * number + 1) * math.pi / (2 * ORDER))
    turn = 2.0 * math.pi * CUTOFF_HZ / SAMPLE_RATE
    alpha, cosine = math.sin(turn) / (2.0 * quality), math.cos(turn)
    scale = 1.0 + alpha
    b0 = (1.0 + cosine) / 2.0 / scale
    return b0, -2.0 * b0, b0, -2.0 * cosine / scale, (1.0 - alpha) / scale


def _recur(x: float, state: list[float]) -> tuple[float, list[float]]:
    """Output and next state for one sample; transposed direct form II."""
    after = []
    for number, (s1, s2) in enumerate(zip(state[::2], state[1::2], strict=True)):
        b0, b1, b2, a1, a2 = _biquad(number)
        y = b0 * x + s1
        after += [b1 * x - a1 * y + s2, b2 * x - a2 * y]
        x = y
    return x, after


@lru_cache(maxsize=4)
def _matrices(size: int) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """The recursion over `size` samples at once: input to output, state to output, input to state,
    state to state."""
    one = [_recur(0.0, state) for state in np.eye(ORDER).tolist()]
    reads, step = np.array([y for y, _ in one]), np.array([state for _, state in one]).T
    direct, given = _recur(1.0, [0.0] * ORDER)
    out, inward, response = np.empty((ORDER, size)), np.empty((size, ORDER)), np.empty(size)
    power, inward[-1], response[0] = np.eye(ORDER), given, direct
    for i in range(size):
        out[:, i] = reads @ power
        power = step @ power
        if i + 1 < size:
            inward[-2 - i] = step @ inward[-1 - i]
            response[i + 1] = reads @ inward[-1 - i]
    ahead = np.zeros((size, size))
    for i in range(size):
        ahead[i, i:] = response[: size - i]
    return ahead, out, inward, power
