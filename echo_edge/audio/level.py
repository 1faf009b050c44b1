"""One gain for audio that is far too quiet or far too loud; exactly 1 for all other.

All gains are powers of two and all decisions are made on exponents, so that a gain is undone
without a trace and every implementation decides alike. A stream decides chunk by chunk, by what it
heard up to the end of that chunk, however its samples are pushed.
"""

import math
from collections import deque

from echo_edge.audio.wav import Array

MIN_LEVEL, MAX_LEVEL, GOAL = -6, 0, -4
"""Levels, as exponents of two of full scale: below the first and above the second a gain is sought
that brings speech to the third (-24 to -18 dBFS). Training heard peaks of -26 to -1 dBFS, and a
recording's level here is that of its louder blocks, some 8 dB below its peak."""
MIN_GAIN, MAX_GAIN = -40, 9
"""Exponents. 54 dB at most: what is below -72 dBFS drowns in the rounding of 16-bit samples."""
FLOOR = -15
"""A room is taken to be at least as loud as half of the last bit of a 16-bit sample."""
ABOVE_NOISE = 3
"""Speech is so far above the quietest block, as an exponent (12 to 24 dB): blocks of noise differ
by 1. So a room's own noise is never made loud."""
NOISE_BLOCKS = 250
"""Among so many blocks (10 s) the quietest is looked for: nobody talks longer without a breath."""
SPEECH_BLOCKS, MIN_SPEECH_BLOCKS = 250, 25
"""Of 40 ms, above the noise: those whose level counts (10 s), and from how many on (1 s)."""
LOUDER_SHARE = 8
"""The level is reached by one in so many of them: neither a click nor a whisper decides."""
PEAK = 1.5
"""A chunk that swings further is turned down at once. Decoders of lossy formats overshoot 1 by
less."""
SILENT = -1000
"""Exponent of a block without sound."""


class Level:
    """Follows the level of a stream; `gain` is an exponent of two."""

    def __init__(self) -> None:
        self._recent: deque[int] = deque(maxlen=NOISE_BLOCKS)
        self._speech: deque[int] = deque(maxlen=SPEECH_BLOCKS)
        self._gain = 0
        self.n_speech = 0
        """Blocks above the noise so far."""

    def push(self, chunk: Array, block_samples: int) -> int:
        """Take in the whole blocks of one chunk `[n]`: the exponent of its gain."""
        n_blocks = len(chunk) // block_samples
        blocks = chunk[: n_blocks * block_samples].reshape(n_blocks, block_samples)
        swings = blocks.max(axis=1) - blocks.min(axis=1)
        exponents = [exponent(float(swing)) - 1 for swing in swings]
        self._recent += [each for each in exponents if each > SILENT]
        noise = max(min(self._recent, default=FLOOR), FLOOR)
        speech = [each for each in exponents if each >= noise + ABOVE_NOISE]
        self._speech += speech
        self.n_speech += len(speech)
        self._follow()
        swing = 0.5 * float(chunk.max() - chunk.min())
        if math.ldexp(swing, self._gain) > PEAK:
            self._gain = 0 if swing <= PEAK else -1 - exponent(swing)
        return self._gain

    def _follow(self) -> None:
        """Choose another gain if under the present one the level is not nominal."""
        if len(self._speech) < MIN_SPEECH_BLOCKS:
            return
        level = sorted(self._speech, reverse=True)[len(self._speech) // LOUDER_SHARE]
        if MIN_LEVEL <= level + self._gain <= MAX_LEVEL:
            return
        nominal = MIN_LEVEL <= level <= MAX_LEVEL
        self._gain = 0 if nominal else max(MIN_GAIN, min(GOAL - level, MAX_GAIN))


def exponent(value: float) -> int:
    """The largest e with 2^e <= value; `SILENT` for 0."""
    return math.frexp(value)[1] - 1 if value > 0.0 else SILENT
