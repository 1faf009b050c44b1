"""Simulated conversations with exact labels: who is active at every 40 ms step, each clean source.

A conversation is a pure function of (corpus, generator): the same seed gives the same audio.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.corpora.data import SAMPLE_RATE, Corpus, Pcm, Utterance
from training.simulation.augment import (
    SPEEDS,
    active_steps,
    add_noise,
    change_speed,
    level_gain,
    reverberate,
    tilt,
)

STEP_SAMPLES = 640
MAX_SPEAKERS = 3
ENOUGH = 8
"""Utterances of a voice that make its part of a conversation, where that is evaluated."""

SHORTEST_TURN_S = 0.1
SHARE_DRY = 0.3
"""Of conversations, where rooms are simulated."""

Cast = tuple[tuple[str, ...], tuple[int, ...]]
"""Speakers and, for each, an index into `SPEEDS`."""


@dataclass(frozen=True)
class Mixture:
    """One simulated conversation of `N` samples, K source slots, 3 or more, unused ones silent."""

    pcm: Pcm
    """`[N]`: sources and noise as the microphone hears them."""
    sources: NDArray[np.float32]
    """`[K, N]`: each voice alone, at its level in the mixture."""
    active: NDArray[np.bool_]
    """`[K, N / 640]`."""
    speakers: tuple[str, ...]
    """Speaker of each used slot."""
    speeds: tuple[int, ...]
    """Index into `SPEEDS` of each used slot."""


@dataclass(frozen=True)
class Timing:
    """Gaps between turns in seconds; a negative one is an overlap."""

    gap_mean_s: float = 0.25
    gap_std_s: float = 0.6
    turn_min_s: float = 0.7
    turn_max_s: float = 6.0


def _voice(
    corpus: Corpus, pool: Sequence[Utterance], seconds: float, rng: np.random.Generator
) -> Pcm:
    """About `seconds` of one speaker's speech: a random excerpt, or utterances strung together."""
    wanted = int(seconds * SAMPLE_RATE)
    pieces: list[Pcm] = []
    have = 0
    while have < wanted:
        piece = corpus.pcm(pool[int(rng.integers(len(pool)))])
        if len(piece) > wanted:
            start = int(rng.integers(len(piece) - wanted + 1))
            piece = piece[start : start + wanted]
        pieces.append(piece)
        have += len(piece)
    voice = np.concatenate(pieces)[:wanted]
    ramp = min(160, len(voice) // 2)
    voice[:ramp] *= np.linspace(0, 1, ramp, dtype=np.float32)
    voice[len(voice) - ramp :] *= np.linspace(1, 0, ramp, dtype=np.float32)
    return voice


def schedule(
    n_speakers: int, seconds: float, timing: Timing, rng: np.random.Generator
) -> list[tuple[int, float, float]]:
    """Turns (speaker, start_s, duration_s) that fill `seconds`; nobody answers himself at once."""
    turns: list[tuple[int, float, float]] = []
    clock, last = float(rng.uniform(-1.0, 1.0)), -1
    while clock < seconds - 0.5:
        others = [k for k in range(n_speakers) if k != last] or [0]
        speaker = int(rng.choice(others))
        length = float(rng.uniform(timing.turn_min_s, timing.turn_max_s))
        start = max(clock, 0.0)
        turns.append((speaker, start, min(length, seconds - start)))
        clock = start + length + float(rng.normal(timing.gap_mean_s, timing.gap_std_s))
        last = speaker
    return turns


def excerpt(
    turns: Sequence[tuple[float, float, str]],
    seconds: float,
    min_speakers: int,
    rng: np.random.Generator,
) -> list[tuple[int, float, float]]:
    """Turns (speaker, start_s, duration_s) of `min_speakers` or more, who talks most first, in
    `seconds` somewhere in a meeting of turns (start_s, end_s, name)."""
    latest_s = max(0.0, max(end for _, end, _ in turns) - seconds)
    min_speakers = min(min_speakers, len({name for _, _, name in turns}))
    talk: dict[str, float] = {}
    while len(talk) < min_speakers:
        first = float(rng.uniform(0.0, latest_s))
        heard = [
            (max(start - first, 0.0), min(end - first, seconds), name)
            for start, end, name in turns
            if min(end, first + seconds) - max(start, first) >= SHORTEST_TURN_S
        ]
        talk = {}
        for start, end, name in heard:
            talk[name] = talk.get(name, 0.0) + end - start
    names = sorted(talk, key=lambda name: -talk[name])
    return [(names.index(name), start, end - start) for start, end, name in heard]


def cast_of(voices: Mapping[str, object], n_speakers: int, rng: np.random.Generator) -> Cast:
    """Different voices, each at a random speed."""
    speakers = tuple(str(name) for name in rng.choice(sorted(voices), n_speakers, replace=False))
    return speakers, tuple(int(rng.choice(len(SPEEDS), p=(0.25, 0.5, 0.25))) for _ in speakers)


def conversation(
    corpus: Corpus,
    voices: dict[str, list[Utterance]],
    rooms: NDArray[np.float32] | None,
    seconds: float,
    n_speakers: int,
    rng: np.random.Generator,
    timing: Timing | None = None,
) -> Mixture:
    """One conversation of `n_speakers` (1 to 3) different voices; `rooms` None means dry."""
    cast = cast_of(voices, n_speakers, rng)
    turns = schedule(n_speakers, seconds, timing or Timing(), rng)
    return mix(spoken(corpus, voices, cast, turns, seconds, rng), *cast, rooms, rng)


def spoken(
    corpus: Corpus,
    voices: dict[str, list[Utterance]],
    cast: Cast,
    turns: Iterable[tuple[int, float, float]],
    seconds: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Dry voices `[K, N]` of a cast that talks in turns (speaker, start_s, duration_s)."""
    speakers, speeds = cast
    n_samples = int(seconds * SAMPLE_RATE) // STEP_SAMPLES * STEP_SAMPLES
    dry = np.zeros((max(MAX_SPEAKERS, len(speakers)), n_samples), dtype=np.float32)
    for slot, start_s, length_s in turns:
        factor = SPEEDS[speeds[slot]]
        piece = _voice(corpus, voices[speakers[slot]], length_s * factor, rng)
        piece = change_speed(piece, factor)
        start = int(start_s * SAMPLE_RATE)
        piece = piece[: n_samples - start]
        dry[slot, start : start + len(piece)] += piece
    return dry


def meeting(
    corpus: Corpus,
    voices: dict[str, list[Utterance]],
    rooms: NDArray[np.float32] | None,
    turns: Sequence[tuple[int, float, float]],
    seconds: float,
    rng: np.random.Generator,
    share_dry: float = SHARE_DRY,
) -> Mixture:
    """Different voices that take the turns of an `excerpt`."""
    cast = cast_of(voices, 1 + max(speaker for speaker, _, _ in turns), rng)
    dry = spoken(corpus, voices, cast, turns, seconds, rng)
    return mix(dry, *cast, rooms, rng, share_dry)


def mix(
    dry: NDArray[np.float32],
    speakers: tuple[str, ...],
    speeds: tuple[int, ...],
    rooms: NDArray[np.float32] | None,
    rng: np.random.Generator,
    share_dry: float = SHARE_DRY,
) -> Mixture:
    """Dry voices `[K, N]`, the used ones first, as one microphone hears them: each coloured, in one
    room or, in a share of all cases, in none, within 5 dB of the others, with noise, at a random
    level."""
    active = np.stack([active_steps(voice) for voice in dry])
    sources = dry.copy()
    room = (
        None if rooms is None or rng.random() < share_dry else rooms[int(rng.integers(len(rooms)))]
    )
    for slot in range(len(speakers)):
        if not active[slot].any():
            continue
        voice = tilt(dry[slot], rng)
        voice = voice if room is None else reverberate(voice, room[slot])
        power = float(np.mean(voice[np.repeat(active[slot], STEP_SAMPLES)] ** 2)) + 1e-9
        sources[slot] = voice / np.sqrt(power) * 10 ** (rng.uniform(-5.0, 5.0) / 20)
    pcm = sources.sum(0)
    if rng.random() < 0.7:
        pcm = add_noise(pcm, 1.0, None, rng)
    gain = level_gain(pcm, rng)
    return Mixture(pcm * gain, sources * gain, active, speakers, speeds)
