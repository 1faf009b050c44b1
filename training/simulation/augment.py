"""Augmentation, a clean voice on its way to a microphone: speed, room, tone, noise, level.

Pure functions of (signal, random generator). Rooms come from pyroomacoustics, once, into a bank.
"""

from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.signal import fftconvolve, firwin2, lfilter

from training.corpora.data import SAMPLE_RATE, Pcm

SPEEDS = (0.9, 1.0, 1.1)
"""Speed factors; each makes a new speaker class (Yamamoto et al., Interspeech 2019)."""

LEVELS_DB = (-50.0, 0.0)
"""Peaks of what is heard, in dBFS."""

CLIPPED_SHARE, OFFSET_SHARE = 0.08, 0.15

TELEPHONE_SHARE = 0.25
"""Of random microphones: 300 to 3400 Hz and next to nothing outside."""

RIR_SAMPLES = int(0.4 * SAMPLE_RATE)


def room_bank(
    path: Path, n_rooms: int = 120, n_sources: int = 4, seed: int = 7
) -> NDArray[np.float32]:
    """Impulse responses `[n_rooms, n_sources, 6400]`, direct path at sample 0 with unit peak.

    Shoebox rooms of 3 to 10 m by the image method (Allen & Berkley 1979), RT60 0.15 to 0.6 s.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(seed)
        np.save(path, np.stack([_room(n_sources, rng) for _ in range(n_rooms)]))
    return np.asarray(np.load(path, mmap_mode="r"))


def _room(n_sources: int, rng: np.random.Generator) -> NDArray[np.float32]:
    import pyroomacoustics as pra

    size = np.array([rng.uniform(3, 10), rng.uniform(3, 8), rng.uniform(2.4, 3.5)])
    rt60 = rng.uniform(0.15, 0.6)
    absorption, order = pra.inverse_sabine(rt60, size)
    room = pra.ShoeBox(
        size, fs=SAMPLE_RATE, materials=pra.Material(absorption), max_order=min(order, 12)
    )
    room.add_microphone(size * rng.uniform(0.3, 0.7, 3))
    for _ in range(n_sources):
        room.add_source(size * rng.uniform(0.1, 0.9, 3))
    room.compute_rir()
    bank = np.zeros((n_sources, RIR_SAMPLES), dtype=np.float32)
    for i in range(n_sources):
        response = np.asarray(room.rir[0][i])
        direct = int(np.argmax(np.abs(response)))
        response = response[direct : direct + RIR_SAMPLES] / np.abs(response[direct])
        bank[i, : len(response)] = response
    return bank


def change_speed(pcm: Pcm, factor: float) -> Pcm:
    """Play `factor` times faster (pitch and tempo together)."""
    if factor == 1.0:
        return pcm
    return np.asarray(soxr.resample(pcm, factor * SAMPLE_RATE, SAMPLE_RATE, "LQ"), dtype=np.float32)


def reverberate(pcm: Pcm, response: NDArray[np.float32]) -> Pcm:
    """Convolve with one impulse response; same length and same power."""
    wet = fftconvolve(pcm, response)[: len(pcm)]
    power = float(np.mean(wet**2))
    return (wet * np.sqrt(np.mean(pcm**2) / max(power, 1e-12))).astype(np.float32)


def tilt(pcm: Pcm, rng: np.random.Generator) -> Pcm:
    """A random smooth colouring of the spectrum, so that a channel is no clue to a speaker."""
    zeros, poles = rng.uniform(-0.4, 0.4, 2), rng.uniform(-0.4, 0.4, 2)
    return np.asarray(lfilter(np.poly(zeros), np.poly(poles), pcm), dtype=np.float32)


def microphone(rows: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Rows `[R, N]` as one random microphone hears them; the first keeps its power.

    Gains scatter by 6 dB from octave to octave, and a band that starts late or ends early is three
    times in ten each; a quarter are telephones. Voices that share a microphone must be told apart
    by more than its sound.
    """
    frequencies = np.geomspace(62.5, SAMPLE_RATE / 2, 29)
    gains_db = np.interp(np.linspace(0.0, 7.0, 29), np.arange(8), rng.normal(0.0, 6.0, 8))
    if rng.random() < 0.3:
        gains_db[frequencies > rng.uniform(3000.0, 7000.0)] -= rng.uniform(10.0, 40.0)
    if rng.random() < 0.3:
        gains_db[frequencies < rng.uniform(100.0, 400.0)] -= rng.uniform(10.0, 30.0)
    if rng.random() < TELEPHONE_SHARE:
        gains_db[(frequencies < 300.0) | (frequencies > 3400.0)] -= 50.0
    gains = 10 ** (np.concatenate([gains_db[:1], gains_db]) / 20)
    frequencies[-1] = SAMPLE_RATE / 2
    taps = firwin2(255, np.concatenate([[0.0], frequencies]), gains, fs=SAMPLE_RATE)
    wet = fftconvolve(rows, taps[None], "same", axes=1)
    power, kept = float(np.mean(wet[0] ** 2)), float(np.mean(rows[0] ** 2))
    return np.asarray(wet * np.sqrt(kept / max(power, 1e-12)), dtype=np.float32)


def noise(n_samples: int, rng: np.random.Generator) -> Pcm:
    """Unit-power noise with a random spectral slope (white to brown) and slow level changes."""
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    slope = rng.uniform(0.0, 1.0)
    spectrum /= np.maximum(np.arange(len(spectrum)), n_samples * 30 / SAMPLE_RATE) ** slope
    coloured = np.fft.irfft(spectrum, n_samples)
    envelope = np.interp(np.linspace(0, 5, n_samples), np.arange(6), rng.uniform(0.5, 1.5, 6))
    coloured *= envelope
    return (coloured / np.sqrt(np.mean(coloured**2) + 1e-12)).astype(np.float32)


def add_noise(pcm: Pcm, speech_power: float, babble: Pcm | None, rng: np.random.Generator) -> Pcm:
    """Add coloured noise, and babble if given, at 5 to 30 dB below the speech."""
    background = noise(len(pcm), rng)
    if babble is not None and len(babble) >= len(pcm):
        talk = babble[: len(pcm)]
        background = 0.5 * background + talk / np.sqrt(np.mean(talk**2) + 1e-9)
    ratio_db = rng.uniform(5.0, 30.0)
    scale = np.sqrt(speech_power / np.mean(background**2) / 10 ** (ratio_db / 10))
    return pcm + (background * scale).astype(np.float32)


def level_gain(pcm: Pcm, rng: np.random.Generator) -> float:
    """Gain that brings the peak to a random level between -50 and 0 dBFS."""
    peak = float(np.abs(pcm).max())
    return float(10 ** (rng.uniform(*LEVELS_DB) / 20) / max(peak, 1e-4))


def converter(pcm: Pcm, rng: np.random.Generator) -> Pcm:
    """Faults of an analogue-to-digital converter: at times a DC offset of up to 8 % of full scale,
    at times up to 12 dB too loud, clipped at full scale.

    `pcm` is `[N]`, or `[rows, N]` with the sources of the first row below it: they get its gain, so
    that they stay what it is made of, but neither offset nor clipping.
    """
    rows = np.atleast_2d(pcm)
    if rng.random() < CLIPPED_SHARE:
        peak = float(np.abs(rows[0]).max())
        rows = rows * np.float32(10 ** (rng.uniform(1.0, 12.0) / 20) / max(peak, 1e-4))
    offset = np.float32(rng.uniform(-0.08, 0.08)) if rng.random() < OFFSET_SHARE else np.float32(0)
    first = np.clip(rows[:1] + offset, -1.0, 1.0)
    return first[0] if pcm.ndim == 1 else np.concatenate([first, rows[1:]])


def active_steps(pcm: Pcm, step_samples: int = 640) -> NDArray[np.bool_]:
    """Flags of a clean voice's 40 ms steps that hold speech: within 35 dB of its loud steps, or
    less where the recording's own noise is nearer than that; gaps below 0.24 s closed.

    Against forced alignment 6.5 % of the steps of speechocean762 are wrong and 4.7 % of
    LibriSpeech's, without a look at the noise 13.0 and 7.8 % (docs/decisions).
    """
    n_steps = len(pcm) // step_samples
    power = (pcm[: n_steps * step_samples].reshape(n_steps, step_samples) ** 2).mean(1)
    if n_steps == 0 or power.max() < 1e-8:
        return np.zeros(n_steps, dtype=bool)
    loud = float(np.percentile(power, 95)) if n_steps > 20 else float(power.max())
    quiet = float(np.percentile(power[power > 1e-12], 5))  # not where nothing was put
    active = power > max(loud * 10**-3.5, min(quiet * 10**0.9, loud * 10**-2.5))
    edges = np.flatnonzero(np.diff(np.concatenate([[1], active.astype(int), [1]])))
    for start, end in zip(edges[::2], edges[1::2], strict=False):
        if end - start <= 6 and start > 0 and end < n_steps:
            active[start:end] = True
    return active
