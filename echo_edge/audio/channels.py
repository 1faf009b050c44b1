"""Several channels to one: their mean, the loudest, or the one that was asked for.

The mean is right for nearly every recording and silences one kind: where two channels are out of
phase, voices cancel. Blocks of a fixed length are looked at, each decides about the next, so
nothing depends on how many frames come at a time.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio.wav import Array
from echo_edge.errors import UsageError

AUTO, MIX, LOUDEST = "auto", "mix", "loudest"

BLOCK_S = 0.1
DECAY = 0.95
"""Of what is remembered of each channel's power, per block: half of it is 1.4 s old."""
CANCELS, MIXES = 0.1, 0.3
"""The mean cancels from where its power is below the first share of what the mean of unrelated
channels has (10 dB less is no chance; in phase it is more), until it is above the second."""
LOUDER = 4.0
"""Another channel is taken once its power is so many times that of the one in use (6 dB)."""


def parse_channel(text: str) -> str:
    """The value of `--channel`: a number from 1, `mix`, `loudest` or `auto`; UsageError if it is
    neither."""
    if text in (AUTO, MIX, LOUDEST) or (text.isdecimal() and text.isascii() and int(text) > 0):
        return text
    raise UsageError(f"--channel: found {text[:40]!r}, expected a number from 1, mix or loudest")


@dataclass
class Downmix:
    """Frames `[n, channels]` of one recording to `[n]`. `channel` as of `parse_channel`."""

    channel: str = AUTO
    name: str = ""
    """Where the frames come from, for errors."""
    chosen: int | None = None
    """The channel, from 0, that is heard instead of the mean at the moment."""
    cancelled: set[int] = field(default_factory=set)
    """Which channels, from 0, had to be heard because the mean of all cancels voices."""
    _buffer: list[Array] = field(default_factory=list)
    _n_buffered: int = 0
    _power: NDArray[np.float64] | None = None
    """Of each channel and, last, of the mean; remembered ever more faintly."""

    def push(self, frames: Array, rate: int) -> Array:
        """The next frames, as many samples."""
        n_channels = frames.shape[1]
        if self.channel.isdecimal():
            if int(self.channel) > n_channels:
                raise UsageError(
                    f"--channel: found {self.channel}, expected 1 to {n_channels}: "
                    f"{self.name} has no more channels"
                )
            return frames[:, int(self.channel) - 1]
        if n_channels == 1:
            return frames[:, 0]
        if self.channel == MIX:
            return _mean(frames)
        if self._power is not None and len(self._power) != n_channels + 1:
            self._power, self._buffer, self._n_buffered, self.chosen = None, [], 0, None
        size, parts = max(1, round(BLOCK_S * rate)), []
        while len(frames):
            part, frames = np.split(frames, [size - self._n_buffered])
            parts.append(_mean(part) if self.chosen is None else part[:, self.chosen])
            self._buffer.append(part)
            self._n_buffered += len(part)
            if self._n_buffered >= size:
                self._decide(np.concatenate(self._buffer))
                self._buffer, self._n_buffered = [], 0
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def _decide(self, block: Array) -> None:
        """Choose the channel from the next frame on."""
        with np.errstate(all="ignore"):  # what is not finite is refused by whoever takes it
            rows = np.column_stack([block, _mean(block)]).astype(np.float64)
            power = np.nan_to_num(rows.var(axis=0))
        self._power = power if self._power is None else DECAY * self._power + power
        each, mean = self._power[:-1], self._power[-1]
        if self.channel == AUTO:
            share = CANCELS if self.chosen is None else MIXES
            if mean >= share * each.sum() / len(each) ** 2:
                self.chosen = None
                return
        loudest = int(each.argmax())
        if self.chosen is None or each[loudest] > LOUDER * each[self.chosen]:
            self.chosen = loudest
        if self.channel == AUTO:
            self.cancelled.add(self.chosen)

    @property
    def finding(self) -> str:
        """Which channels cancelled, for one line to the user; empty if none."""
        if not self.cancelled:
            return ""
        used = " and ".join(str(channel + 1) for channel in sorted(self.cancelled))
        return f"channels out of phase, whose mean is silence (heard channel {used} there)"


def _mean(frames: Array) -> Array:
    with np.errstate(all="ignore"):  # infinities are looked for later
        mean: Array = frames.mean(axis=1, dtype=np.float32)
    return mean
