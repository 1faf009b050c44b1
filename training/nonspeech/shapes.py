"""Parts of sounds: envelopes, damped modes, harmonic tones, coloured noise, rhythms."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
NYQUIST_HZ = 7600.0
"""Partials above are left out: they would fold back."""

Signal = NDArray[np.floating[Any]]
Generator = np.random.Generator


def seconds(n_samples: int) -> Signal:
    """Time of every sample, `[n]`, in seconds."""
    return np.arange(n_samples) / SAMPLE_RATE


def samples(length_s: float) -> int:
    """Length in samples, at least one."""
    return max(1, round(length_s * SAMPLE_RATE))


def log_uniform(low: float, high: float, rng: Generator) -> float:
    """A number whose logarithm is uniform between those of `low` and `high`."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def add(out: Signal, at_s: float, piece: Signal) -> None:
    """Add `piece` to `out` from `at_s` on; what lies beyond the ends is dropped."""
    start = round(at_s * SAMPLE_RATE)
    piece = piece[max(-start, 0) :]
    start = max(start, 0)
    piece = piece[: max(len(out) - start, 0)]
    out[start : start + len(piece)] += piece


def fade(piece: Signal, attack_s: float, release_s: float) -> Signal:
    """`piece` with raised-cosine ends, as long as it allows."""
    out = piece.copy()
    for length_s, part in ((attack_s, slice(None)), (release_s, slice(None, None, -1))):
        n = min(samples(length_s), len(piece) // 2)
        out[part][:n] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(n) / max(n, 1))
    return out


def shaped(x: Signal, gain: Callable[[Signal], Signal]) -> Signal:
    """`x` with `gain` over frequency in Hz, zero phase."""
    frequencies = np.fft.rfftfreq(len(x), 1 / SAMPLE_RATE)
    return np.fft.irfft(np.fft.rfft(x) * gain(frequencies), len(x))


def high_passed(x: Signal, low_hz: float) -> Signal:
    """`x` without what lies below, 12 dB per octave."""
    return shaped(x, lambda f: 1 / (1 + (low_hz / np.maximum(f, 1)) ** 2))


def band_noise(n_samples: int, low_hz: float, high_hz: float, rng: Generator) -> Signal:
    """Noise of unit power between two frequencies, 12 dB per octave beyond them."""
    low_hz, high_hz = max(low_hz, 1.0), max(high_hz, low_hz * 1.2)

    def gain(f: Signal) -> Signal:
        f = np.maximum(f, 1.0)
        return np.minimum(1.0, np.minimum((f / low_hz) ** 2, (high_hz / f) ** 2))

    noise = shaped(rng.standard_normal(n_samples), gain)
    return noise / (noise.std() + 1e-12)


def sloped_noise(n_samples: int, slope: float, rng: Generator) -> Signal:
    """Noise of unit power whose amplitude falls as frequency to the power of -slope (0 white, 0.5
    pink, 1 brown)."""
    noise = shaped(rng.standard_normal(n_samples), lambda f: np.maximum(f, 30.0) ** -slope)
    return noise / (noise.std() + 1e-12)


def wander(n_samples: int, rate_hz: float, rng: Generator) -> Signal:
    """A slow random curve between -1 and 1 with about `rate_hz` turns a second."""
    n_points = max(3, round(n_samples / SAMPLE_RATE * rate_hz * 2) + 2)
    points = rng.uniform(-1.0, 1.0, n_points)
    return np.interp(np.linspace(0, n_points - 1, n_samples), np.arange(n_points), points)


def struck(
    frequencies: Signal, weights: Signal, decay_s: Signal, length_s: float, rng: Generator
) -> Signal:
    """A struck body: damped modes (Hz, amplitude, seconds to 1/e), random phases."""
    t = seconds(samples(length_s))
    out = np.zeros(len(t))
    for frequency, weight, decay in zip(frequencies, weights, decay_s, strict=True):
        if frequency < NYQUIST_HZ:
            phase = rng.uniform(0, 2 * np.pi)
            out += weight * np.exp(-t / decay) * np.sin(2 * np.pi * frequency * t + phase)
    return out


def harmonic(pitch_hz: Signal | float, weights: Signal, n_samples: int, rng: Generator) -> Signal:
    """A tone of `n_samples` whose harmonics have these weights; its pitch may change."""
    pitch = np.broadcast_to(np.asarray(pitch_hz, np.float64), n_samples)
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    highest = float(pitch.max())
    out = np.zeros(n_samples)
    for number, weight in enumerate(weights, start=1):
        if highest * number > NYQUIST_HZ:
            break
        out += weight * np.sin(number * phase + rng.uniform(0, 2 * np.pi))
    return out


def often(length_s: float, rate_hz: float, rng: Generator) -> Iterator[float]:
    """Times of chance events, so many a second."""
    at = float(rng.exponential(1 / rate_hz))
    while at < length_s:
        yield at
        at += float(rng.exponential(1 / rate_hz))


def beats(length_s: float, period_s: float, jitter: float, rng: Generator) -> Iterator[float]:
    """Times of events that come regularly, but for `jitter` periods."""
    at = float(rng.uniform(0, period_s))
    while at < length_s:
        yield max(at + period_s * float(rng.normal(0, jitter)), 0.0)
        at += period_s
