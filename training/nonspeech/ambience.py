"""Sounds of machines and weather: fans, engines, hum, air, rain, wind, water, traffic, clocks."""

import numpy as np

from training.nonspeech.shapes import (
    SAMPLE_RATE,
    Generator,
    Signal,
    add,
    band_noise,
    fade,
    harmonic,
    high_passed,
    log_uniform,
    often,
    samples,
    seconds,
    shaped,
    sloped_noise,
    struck,
    wander,
)


def fan(n_samples: int, rng: Generator) -> Signal:
    """A fan or a ventilation: noise of air, a tone where blades pass, both swelling slowly."""
    blades_hz = log_uniform(40, 500, rng) * (1 + 0.02 * wander(n_samples, 0.3, rng))
    tone = harmonic(blades_hz, np.arange(1, 15) ** -rng.uniform(0.5, 2), n_samples, rng)
    air = sloped_noise(n_samples, rng.uniform(0.2, 1.0), rng)
    out = air + log_uniform(0.05, 2.0, rng) * tone / (tone.std() + 1e-9)
    return out * (
        1 + rng.uniform(0, 0.4) * np.sin(2 * np.pi * rng.uniform(0.1, 4) * seconds(n_samples))
    )


def engine(n_samples: int, rng: Generator) -> Signal:
    """A motor that idles, revs or drives by: pulses through resonances, and noise."""
    rate = log_uniform(15, 150, rng) * 2 ** (rng.uniform(0, 1) * wander(n_samples, 0.3, rng))
    pulses = harmonic(rate, np.ones(40) * rng.uniform(0.3, 1, 40), n_samples, rng)
    middle_hz = rng.uniform(80, 1500, 3)
    pulses = shaped(
        pulses, lambda f: 0.05 + sum(1 / (1 + ((f - hz) / (0.3 * hz)) ** 2) for hz in middle_hz)
    )
    noise = sloped_noise(n_samples, rng.uniform(0.4, 1.0), rng)
    out = pulses / (pulses.std() + 1e-9) + rng.uniform(0.1, 1.0) * noise
    return out * (1 + rng.uniform(0, 0.8) * wander(n_samples, 0.2, rng))


def hum(n_samples: int, rng: Generator) -> Signal:
    """Mains hum and buzz of a transformer or a lamp."""
    mains_hz = float(rng.choice([50.0, 60.0, 100.0, 120.0]))
    tone = harmonic(mains_hz, np.arange(1, 40) ** -rng.uniform(0.3, 2.0), n_samples, rng)
    return tone / tone.std() + log_uniform(0.01, 0.5, rng) * sloped_noise(n_samples, 0.5, rng)


def air(n_samples: int, rng: Generator) -> Signal:
    """Steady noise of any colour: a room, a tape, a radio between stations."""
    if rng.random() < 0.3:
        low_hz = log_uniform(50, 3000, rng)
        return band_noise(n_samples, low_hz, low_hz * log_uniform(1.5, 20, rng), rng)
    return sloped_noise(n_samples, rng.uniform(0.0, 1.2), rng)


def rain(n_samples: int, rng: Generator) -> Signal:
    """Rain, frying, static: many small drops over noise."""
    drops: Signal = rng.standard_normal(n_samples) * (
        rng.random(n_samples) < log_uniform(1e-4, 0.05, rng)
    )
    drops *= rng.exponential(1, n_samples)
    drops = high_passed(drops, log_uniform(500, 4000, rng))
    swell = 1 + 0.5 * wander(n_samples, 0.3, rng)
    noise = sloped_noise(n_samples, rng.uniform(0, 0.5), rng)
    return (drops / (drops.std() + 1e-9) + log_uniform(0.05, 1, rng) * noise) * swell


def wind(n_samples: int, rng: Generator) -> Signal:
    """Wind on a microphone and around a house: low noise in gusts, a howl that rises with them."""
    gusts = np.exp(rng.uniform(0.3, 1.5) * wander(n_samples, rng.uniform(0.2, 1.5), rng))
    low = sloped_noise(n_samples, rng.uniform(0.8, 1.5), rng) * gusts
    centre_hz = log_uniform(200, 900, rng)
    howl = band_noise(n_samples, centre_hz * 0.9, centre_hz * 1.1, rng) * gusts**2
    return low + rng.uniform(0, 0.5) * howl


def water(n_samples: int, rng: Generator) -> Signal:
    """A tap, a brook, something poured: bubbles, each a short rising tone."""
    out = np.zeros(n_samples)
    low_hz, high_hz = log_uniform(200, 800, rng), log_uniform(1000, 5000, rng)
    for at in often(n_samples / SAMPLE_RATE, log_uniform(3, 60, rng), rng):
        pitch, decay_s = log_uniform(low_hz, high_hz, rng), log_uniform(0.004, 0.05, rng)
        t = seconds(samples(decay_s * 5))
        rising = np.sin(2 * np.pi * pitch * t * (1 + rng.uniform(0, 0.3) * t / t[-1].clip(1e-3)))
        add(out, at, rising * np.exp(-t / decay_s) * log_uniform(0.1, 1, rng))
    return out / (out.std() + 1e-9) + log_uniform(0.02, 1.0, rng) * band_noise(
        n_samples, 400, 6000, rng
    )


def traffic(n_samples: int, rng: Generator) -> Signal:
    """Vehicles that pass: noise that swells, brightens and falls."""
    out = 0.1 * sloped_noise(n_samples, 0.7, rng)
    for at in often(n_samples / SAMPLE_RATE, log_uniform(0.1, 0.8, rng), rng):
        n = samples(rng.uniform(2, 6))
        tyres = band_noise(n, log_uniform(60, 400, rng), log_uniform(800, 3000, rng), rng)
        motor = harmonic(log_uniform(40, 150, rng), np.ones(20), n, rng)
        add(out, at - 1, fade(tyres + 0.2 * motor, 0.45 * n / SAMPLE_RATE, 0.45 * n / SAMPLE_RATE))
    return out


def clockwork(n_samples: int, rng: Generator) -> Signal:
    """A clock, a printer, a sewing machine, a train: the same few knocks over and over."""
    period_s = log_uniform(0.06, 1.2, rng)
    n, cycle = samples(period_s), np.zeros(samples(period_s))
    for _ in range(int(rng.integers(1, 6))):
        modes = np.exp(rng.uniform(np.log(100), np.log(6000), 4))
        decays = np.full(4, log_uniform(0.002, 0.03, rng))
        body = struck(modes, rng.uniform(0.2, 1, 4), decays, 0.15, rng)
        add(cycle, rng.uniform(0, period_s), body * rng.uniform(0.2, 1))
    out = np.resize(cycle, n_samples + n)[int(rng.integers(n)) :][:n_samples]
    return out + log_uniform(0.001, 0.3, rng) * out.std() * sloped_noise(n_samples, 0.5, rng)
