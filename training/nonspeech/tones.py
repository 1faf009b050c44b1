"""Sounds of signalling: telephones, alarms, sirens, keypads, modems, whistles, birds, bells."""

import numpy as np

from training.nonspeech.shapes import (
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
    sloped_noise,
    struck,
    wander,
)


def _timbre(rng: Generator) -> Signal:
    """Weights of harmonics, from a pure tone to a buzz."""
    numbers = np.arange(1, 20)
    weights = numbers ** -rng.uniform(0.5, 4.0)
    if rng.random() < 0.3:
        weights[1::2] = 0.0  # as a square wave
    return weights


def _cadence(n_samples: int, rng: Generator) -> Signal:
    """On and off in a pattern that repeats, with soft edges, `[n]` between 0 and 1."""
    out, at = np.zeros(n_samples), float(rng.uniform(-1, 1))
    spans = [log_uniform(0.05, 2.5, rng) for _ in range(2 * int(rng.integers(1, 4)))]
    spans[-1] *= rng.uniform(1, 3)
    while at < n_samples / SAMPLE_RATE:
        for on_s, off_s in zip(spans[::2], spans[1::2], strict=True):
            add(out, at, fade(np.ones(samples(on_s)), 0.004, 0.01))
            at += on_s + off_s
    return out


def ringing(n_samples: int, rng: Generator) -> Signal:
    """A telephone that rings or a line that is busy: two tones at once or in turns, in cadence."""
    low_hz = log_uniform(280, 1800, rng)
    high_hz = low_hz * rng.uniform(1.03, 1.9)
    timbre = _timbre(rng)
    if rng.random() < 0.5:
        both = sum(harmonic(hz, timbre, n_samples, rng) for hz in (low_hz, high_hz))
        return np.asarray(both) * _cadence(n_samples, rng)
    turns = np.sin(2 * np.pi * log_uniform(4, 30, rng) * seconds(n_samples)) > 0
    return harmonic(np.where(turns, low_hz, high_hz), timbre, n_samples, rng) * _cadence(
        n_samples, rng
    )


def tune(n_samples: int, rng: Generator) -> Signal:
    """A mobile telephone's melody, a music box, an arcade game: short notes of one timbre."""
    out, at = np.zeros(n_samples), float(rng.uniform(0, 0.5))
    timbre, base_hz = _timbre(rng), log_uniform(300, 1500, rng)
    melody, unit_s = rng.integers(-7, 13, int(rng.integers(4, 24))), rng.uniform(0.07, 0.3)
    lengths, decay_s = rng.integers(1, 4, len(melody)), log_uniform(0.05, 2, rng)
    while at < n_samples / SAMPLE_RATE:
        for semitones, length in zip(melody, lengths, strict=True):
            n = samples(unit_s * length)
            note = harmonic(base_hz * 2 ** (semitones / 12), timbre, n, rng)
            add(out, at, fade(note * np.exp(-seconds(n) / decay_s), 0.003, 0.01))
            at += unit_s * length * float(rng.choice([1.0, 1.0, 1.5]))
        at += float(rng.uniform(0, 2))
    return out


def beeps(n_samples: int, rng: Generator) -> Signal:
    """An alarm clock, a smoke alarm, a lorry in reverse, a machine in hospital: one tone, in
    cadence."""
    pitch = log_uniform(350, 4000, rng)
    return harmonic(pitch, _timbre(rng), n_samples, rng) * _cadence(n_samples, rng)


def siren(n_samples: int, rng: Generator) -> Signal:
    """An engine of police, ambulance or fire: wail, yelp, two tones, or a motor siren; it may pass
    by."""
    t = seconds(n_samples)
    low_hz = log_uniform(250, 900, rng)
    high_hz = low_hz * rng.uniform(1.25, 3.0)
    rate_hz = log_uniform(0.08, 6.0, rng)
    phase = (rate_hz * t + rng.random()) % 1.0
    share = rng.uniform(0.1, 0.9)
    triangle = np.where(phase < share, phase / share, (1 - phase) / (1 - share))
    shape = int(rng.integers(4))
    curve = (
        triangle,
        0.5 - 0.5 * np.cos(2 * np.pi * phase),
        (phase < share).astype(np.float64),
        1 - np.exp(-3 * triangle),
    )[shape]
    shift = 1 + rng.uniform(0, 0.06) * np.tanh(
        (rng.uniform(0, t[-1] + 1) - t) * rng.uniform(0.2, 2)
    )
    tone = harmonic((low_hz + (high_hz - low_hz) * curve) * shift, _timbre(rng), n_samples, rng)
    return tone * (1 + rng.uniform(0, 0.9) * wander(n_samples, 0.2, rng))


def sweep(n_samples: int, rng: Generator) -> Signal:
    """A test tone: steady, or slowly up and down."""
    centre_hz, octaves = log_uniform(100, 4000, rng), rng.uniform(0, 1.5) * (rng.random() < 0.6)
    pitch = np.minimum(centre_hz * 2 ** (octaves * wander(n_samples, 0.2, rng)), 7500)
    weights = _timbre(rng) if rng.random() < 0.5 else np.ones(1)
    return harmonic(pitch, weights, n_samples, rng)


def keypad(n_samples: int, rng: Generator) -> Signal:
    """Digits dialled: pairs of tones of ITU-T Q.23."""
    rows, columns = (697.0, 770.0, 852.0, 941.0), (1209.0, 1336.0, 1477.0, 1633.0)
    out, at = np.zeros(n_samples), float(rng.uniform(0, 1))
    on_s, off_s = rng.uniform(0.05, 0.35), rng.uniform(0.04, 0.5)
    while at < n_samples / SAMPLE_RATE:
        for _ in range(int(rng.integers(3, 13))):
            pair = (rows[int(rng.integers(4))], columns[int(rng.integers(4))])
            both = sum(harmonic(hz, np.ones(1), samples(on_s), rng) for hz in pair)
            add(out, at, fade(np.asarray(both), 0.002, 0.002))
            at += on_s + off_s * float(rng.uniform(0.7, 1.4))
        at += float(rng.uniform(0, 3))
    return out


def modem(n_samples: int, rng: Generator) -> Signal:
    """Fax and modem: answer tone, bits as two tones, bits as noise in a band."""
    out, at = np.zeros(n_samples), 0.0
    while at < n_samples / SAMPLE_RATE:
        n = samples(rng.uniform(0.3, 4))
        kind = int(rng.integers(3))
        low_hz = rng.uniform(600, 2200)
        if kind == 0:
            piece = harmonic(low_hz, np.ones(1), n, rng)
        elif kind == 1:
            hold = SAMPLE_RATE // int(rng.integers(75, 1200))
            bits = rng.integers(0, 2, n // hold + 1).repeat(hold)
            high_hz = low_hz + rng.uniform(80, 1000)
            piece = harmonic(np.where(bits[:n] > 0, low_hz, high_hz), np.ones(1), n, rng)
        else:
            piece = band_noise(n, 500, 3000, rng)
        add(out, at, fade(piece, 0.003, 0.003))
        at += n / SAMPLE_RATE + float(rng.uniform(0, 0.3))
    return out


def whistling(n_samples: int, rng: Generator) -> Signal:
    """A kettle, a whistle, somebody whistling a tune: nearly pure, with breath."""
    pitch, at = np.full(n_samples, log_uniform(500, 2500, rng)), 0
    level = np.zeros(n_samples)
    while at < n_samples:
        n = samples(log_uniform(0.08, 2.5, rng))
        pitch[at:] *= 2 ** (rng.integers(-5, 6) / 12)
        level[at : at + n] = fade(np.ones(n), 0.03, 0.05)[: max(n_samples - at, 0)]
        at += n + samples(rng.uniform(0, 0.6)) * int(rng.random() < 0.5)
    pitch = np.clip(pitch, 400, 4500)
    kernel = np.ones(samples(rng.uniform(0.005, 0.08)))
    pitch = np.convolve(np.pad(pitch, len(kernel), "edge"), kernel / len(kernel), "same")
    pitch = pitch[len(kernel) : -len(kernel)]
    vibrato = np.sin(2 * np.pi * rng.uniform(3, 8) * seconds(n_samples))
    tone = harmonic(
        pitch * (1 + rng.uniform(0, 0.02) * vibrato), np.array([1, 0.05]), n_samples, rng
    )
    breath = band_noise(n_samples, 800, 6000, rng) * log_uniform(0.005, 0.2, rng)
    return (tone + breath) * level


def birds(n_samples: int, rng: Generator) -> Signal:
    """Birds: phrases of fast glides and trills."""
    out = np.zeros(n_samples)
    for _ in range(int(rng.integers(1, 4))):
        at, base_hz, loud = (
            float(rng.uniform(0, 2)),
            log_uniform(1200, 5500, rng),
            rng.uniform(0.2, 1),
        )
        while at < n_samples / SAMPLE_RATE:
            n = samples(rng.uniform(0.03, 0.3))
            ends = base_hz * 2 ** rng.uniform(-0.6, 0.6, 3)
            glide = np.interp(np.linspace(0, 2, n), np.arange(3), ends)
            for _ in range(int(rng.integers(1, 10))):
                add(out, at, loud * fade(harmonic(glide, np.array([1, 0.1]), n, rng), 0.01, 0.01))
                at += n / SAMPLE_RATE * float(rng.uniform(1.0, 1.6))
            at += float(rng.exponential(0.8))
    return out + 0.02 * sloped_noise(n_samples, 0.5, rng)


def bells(n_samples: int, rng: Generator) -> Signal:
    """A church's, a door's or a bicycle's bell: partials that are not harmonic, long decay."""
    out, at = np.zeros(n_samples), float(rng.uniform(0, 1))
    base_hz, decay_s = log_uniform(200, 2500, rng), log_uniform(0.15, 3, rng)
    ratios = np.cumsum(rng.uniform(0.3, 1.2, 8)) + 0.5
    period_s = log_uniform(0.06, 2.5, rng)
    while at < n_samples / SAMPLE_RATE:
        pitch = base_hz * 2 ** (rng.integers(-4, 5) / 12 * (rng.random() < 0.3))
        decays = decay_s / ratios ** rng.uniform(0.3, 1.0)
        add(out, at, struck(pitch * ratios, 1 / ratios, decays, min(3 * decay_s, 4), rng))
        at += period_s * float(rng.choice([1, 1, 1, 4]))
    return out
