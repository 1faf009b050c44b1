"""Scenes that teach silence: non-speech alone, between and under what people say, and speech."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.corpora.data import SAMPLE_RATE, Pcm
from training.nonspeech import Kind, sound
from training.simulation.augment import level_gain, microphone, noise, reverberate, tilt
from training.simulation.conversations import Conversations
from training.simulation.mixtures import MAX_SPEAKERS, STEP_SAMPLES

ALONE, MIXED, SPEECH = range(3)
SHARES = (0.4, 0.25, 0.35)
"""Of scenes without speech, with both, with speech and at most noise."""

REAL_SHARE = 0.15
"""Of conversations that are windows of real meetings, where there are any."""

RATIO_DB = (-5.0, 30.0)
"""Speech above non-speech where both sound."""


@dataclass(frozen=True)
class Scene:
    """Audio `[N]`, who speaks `[3, N / 640]`, and which of the three sorts it is."""

    pcm: Pcm
    active: NDArray[np.bool_]
    sort: int


def background(
    kinds: Mapping[str, Kind],
    rooms: NDArray[np.float32] | None,
    n_samples: int,
    rng: np.random.Generator,
) -> Pcm:
    """One or two kinds, one after the other or at once, dry or in a room, through a microphone, of
    unit power where it is loud."""
    names = sorted(kinds)
    out = np.zeros(n_samples, np.float32)
    for _ in range(1 + int(rng.random() < 0.3)):
        piece = sound(kinds[names[int(rng.integers(len(names)))]], n_samples, rng)
        if rng.random() < 0.3:  # it begins, or ends, some time
            start, end = sorted(rng.integers(0, n_samples, 2).tolist())
            piece[: start if rng.random() < 0.5 else 0] = 0.0
            piece[end if rng.random() < 0.5 else n_samples :] = 0.0
        out += piece * np.float32(10 ** (rng.uniform(-12.0, 0.0) / 20))
    if rooms is not None and rng.random() < 0.5:
        out = reverberate(out, rooms[int(rng.integers(len(rooms))), 0])
    if rng.random() < 0.5:
        out = tilt(out, rng)
    if rng.random() < 0.3:
        out = microphone(out[None], rng)[0]
    return out / np.float32(np.sqrt(_loud_power(out)))


def _loud_power(pcm: Pcm) -> float:
    """Power of the loudest tenth of 40 ms steps."""
    power = (pcm[: len(pcm) // STEP_SAMPLES * STEP_SAMPLES].reshape(-1, STEP_SAMPLES) ** 2).mean(1)
    return float(np.percentile(power, 95)) + 1e-9


def silent_scene(
    kinds: Mapping[str, Kind],
    rooms: NDArray[np.float32] | None,
    seconds: float,
    rng: np.random.Generator,
) -> Scene:
    """Nobody speaks: non-speech at any level from -55 to -1 dBFS, over noise or over nothing."""
    n_steps = int(seconds * SAMPLE_RATE) // STEP_SAMPLES
    pcm = background(kinds, rooms, n_steps * STEP_SAMPLES, rng)
    if rng.random() < 0.6:
        pcm = pcm + noise(len(pcm), rng) * np.float32(10 ** (-rng.uniform(10.0, 60.0) / 20))
    peak = max(float(np.abs(pcm).max()), 1e-9)
    gain = 10 ** (rng.uniform(-55.0, -1.0) / 20) / peak
    if rng.random() < 0.6:
        gain = level_gain(pcm, rng)
    silent = np.zeros((MAX_SPEAKERS, n_steps), bool)
    return Scene((pcm * gain).astype(np.float32), silent, ALONE)


def scene(
    conversations: Conversations, kinds: Mapping[str, Kind], rng: np.random.Generator
) -> Scene:
    """One scene as long as the conversations."""
    sort = int(rng.choice(3, p=SHARES))
    if sort == ALONE:
        return silent_scene(kinds, conversations.rooms, conversations.seconds, rng)
    real = bool(conversations.meetings) and rng.random() < REAL_SHARE
    mixture = conversations.draw(real, rng)
    pcm, active = mixture.pcm, mixture.active[:MAX_SPEAKERS].copy()
    if sort == MIXED:
        if not real and rng.random() < 0.6:
            pcm, active = _partly(pcm, active, rng)
        spoken = np.repeat(active.any(0), STEP_SAMPLES)
        power = float(np.mean(pcm[spoken] ** 2)) if spoken.any() else float(np.mean(pcm**2))
        other = background(kinds, conversations.rooms, len(pcm), rng)
        ratio_db = rng.uniform(*RATIO_DB)
        pcm = pcm + other * np.float32(np.sqrt(power + 1e-12) * 10 ** (-ratio_db / 20))
        pcm = pcm * np.float32(level_gain(pcm, rng))
    return Scene(pcm.astype(np.float32), active, sort)


def _partly(
    pcm: Pcm, active: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[Pcm, NDArray[np.bool_]]:
    """The conversation begins later or ends sooner; before and after nobody is there."""
    n_steps = active.shape[1]
    first, last = sorted(rng.integers(0, n_steps, 2).tolist())
    inside = np.zeros(n_steps, bool)
    inside[first:last] = True
    edges = np.convolve(np.repeat(inside, STEP_SAMPLES), np.ones(160) / 160, "same")
    return (pcm * edges).astype(np.float32), active & inside
