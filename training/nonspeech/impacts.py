"""Sounds of things that hit each other: keys, doors, feet, hands, drums, glass, paper."""

import numpy as np

from training.nonspeech.shapes import (
    Generator,
    Signal,
    add,
    band_noise,
    beats,
    fade,
    harmonic,
    high_passed,
    log_uniform,
    often,
    samples,
    seconds,
    shaped,
    struck,
)


def _click(rng: Generator, low_hz: float, high_hz: float, decay_s: float) -> Signal:
    """A burst of noise that dies away."""
    t = seconds(samples(decay_s * 7))
    return band_noise(len(t), low_hz, high_hz, rng) * np.exp(-t / decay_s)


def _body(rng: Generator, low_hz: float, high_hz: float, n_modes: int, decay_s: float) -> Signal:
    """A random struck body whose higher modes die sooner."""
    frequencies = np.sort(np.exp(rng.uniform(np.log(low_hz), np.log(high_hz), n_modes)))
    decays = decay_s * (low_hz / frequencies) ** rng.uniform(0.2, 0.9) * rng.uniform(0.5, 1.5)
    return struck(frequencies, rng.uniform(0.2, 1.0, n_modes), decays, decay_s * 6, rng)


def typing(n_samples: int, rng: Generator) -> Signal:
    """A keyboard: words of strokes, each a click, a thud and the key coming up; now and then a
    mouse."""
    out, length_s = np.zeros(n_samples), n_samples / 16_000
    bright, tick_s = log_uniform(900, 4000, rng), log_uniform(0.0008, 0.006, rng)
    thud_hz, thud = log_uniform(90, 500, rng), rng.uniform(0.0, 1.0)
    rate_hz, at = rng.uniform(2.5, 11.0), float(rng.uniform(0, 1))
    while at < length_s:
        for _ in range(int(rng.integers(1, 12))):
            force = log_uniform(0.2, 1.0, rng)
            tick = _click(rng, bright * rng.uniform(0.6, 1.2), 7500, tick_s * rng.uniform(0.6, 1.6))
            add(out, at, force * tick)
            body = _body(rng, thud_hz, thud_hz * 6, 4, log_uniform(0.005, 0.03, rng))
            add(out, at + 0.003, force * thud * body)
            add(out, at + rng.uniform(0.05, 0.16), force * rng.uniform(0.05, 0.5) * tick)
            at += float(rng.gamma(4.0, 1 / (4.0 * rate_hz)))
        at += float(rng.exponential(rng.uniform(0.1, 1.2)))
    return out


def knocks(n_samples: int, rng: Generator) -> Signal:
    """Somebody knocks at a door or hammers, several times, and waits."""
    out, at = np.zeros(n_samples), float(rng.uniform(0, 1))
    low_hz, decay_s = log_uniform(70, 500, rng), log_uniform(0.01, 0.08, rng)
    while at < n_samples / 16_000:
        period_s = rng.uniform(0.12, 0.6)
        for _ in range(int(rng.integers(1, 8))):
            force = rng.uniform(0.5, 1.0)
            add(out, at, force * _body(rng, low_hz, low_hz * 8, 6, decay_s))
            add(out, at, force * _click(rng, 300, 4000, 0.003) * 0.5)
            at += period_s * float(rng.uniform(0.85, 1.15))
        at += float(rng.uniform(0.3, 3.0))
    return out


def footsteps(n_samples: int, rng: Generator) -> Signal:
    """Steps on a floor: heel and toe."""
    out = np.zeros(n_samples)
    low_hz, high_hz = log_uniform(50, 200, rng), log_uniform(400, 5000, rng)
    gap_s, decay_s = rng.uniform(0.03, 0.14), log_uniform(0.008, 0.05, rng)
    for at in beats(n_samples / 16_000, rng.uniform(0.35, 0.8), 0.05, rng):
        force = rng.uniform(0.5, 1.0)
        add(out, at, force * _click(rng, low_hz, high_hz, decay_s))
        add(out, at, force * _body(rng, low_hz, low_hz * 5, 3, decay_s * 2))
        add(out, at + gap_s, 0.5 * force * _click(rng, low_hz * 2, high_hz * 1.5, decay_s * 2))
    return out


def claps(n_samples: int, rng: Generator) -> Signal:
    """One person claps in time, or snaps fingers."""
    out = np.zeros(n_samples)
    centre_hz, decay_s = log_uniform(700, 3000, rng), log_uniform(0.004, 0.03, rng)
    for at in beats(n_samples / 16_000, rng.uniform(0.2, 0.9), rng.uniform(0, 0.1), rng):
        middle = centre_hz * float(rng.uniform(0.8, 1.25))
        for echo in range(int(rng.integers(1, 4))):
            piece = _click(rng, middle * 0.6, middle * 1.7, decay_s)
            add(out, at + 0.008 * echo, piece * rng.uniform(0.4, 1.0))
    return out


def drums(n_samples: int, rng: Generator) -> Signal:
    """A drum kit plays a pattern of sixteen steps."""
    out, tempo_s = np.zeros(n_samples), 60 / rng.uniform(70, 180) / 4
    t = seconds(samples(0.4))
    top_hz, end_hz, drop_s = rng.uniform(80, 250), rng.uniform(35, 70), log_uniform(0.01, 0.06, rng)
    pitch = end_hz + top_hz * np.exp(-t / drop_s)
    kick = harmonic(pitch, np.array([1.0, 0.2]), len(t), rng) * np.exp(-t / rng.uniform(0.05, 0.2))
    shell = struck(rng.uniform(150, 400, 3), np.ones(3), rng.uniform(0.03, 0.12, 3), t[-1], rng)
    snare = shell[: len(t) - 1] * 0.5
    snare += band_noise(len(snare), 800, 7000, rng) * np.exp(
        -t[: len(snare)] / rng.uniform(0.03, 0.15)
    )
    hat = band_noise(len(t), 4500, 7500, rng) * np.exp(-t / log_uniform(0.01, 0.15, rng))
    toms = [_body(rng, hz, hz * 4, 4, 0.15) for hz in rng.uniform(80, 300, 3)]
    kit = [(kick, 0.3), (snare, 0.2), (hat, 0.6), *((tom, 0.08) for tom in toms)]
    pattern = [rng.random(16) < rng.uniform(0.3, 1.6) * share for _, share in kit]
    for step, at in enumerate(beats(n_samples / 16_000, tempo_s, 0.02, rng)):
        for (piece, _), row in zip(kit, pattern, strict=True):
            if row[step % 16] != (rng.random() < 0.05):
                add(out, at, piece * rng.uniform(0.5, 1.0))
    return out


def clinks(n_samples: int, rng: Generator) -> Signal:
    """Glasses, cutlery, dishes, coins, keys on a ring."""
    out = np.zeros(n_samples)
    low_hz, decay_s = log_uniform(600, 3500, rng), log_uniform(0.02, 0.5, rng)
    for at in often(n_samples / 16_000, log_uniform(0.5, 8, rng), rng):
        for bounce in range(int(rng.integers(1, 4))):
            body = _body(rng, low_hz, 7500, int(rng.integers(3, 9)), decay_s)
            add(out, at + bounce * rng.uniform(0.02, 0.12), body * log_uniform(0.1, 1, rng))
    return out


def rustle(n_samples: int, rng: Generator) -> Signal:
    """Paper, cloth or plastic: strokes of many small cracks."""
    out = np.zeros(n_samples)
    for at in often(n_samples / 16_000, log_uniform(0.4, 4, rng), rng):
        n = samples(rng.uniform(0.05, 0.8))
        cracks = rng.standard_normal(n) * (rng.random(n) < log_uniform(0.005, 0.5, rng))
        low_hz = log_uniform(300, 3000, rng)
        tone = high_passed(cracks, low_hz)
        add(out, at, fade(tone, 0.3 * n / 16_000, 0.5 * n / 16_000) * log_uniform(0.1, 1, rng))
    return out


def scraping(n_samples: int, rng: Generator) -> Signal:
    """Sawing, brushing, scratching, a zip: strokes of noise to and fro."""
    out = np.zeros(n_samples)
    low_hz, period_s = log_uniform(200, 3000, rng), log_uniform(0.15, 1.2, rng)
    teeth_hz, depth = log_uniform(20, 300, rng), rng.uniform(0, 1)
    for number, at in enumerate(beats(n_samples / 16_000, period_s, 0.08, rng)):
        n = samples(period_s * rng.uniform(0.5, 0.9))
        higher = 1.3 if number % 2 else 1.0
        stroke = band_noise(n, low_hz * higher, low_hz * 5 * higher, rng)
        stroke *= 1 + depth * np.sign(np.sin(2 * np.pi * teeth_hz * seconds(n)))
        add(out, at, fade(stroke, 0.4 * n / 16_000, 0.4 * n / 16_000) * rng.uniform(0.5, 1.0))
    return out


def barks(n_samples: int, rng: Generator) -> Signal:
    """A dog, or another animal, in short hoarse bursts."""
    out, at = np.zeros(n_samples), float(rng.uniform(0, 1))
    base_hz, length_s = log_uniform(200, 1000, rng), rng.uniform(0.06, 0.25)
    middle_hz = log_uniform(500, 2000, rng)
    while at < n_samples / 16_000:
        for _ in range(int(rng.integers(1, 6))):
            n = samples(length_s * rng.uniform(0.8, 1.3))
            arc = np.sin(np.pi * np.linspace(0.1, 1, n))
            source = harmonic(base_hz * (0.7 + 0.5 * arc), np.ones(30), n, rng)
            source = source / (source.std() + 1e-9) + rng.uniform(0.3, 2) * rng.standard_normal(n)
            burst = shaped(source, lambda f: 1 / (1 + ((f - middle_hz) / (0.5 * middle_hz)) ** 2))
            add(out, at, burst * arc**2 * rng.uniform(0.6, 1.0))
            at += length_s * float(rng.uniform(1.4, 3.0))
        at += float(rng.uniform(0.2, 3.0))
    return out
