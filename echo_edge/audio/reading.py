"""Turns the frames of a recording into one channel within full scale, and reports what it did."""

import math
from dataclasses import dataclass, field

import numpy as np

from echo_edge.audio.channels import AUTO, Downmix
from echo_edge.audio.wav import Array

OVERSHOOT = 1.5
"""Decoders of lossy formats and mastered music go beyond full scale, but not so far."""
INTEGERS = 16.0
"""Samples beyond this are of an integer's range."""
BITS = (15, 23, 31)
"""An integer's range, as exponents of two."""
PEEK_S = 30.0
"""So much of a file of floating-point samples is looked at before it is read."""


@dataclass
class Reading:
    """The conversion of one recording's frames. `channel` as of `channels.parse_channel`."""

    channel: str = AUTO
    downmix: Downmix = field(init=False)
    exponent: int = 0
    """Samples are divided by two to the power of this."""
    _finding: str = ""

    def __post_init__(self) -> None:
        self.downmix = Downmix(self.channel)

    def expect(self, peak: float) -> None:
        """Take note of the loudest of the recording's first samples, before they are read."""
        if OVERSHOOT < peak <= INTEGERS:
            self.exponent = math.ceil(math.log2(peak))
            self._finding = f"samples up to {peak:.2g} times full scale"
        elif peak > INTEGERS:
            self._find_range(peak)

    def mono(self, frames: Array, rate: int) -> Array:
        """One channel `[n]` of the next frames `[n, channels]`."""
        with np.errstate(all="ignore"):  # what is not finite is refused by whoever takes it
            if not self.exponent and (peak := float(np.abs(frames).max(initial=0.0))) > INTEGERS:
                self._find_range(peak)
            if self.exponent:
                frames = frames * np.float32(2.0**-self.exponent)
        return self.downmix.push(frames, rate)

    @property
    def finding(self) -> str:
        """Everything that was not nominal, for one line to the user; empty if nothing."""
        return ", ".join(filter(None, (self._finding, self.downmix.finding)))

    def _find_range(self, peak: float) -> None:
        bits = next((bits for bits in BITS if peak <= 1.5 * 2.0**bits), 0)
        if bits:
            self.exponent = bits
            self._finding = f"samples of the range of {bits + 1}-bit integers (divided by 2^{bits})"
