"""Scenes for the voice-activity gate, with exact labels, and what a detector makes of them.

A scene is a conversation in a room with quiet before and after it, or no speech at all, over
background noise; or an excerpt of a real meeting. No recorded noise is at hand: it is made here,
and figures on it say so.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.corpora.corpus_formats import read_rttm
from training.corpora.data import SAMPLE_RATE, Corpus, Pcm, Utterance
from training.simulation.augment import noise
from training.simulation.mixtures import STEP_SAMPLES, Timing, conversation
from training.voice_gate.integer import FRAME_S, Flags, Ints, Rules, decide

TIMING = Timing(gap_mean_s=0.6, gap_std_s=0.8)
FRAMES_PER_STEP = 2


@dataclass(frozen=True)
class Scene:
    """Microphone audio, and the 40 ms steps in which somebody speaks."""

    pcm: NDArray[np.int16]
    speech: Flags


def background(n_samples: int, rng: np.random.Generator) -> Pcm:
    """Noise of about unit power: coloured and steady, and in half of all cases what rooms add:
    hum and fans, knocks and keys, beeps."""
    out = noise(n_samples, rng)
    time = np.arange(n_samples) / SAMPLE_RATE
    if rng.random() < 0.25:
        base = rng.choice([50.0, 60.0, 100.0, 120.0, rng.uniform(80, 400)])
        harmonics = np.arange(1, int(rng.integers(3, 30)))
        weights = harmonics ** -rng.uniform(0.5, 1.5) * rng.uniform(0.2, 1.0, len(harmonics))
        hum = sum(
            w * np.sin(2 * np.pi * base * h * time + rng.uniform(0, 6.28))
            for h, w in zip(harmonics, weights, strict=True)
            if base * h < 7500
        )
        throb = 1 + rng.uniform(0, 0.7) * np.sin(2 * np.pi * rng.uniform(0.2, 12) * time)
        out = out + (rng.uniform(0.3, 3.0) * hum * throb / np.std(hum)).astype(np.float32)
    if rng.random() < 0.35:
        for _ in range(rng.poisson(rng.uniform(0.1, 4.0) * n_samples / SAMPLE_RATE)):
            _add_burst(out, rng)
    return out


def _add_burst(out: Pcm, rng: np.random.Generator) -> None:
    """A knock, a key or a beep, somewhere."""
    length = int(SAMPLE_RATE * rng.uniform(0.01, 0.4))
    start = int(rng.integers(max(1, len(out) - length)))
    time = np.arange(min(length, len(out) - start)) / SAMPLE_RATE
    if rng.random() < 0.15:
        sound = np.sin(2 * np.pi * rng.uniform(300, 4000) * time)
    else:
        sound = noise(len(time), rng) * np.exp(-time * rng.uniform(4, 30) * SAMPLE_RATE / length)
    out[start : start + len(time)] += rng.uniform(1.0, 15.0) * sound.astype(np.float32)


def scene(
    corpus: Corpus,
    voices: dict[str, list[Utterance]],
    rooms: NDArray[np.float32],
    seconds: float,
    with_speech: bool,
    rng: np.random.Generator,
) -> Scene:
    """One scene; speech is 3 to 30 dB above the noise and, where there is any, starts after 3 s
    at the earliest."""
    n_steps = int(seconds * SAMPLE_RATE) // STEP_SAMPLES
    clean, speech = np.zeros(n_steps * STEP_SAMPLES, np.float32), np.zeros(n_steps, bool)
    if with_speech:
        length = rng.uniform(0.3, 0.6) * seconds
        talk = conversation(corpus, voices, rooms, length, int(rng.integers(1, 4)), rng, TIMING)
        active: Flags = np.asarray(talk.active.any(0))
        first = int(rng.uniform(75, n_steps - len(active) - 25))
        speech[first : first + len(active)] = active
        voice = talk.sources.sum(0)
        clean[first * STEP_SAMPLES :][: len(voice)] = voice / np.sqrt(
            np.mean(voice[np.repeat(active, STEP_SAMPLES)] ** 2) + 1e-9
        )
    heard = clean + background(len(clean), rng) * 10 ** (-rng.uniform(3.0, 30.0) / 20)
    peak = 10 ** (rng.uniform(-40.0, -1.0) / 20)
    heard *= peak / np.abs(heard).max()
    return Scene(np.rint(heard * 32767).astype(np.int16), speech)


def real_meetings(corpus: Corpus, folder: Path) -> list[Scene]:
    """Excerpts of real meetings, with the truth of `folder/<utterance>.rttm`."""
    out = []
    for utterance in corpus.utterances:
        if (path := folder / f"{utterance.id}.rttm").exists():
            pcm = np.rint(corpus.pcm(utterance) * 32768).astype(np.int16)
            speech = np.zeros(len(pcm) // STEP_SAMPLES, bool)
            for start_s, end_s, _ in read_rttm(path):
                first, last = (round(t * SAMPLE_RATE / STEP_SAMPLES) for t in (start_s, end_s))
                speech[first:last] = True
            out.append(Scene(pcm[: len(speech) * STEP_SAMPLES], speech))
    return out


def excerpt(meeting: Scene, seconds: float, rng: np.random.Generator) -> Scene:
    """A stretch of a meeting at another level, with a little more noise."""
    n_steps = int(seconds * SAMPLE_RATE) // STEP_SAMPLES
    first = int(rng.integers(len(meeting.speech) - n_steps + 1))
    part = slice(first, first + n_steps)
    heard = meeting.pcm.reshape(-1, STEP_SAMPLES)[: len(meeting.speech)][part].ravel() / 32768
    loud = float(np.sqrt(np.mean(heard**2)))
    heard = heard + background(len(heard), rng) * loud * 10 ** (-rng.uniform(12.0, 50.0) / 20)
    heard *= 10 ** (rng.uniform(-30.0, -1.0) / 20) / np.abs(heard).max()
    return Scene(np.rint(heard * 32767).astype(np.int16), meeting.speech[part])


def energy_scores(pcm: NDArray[np.int16]) -> Ints:
    """A plain detector to compare with: energy of 20 ms above a floor that follows it as the
    gate's floors do, in the gate's unit of levels (1/256 of a doubling)."""
    frames = pcm.astype(np.float64)[: len(pcm) // 320 * 320].reshape(-1, 320)
    energies = np.rint(256 * np.log2((frames**2).mean(1) + 0.1)).astype(np.int64)
    floor, out = int(energies[0]), []
    for energy in energies.tolist():
        distance = energy - floor
        floor += distance >> 3 if distance < 0 else 1 + (distance >> 10)
        out.append(energy - floor)
    return np.array(out)


@dataclass(frozen=True)
class Scored:
    """One detector's scores of one scene, and the truth per frame."""

    scores: Ints
    speech: Flags


def measure(scenes: Iterable[Scored], rules: Rules) -> dict[str, float]:
    """Errors per frame in per cent on scenes with speech; wakes; false wakes per hour on those
    without. An awake gate that hears speech has `kept` it."""
    missed = speech_frames = false = quiet_frames = kept = 0
    n_false, quiet_s, latencies, n_scenes = 0, 0.0, list[float](), 0
    for each in scenes:
        speech, awake = decide(each.scores, rules)
        if not each.speech.any():
            n_false += int((np.diff(np.concatenate([[0], awake.astype(int)])) == 1).sum())
            quiet_s += len(awake) * FRAME_S
            continue
        n_scenes += 1
        missed += int((each.speech & ~speech).sum())
        speech_frames += int(each.speech.sum())
        false += int((speech & ~each.speech).sum())
        quiet_frames += int((~each.speech).sum())
        kept += int((awake & each.speech).sum())
        first = int(np.argmax(each.speech))
        if awake[first:].any() and not awake[:first].any():
            latencies.append((int(np.argmax(awake)) - first + 1) * FRAME_S)
    return {
        "miss": 100 * missed / max(speech_frames, 1),
        "false": 100 * false / max(quiet_frames, 1),
        "kept": 100 * kept / max(speech_frames, 1),
        "latency_p50_s": float(np.median(latencies)) if latencies else float("nan"),
        "latency_p95_s": float(np.quantile(latencies, 0.95)) if latencies else float("nan"),
        "woken_early_or_never": 100 * (1 - len(latencies) / max(n_scenes, 1)),
        "false_wakes_per_h": 3600 * n_false / max(quiet_s, 1e-9),
    }


def _grid(scenes: list[Scored]) -> list[int]:
    """Levels to try: from nearly always to nearly never."""
    values = np.concatenate([each.scores for each in scenes])
    low, high = np.quantile(values, [0.02, 0.998])
    levels: list[int] = np.unique(np.linspace(low, high, 80).astype(int)).tolist()
    return levels


def equal_error(scenes: list[Scored]) -> float:
    """Misses in per cent at the level where they are as frequent as false alarms: no level chosen
    elsewhere has a part in it."""
    spoken = [each for each in scenes if each.speech.any()]
    found = [measure(spoken, Rules(level, level)) for level in _grid(spoken)]
    best = min(found, key=lambda each: abs(each["miss"] - each["false"]))
    return (best["miss"] + best["false"]) / 2


def tuned(scenes: list[Scored], meetings: list[Scored], max_false_wakes: float) -> Rules:
    """Speech from where misses and false alarms, the mean of simulated and real, are equally
    frequent; wake at the lowest level with no more than so many false wakes an hour."""
    kinds = [[s for s in scenes if s.speech.any()], meetings]

    def gap(level: int) -> float:
        found = [measure(kind, Rules(level, level)) for kind in kinds]
        return abs(sum(each["miss"] - each["false"] for each in found))

    grid = _grid(scenes)
    speech_level = min(grid, key=gap)
    quiet = [s for s in scenes if not s.speech.any()]
    for level in [level for level in grid if level >= speech_level]:
        rules = Rules(speech_level, level)
        if measure(quiet, rules)["false_wakes_per_h"] <= max_false_wakes:
            return rules
    return Rules(speech_level, grid[-1])
