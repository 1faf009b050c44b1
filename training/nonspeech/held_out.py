"""Kinds of sounds that training never hears: what it makes of them says how far it carries."""

import numpy as np

from training.nonspeech.shapes import (
    SAMPLE_RATE,
    Generator,
    Signal,
    add,
    band_noise,
    beats,
    fade,
    harmonic,
    log_uniform,
    often,
    samples,
    seconds,
    sloped_noise,
    struck,
    wander,
)


def line_ringing(n_samples: int, rng: Generator) -> Signal:
    """The tone that a caller hears, of North America (440 and 480 Hz, 2 of 6 s) or Britain (400
    and 450 Hz, twice 0.4 s of 3 s): ITU-T E.180."""
    t = seconds(n_samples) + rng.uniform(0, 6)
    if rng.random() < 0.5:
        pair, on = (440.0, 480.0), t % 6 < 2
    else:
        pair, on = (400.0, 450.0), (t % 3 < 0.4) | ((t % 3 >= 0.6) & (t % 3 < 1.0))
    return np.asarray(sum(np.sin(2 * np.pi * hz * t) for hz in pair)) * on


def xylophone(n_samples: int, rng: Generator) -> Signal:
    """Wooden bars, struck: partials of a free bar tuned to 1 : 3 : 6 or left at 1 : 2.76 : 5.40."""
    ratios = np.array([1.0, 3.0, 6.0] if rng.random() < 0.5 else [1.0, 2.76, 5.40])
    out, decay_s = np.zeros(n_samples), rng.uniform(0.08, 0.5)
    for at in beats(n_samples / SAMPLE_RATE, rng.uniform(0.12, 0.5), 0.05, rng):
        pitch = 350 * 2 ** (rng.choice([0, 2, 4, 7, 9, 12, 14, 16, 19]) / 12)
        weights, decays = np.array([1.0, 0.4, 0.2]), decay_s / np.array([1, 2.5, 5])
        add(
            out, at, struck(pitch * ratios, weights, decays, 4 * decay_s, rng) * rng.uniform(0.4, 1)
        )
    return out


def harmonica(n_samples: int, rng: Generator) -> Signal:
    """Free reeds, two or three at once, a little apart in pitch, drawn and blown."""
    out, weights = np.zeros(n_samples), np.arange(1, 20) ** -rng.uniform(0.7, 1.3)
    at = float(rng.uniform(0, 0.5))
    while at < n_samples / SAMPLE_RATE:
        n = samples(rng.uniform(0.2, 1.2))
        root = 262 * 2 ** (rng.choice([0, 2, 4, 5, 7, 9, 11, 12]) / 12)
        for ratio in (1.0, 1.26, 1.5)[: int(rng.integers(2, 4))]:
            tone = harmonic(root * ratio * (1 + rng.normal(0, 0.003)), weights, n, rng)
            add(out, at, fade(tone, 0.04, 0.05))
        at += n / SAMPLE_RATE + float(rng.choice([0, 0, 0.4]))
    return out


def applause(n_samples: int, rng: Generator) -> Signal:
    """Many hands: claps without number that swell and ebb."""
    out, rate_hz = np.zeros(n_samples), log_uniform(15, 80, rng)
    pieces = []
    for _ in range(40):
        middle_hz, t = rng.uniform(700, 2500), seconds(samples(0.05))
        decay = np.exp(-t / rng.uniform(0.003, 0.012))
        pieces.append(band_noise(len(t), middle_hz * 0.6, middle_hz * 1.6, rng) * decay)
    for at in often(n_samples / SAMPLE_RATE, rate_hz, rng):
        add(out, at, pieces[int(rng.integers(40))] * log_uniform(0.1, 1, rng))
    return out * (1.2 + wander(n_samples, 0.2, rng))


def vacuum(n_samples: int, rng: Generator) -> Signal:
    """A vacuum cleaner: it runs up, a high motor tone over rushing air, strokes to and fro."""
    up = 1 - np.exp(-seconds(n_samples) / rng.uniform(0.3, 1.5))
    stroke = np.sin(2 * np.pi * rng.uniform(0.2, 0.7) * seconds(n_samples))
    motor = harmonic(rng.uniform(250, 600) * up * (1 + 0.02 * stroke), np.ones(8), n_samples, rng)
    air = band_noise(n_samples, rng.uniform(200, 800), 5000, rng) * (1 + 0.2 * stroke)
    return (air + rng.uniform(0.1, 0.5) * motor / (motor.std() + 1e-9)) * up


def crickets(n_samples: int, rng: Generator) -> Signal:
    """Crickets: pulses of a high tone in chirps."""
    out = 0.02 * sloped_noise(n_samples, 0.5, rng)
    for _ in range(int(rng.integers(1, 4))):
        t, hz = seconds(n_samples), rng.uniform(3500, 5500)
        pulses = np.maximum(np.sin(2 * np.pi * rng.uniform(20, 60) * t), 0)
        chirps = (t * rng.uniform(1, 3) + rng.random()) % 1 < rng.uniform(0.2, 0.6)
        out += rng.uniform(0.3, 1) * np.sin(2 * np.pi * hz * t) * pulses * chirps
    return out


def helicopter(n_samples: int, rng: Generator) -> Signal:
    """A rotor: thumps of low noise 10 to 25 times a second under a turbine."""
    t, rate_hz = seconds(n_samples), rng.uniform(10, 25)
    thump = np.exp(-((t * rate_hz) % 1) * rng.uniform(3, 8))
    blades = band_noise(n_samples, 60, 900, rng) * thump
    return blades + rng.uniform(0.05, 0.3) * band_noise(n_samples, 2000, 6000, rng)
