"""Sounds of instruments: plucked, struck, bowed and blown notes, chords, and all at once."""

from collections.abc import Callable, Iterator

import numpy as np

from training.nonspeech.impacts import drums
from training.nonspeech.shapes import (
    NYQUIST_HZ,
    SAMPLE_RATE,
    Generator,
    Signal,
    add,
    band_noise,
    fade,
    harmonic,
    log_uniform,
    samples,
    seconds,
    shaped,
    wander,
)

SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 6, 7, 10))
"""Major, minor, pentatonic, blues."""

Note = Callable[[float, float, Generator], Signal]
"""Pitch in Hz and length in seconds to a note."""


def _melody(
    length_s: float, base_hz: float, rng: Generator
) -> Iterator[tuple[float, float, float]]:
    """Start and length in seconds and pitch of notes: walks up and down a scale, with leaps,
    rests and, often, several notes at once."""
    scale = np.array(SCALES[int(rng.integers(len(SCALES)))])
    unit_s, tune_semitones = log_uniform(0.08, 0.6, rng), rng.uniform(-0.5, 0.5)
    degree, at, held = 0, float(rng.uniform(0, 0.5)), rng.uniform(0.6, 2.5)
    n_voices = int(rng.choice([1, 1, 2, 3, 4]))
    while at < length_s:
        steps = unit_s * float(rng.choice([1, 1, 1, 2, 2, 4]))
        degree = int(np.clip(degree + rng.integers(-3, 4), -7, 12))
        if rng.random() > 0.08:
            for above in range(n_voices if rng.random() < 0.6 else 1):
                octave, place = divmod(degree + 2 * above, len(scale))
                semitones = scale[place] + 12 * octave + tune_semitones
                yield at, steps * held, base_hz * 2 ** (semitones / 12)
        at += steps


def _played(n_samples: int, note: Note, low_hz: float, high_hz: float, rng: Generator) -> Signal:
    out = np.zeros(n_samples)
    for at, length_s, pitch in _melody(
        n_samples / SAMPLE_RATE, log_uniform(low_hz, high_hz, rng), rng
    ):
        add(out, at, note(pitch, min(length_s, 2.0), rng) * rng.uniform(0.4, 1.0))
    return out


def _decaying(
    pitch: float,
    length_s: float,
    weights: Signal,
    decay_s: Signal,
    stiffness: float,
    rng: Generator,
) -> Signal:
    """A string let alone: partials stretched by its stiffness, each with its own decay."""
    t, numbers = seconds(samples(length_s)), np.arange(1, len(weights) + 1)
    partials = pitch * numbers * np.sqrt(1 + stiffness * numbers**2)
    out = np.zeros(len(t))
    for hz, weight, decay in zip(partials, weights, decay_s, strict=True):
        if hz > NYQUIST_HZ:
            break
        out += weight * np.exp(-t / decay) * np.sin(2 * np.pi * hz * t + rng.uniform(0, 0.5))
    return fade(out, 0.001, 0.02)


def plucked(n_samples: int, rng: Generator) -> Signal:
    """A guitar, a harp, a bass or a banjo: harmonics by where the string is plucked."""
    place, dark = rng.uniform(0.05, 0.5), rng.uniform(0.5, 2.0)
    decay_s, stiffness = log_uniform(0.1, 2.5, rng), log_uniform(1e-6, 5e-4, rng)
    numbers = np.arange(1, int(rng.integers(6, 25)))
    weights = np.abs(np.sin(np.pi * numbers * place)) / numbers**dark
    decays = decay_s / (1 + rng.uniform(0.05, 0.6) * (numbers - 1))

    def note(pitch: float, length_s: float, rng: Generator) -> Signal:
        return _decaying(pitch, length_s, weights, decays, stiffness, rng)

    return _played(n_samples, note, 80, 600, rng)


def keyed(n_samples: int, rng: Generator) -> Signal:
    """A piano or an electric one: hammer, two or three strings a note, two decays."""
    dark, stiffness = rng.uniform(0.7, 2.2), log_uniform(1e-5, 1e-3, rng)
    quick_s, slow_s = log_uniform(0.1, 0.6, rng), log_uniform(0.6, 4.0, rng)
    numbers = np.arange(1, int(rng.integers(6, 18)))
    weights, hammer = numbers**-dark, rng.uniform(0, 0.3)

    def note(pitch: float, length_s: float, rng: Generator) -> Signal:
        out = np.zeros(samples(length_s))
        for decay_s in (quick_s, slow_s):
            detuned = pitch * (1 + rng.normal(0, 0.001))
            decays = decay_s / numbers ** rng.uniform(0.2, 0.9)
            out += _decaying(detuned, length_s, weights, decays, stiffness, rng)
        knock = band_noise(len(out), 200, 3000, rng) * np.exp(-seconds(len(out)) / 0.01)
        return out + hammer * knock

    return _played(n_samples, note, 90, 700, rng)


def bowed(n_samples: int, rng: Generator) -> Signal:
    """A violin or a cello: a saw with vibrato and slow attack, through a body."""
    body_hz, attack_s = rng.uniform(250, 3500, 3), rng.uniform(0.03, 0.25)
    vibrato_hz, depth, scratch = rng.uniform(4, 7), rng.uniform(0, 0.015), rng.uniform(0, 0.15)
    weights = np.arange(1, 25) ** -rng.uniform(0.8, 1.6)

    def note(pitch: float, length_s: float, rng: Generator) -> Signal:
        n = samples(max(length_s, 0.15))
        bend = 1 + depth * np.sin(2 * np.pi * vibrato_hz * seconds(n) + rng.uniform(0, 6))
        tone = harmonic(pitch * bend, weights, n, rng)
        tone += scratch * band_noise(n, 500, 5000, rng)
        return fade(tone, attack_s, 0.08)

    out = _played(n_samples, note, 70, 500, rng)
    return shaped(
        out, lambda f: 0.3 + sum(1 / (1 + ((f - hz) / (0.2 * hz)) ** 2) for hz in body_hz)
    )


def organ(n_samples: int, rng: Generator) -> Signal:
    """An organ, an accordion or a pad of strings: steady chords with beats."""
    weights = np.zeros(16)
    weights[[0, 1, 2, 3, 5, 7]] = rng.uniform(0, 1, 6)
    weights += rng.uniform(0, 0.3) / np.arange(1, 17)
    attack_s, trembles = rng.uniform(0.005, 0.3), rng.uniform(0, 0.5)
    rate_hz = rng.uniform(3, 8)

    def note(pitch: float, length_s: float, rng: Generator) -> Signal:
        n = samples(length_s)
        tone = harmonic(pitch, weights, n, rng) + harmonic(pitch * 1.004, 0.5 * weights, n, rng)
        return fade(tone, attack_s, 0.05)

    out = _played(n_samples, note, 60, 500, rng)
    return out * (1 + trembles * np.sin(2 * np.pi * rate_hz * seconds(n_samples)))


def blown(n_samples: int, rng: Generator) -> Signal:
    """A flute, a clarinet, a trumpet: harmonics that brighten as the note swells, and breath."""
    dark, bright = rng.uniform(0.8, 3.0), rng.uniform(0, 1)
    odd, attack_s = rng.random() < 0.3, rng.uniform(0.02, 0.12)
    breath, vibrato_hz, depth = rng.uniform(0, 0.2), rng.uniform(3, 7), rng.uniform(0, 0.012)
    numbers = np.arange(1, 20)
    soft, loud = numbers ** -(dark + 1.0), numbers**-dark
    if odd:
        soft[1::2], loud[1::2] = 0.1 * soft[1::2], 0.1 * loud[1::2]

    def note(pitch: float, length_s: float, rng: Generator) -> Signal:
        n = samples(max(length_s, 0.1))
        bend = 1 + depth * np.sin(2 * np.pi * vibrato_hz * seconds(n))
        swell = np.sin(np.pi * np.linspace(0, 1, n))
        tone = harmonic(pitch * bend, soft, n, rng)
        tone += bright * swell * harmonic(pitch * bend, loud, n, rng)
        return fade(tone + breath * band_noise(n, 400, 5000, rng), attack_s, 0.06)

    return _played(n_samples, note, 150, 900, rng)


def synthetic(n_samples: int, rng: Generator) -> Signal:
    """A synthesizer: tones that modulate tones, or saws under a filter that moves."""
    ratio, index = float(rng.choice([0.5, 1, 1.41, 2, 3, 3.5, 7])), log_uniform(0.3, 8, rng)
    decay_s, saw = log_uniform(0.05, 1.5, rng), rng.random() < 0.5
    weights = 1 / np.arange(1, 25)

    def note(pitch: float, length_s: float, rng: Generator) -> Signal:
        t = seconds(samples(length_s))
        level = np.exp(-t / decay_s)
        if saw:
            return fade(harmonic(pitch, weights, len(t), rng) * level, 0.005, 0.02)
        other = index * level * np.sin(2 * np.pi * pitch * ratio * t)
        return fade(np.sin(2 * np.pi * pitch * t + other) * level, 0.003, 0.02)

    out = _played(n_samples, note, 60, 900, rng)
    cutoff_hz = log_uniform(600, 6000, rng)
    dull = shaped(out, lambda f: 1 / (1 + (f / cutoff_hz) ** 4))
    open_share = 0.5 + 0.5 * wander(n_samples, 0.5, rng)
    return dull + open_share * (out - dull)


def band(n_samples: int, rng: Generator) -> Signal:
    """Several instruments at once, mostly with drums: music from a radio."""
    parts = (plucked, keyed, bowed, organ, blown, synthetic)
    out = np.zeros(n_samples)
    for index in rng.choice(len(parts), int(rng.integers(2, 4)), replace=False):
        part = parts[int(index)](n_samples, rng)
        out += rng.uniform(0.3, 1.0) * part / (part.std() + 1e-9)
    if rng.random() < 0.7:
        beat = drums(n_samples, rng)
        out += rng.uniform(0.3, 1.5) * beat / (beat.std() + 1e-9)
    return out
