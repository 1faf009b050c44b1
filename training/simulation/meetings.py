"""Excerpts of real meetings that say who speaks when: windows for turns and voices.

What was said and how each voice sounds alone is unknown, so they teach neither words nor sources.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.corpora.corpus_formats import read_recordings, read_rttm
from training.corpora.data import Corpus, Pcm
from training.simulation.augment import SPEEDS, change_speed, level_gain
from training.simulation.mixtures import MAX_SPEAKERS, STEP_SAMPLES, Mixture


@dataclass(frozen=True)
class Meeting:
    """One excerpt of N samples, at one of the `SPEEDS`."""

    pcm: Pcm
    """`[N]`."""
    active: NDArray[np.bool_]
    """`[speakers, N / 640]`."""
    speakers: tuple[str, ...]
    speed: int
    """Index into `SPEEDS`."""


def load_meetings(corpus: Corpus, rttm: Path) -> list[Meeting]:
    """Every excerpt (speaker `multi`) of the corpus with a file of turns in the folder `rttm`, once
    per speed; a speed makes new speakers of those who talk, as everywhere."""
    found = []
    for utterance in corpus.utterances:
        turns = rttm / f"{utterance.id}.rttm"
        if utterance.speaker != "multi" or not turns.exists():
            continue
        for speed, factor in enumerate(SPEEDS):
            pcm = change_speed(corpus.pcm(utterance), factor)
            pcm = pcm[: len(pcm) // STEP_SAMPLES * STEP_SAMPLES]
            found.append(_meeting(pcm, read_rttm(turns), speed))
    return found


def _meeting(pcm: Pcm, turns: list[tuple[float, float, str]], speed: int) -> Meeting:
    steps_per_s = 16_000 / STEP_SAMPLES / SPEEDS[speed]
    speakers = tuple(sorted({speaker for _, _, speaker in turns}))
    active = np.zeros((len(speakers), len(pcm) // STEP_SAMPLES), dtype=bool)
    for start_s, end_s, speaker in turns:
        first, last = round(start_s * steps_per_s), round(end_s * steps_per_s)
        active[speakers.index(speaker), first:last] = True
    return Meeting(pcm, active, speakers, speed)


def load_timing(path: Path) -> list[list[tuple[float, float, str]]]:
    """Turns of real meetings whose audio is not here; none if there is no such file."""
    return list(read_recordings(path).values()) if path.exists() else []


def window(meeting: Meeting, seconds: float, rng: np.random.Generator) -> Mixture:
    """`seconds` of it, of the three who talk order, at a random level; no sources, `[0, N]`."""
    n_steps = int(seconds * 16_000) // STEP_SAMPLES
    first = int(rng.integers(meeting.active.shape[1] - n_steps + 1))
    active = meeting.active[:, first : first + n_steps]
    order = np.argsort(-active.sum(1), kind="stable")[:MAX_SPEAKERS]
    order = order[active[order].any(1)]
    slots = np.zeros((MAX_SPEAKERS, n_steps), dtype=bool)
    slots[: len(order)] = active[order]
    pcm = meeting.pcm[first * STEP_SAMPLES : (first + n_steps) * STEP_SAMPLES]
    speakers = tuple(meeting.speakers[k] for k in order)
    nothing = np.zeros((0, len(pcm)), dtype=np.float32)
    pcm = pcm * level_gain(pcm, rng)
    return Mixture(pcm, nothing, slots, speakers, (meeting.speed,) * len(order))
