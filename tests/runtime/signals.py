"""Audio that is not nominal, made from a recording that is, and how alike its results are."""

from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio import read_blocks
from echo_edge.result import Turn

Array = NDArray[np.float32]
SECONDS = 24


def speech(bundle: Path) -> Array:
    """The first seconds of a bundle's labelled minute: three people who take turns."""
    return np.concatenate(list(read_blocks(bundle / "selftest/labelled.flac")))[: 16_000 * SECONDS]


def rumble(n_samples: int, peak_db: float) -> Array:
    """Noise of 30 to 50 Hz."""
    hertz = np.fft.rfftfreq(n_samples, 1 / 16_000)
    random = np.random.default_rng(5).standard_normal((2, len(hertz)))
    spectrum = np.where((hertz > 30) & (hertz < 50), random[0] + 1j * random[1], 0.0)
    noise = np.fft.irfft(spectrum, n_samples)
    return (noise / np.abs(noise).max() * 10 ** (peak_db / 20)).astype(np.float32)


def _db(gain_db: float) -> Callable[[Array], Array]:
    return lambda pcm: pcm * 10 ** (gain_db / 20)


SIGNALS: dict[str, tuple[Callable[[Array], Array], str]] = {
    "nominal": (lambda pcm: pcm, ""),
    "12 dB quieter": (_db(-12), ""),
    "offset of 1 %": (lambda pcm: 0.5 * pcm + 0.012, "an offset of 1 % of full scale"),
    "offset of 5 %": (lambda pcm: 0.2 * pcm + 0.05, "an offset of 5 % of full scale"),
    "offset of -20 %": (lambda pcm: 0.5 * pcm - 0.2, "an offset of -20 % of full scale"),
    "rumble at -20 dBFS": (lambda pcm: 0.3 * pcm + rumble(len(pcm), -20), "rumble below 80 Hz"),
    "rumble at -6 dBFS": (lambda pcm: 0.3 * pcm + rumble(len(pcm), -6), "rumble below 80 Hz"),
    "-40 dB": (_db(-40), "very quiet .turned up by 30 dB"),
    "-55 dB": (_db(-55), "very quiet .turned up by 42 dB"),
    "-55 dB and an offset": (lambda pcm: _db(-55)(pcm) + 0.05, "very quiet.*an offset of 5 %"),
    "+20 dB": (_db(20), "very loud .turned down by|samples up to .* times full scale"),
    "x 32768": (_db(20 * np.log10(32768)), "very loud|range of 16-bit integers"),
    "x 2^23": (_db(20 * np.log10(2**23)), "very loud|range of 24-bit integers"),
    "clipped": (lambda pcm: np.clip(4 * pcm / np.abs(pcm).max(), -1, 1), "clipping"),
}
"""Name -> what is done to the audio, and what is said of it ("" for nothing)."""

FITS_16_BITS = [name for name in SIGNALS if name not in ("+20 dB", "x 32768", "x 2^23")]


def signal(name: str, bundle: Path) -> Array:
    """The speech of a bundle as that signal."""
    return SIGNALS[name][0](speech(bundle)).astype(np.float32)


def alike(found: Sequence[Turn], expected: Sequence[Turn]) -> tuple[float, float]:
    """Shares of the time in which somebody speaks in both or neither, and in which the same people
    speak, whatever they are called."""
    first, second = _active(found), _active(expected)
    speech = (first.any(axis=0) == second.any(axis=0)).mean()
    people = max(
        (first[list(order)] == second).all(axis=0).mean()
        for order in permutations(range(len(first)))
    )
    return float(speech), float(people)


def _active(turns: Sequence[Turn]) -> NDArray[np.bool_]:
    labels = sorted({turn.speaker for turn in turns})[:4]
    active = np.zeros((4, SECONDS * 100), bool)
    for turn in turns:
        if turn.speaker in labels:
            row = labels.index(turn.speaker)
            active[row, round(100 * turn.start_s) : round(100 * turn.end_s)] = True
    return active
