"""Enrolled voices against later speech: who is named, who is missed, who is called by a wrong name.

Both sides go through the runtime, each in a room, tone, noise and level of its own, of different
utterances of one recording session.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echo_edge.session import Session
from training.corpora.data import SAMPLE_RATE, Corpus, Pcm, Utterance
from training.simulation.mixtures import MAX_SPEAKERS, STEP_SAMPLES, mix

Array = NDArray[np.float32]

ENROL_S = (5.0, 15.0, 60.0)
TEST_S = (3.0, 5.0, 15.0)
TEST_POOL_S = 16.0
"""Speech kept for tests: half of the development speakers have little more than a minute."""


@dataclass(frozen=True)
class Trials:
    """Cosines of tests with enrolled voices, one enrolment length and one test length."""

    scores: Array
    """`[tests, speakers]`; -1 where no voice was found."""
    speaker: NDArray[np.int64]
    """`[tests]`: who speaks, as an index of the second axis."""

    def shares(self, threshold: float, n_people: int) -> dict[str, float]:
        """Shares in per cent for random sets of `n_people` enrolled: of speakers in it, `named`
        rightly, `missed`, `wrong`; of speakers not in it, `false` names. Exact: no set is drawn."""
        rows = range(len(self.scores))
        own = self.scores[rows, self.speaker]
        others = self.scores.copy()
        others[rows, self.speaker] = np.inf
        below = (others < threshold).sum(1)
        less = (others < own[:, None]).sum(1)
        n_others = others.shape[1] - 1
        heard = own >= threshold
        named = np.where(heard, [_none_of(n_others, k, n_people - 1) for k in less], 0.0)
        missed = np.where(~heard, [_none_of(n_others, k, n_people - 1) for k in below], 0.0)
        false = 1.0 - np.array([_none_of(n_others, k, n_people) for k in below])
        shares = {"named": named, "missed": missed, "wrong": 1.0 - named - missed, "false": false}
        return {name: 100.0 * float(np.mean(share)) for name, share in shares.items()}

    def select(self, speakers: Sequence[int]) -> "Trials":
        """Only these speakers, enrolled and tested."""
        rows = np.isin(self.speaker, speakers)
        place = {speaker: i for i, speaker in enumerate(speakers)}
        speaker = np.array([place[s] for s in self.speaker[rows].tolist()])
        return Trials(self.scores[rows][:, list(speakers)], speaker)


def _none_of(n_total: int, n_good: int, n_drawn: int) -> float:
    """Chance that all of `n_drawn` of `n_total` are among the `n_good`."""
    return math.comb(int(n_good), n_drawn) / math.comb(n_total, n_drawn)


def heard(dry: Pcm, rooms: Array | None, rng: np.random.Generator) -> Pcm:
    """One voice as some microphone hears it."""
    padded = np.zeros((MAX_SPEAKERS, len(dry) // STEP_SAMPLES * STEP_SAMPLES), np.float32)
    padded[0] = dry[: padded.shape[1]]
    return mix(padded, ("",), (1,), rooms, rng).pcm


def split_pool(pool: Sequence[Utterance]) -> tuple[list[Utterance], list[Utterance]]:
    """Utterances to enrol with and to test with: the last ones, `TEST_POOL_S` of them."""
    seconds = 0.0
    for index in range(len(pool) - 1, 0, -1):
        seconds += pool[index].duration_s
        if seconds >= TEST_POOL_S:
            return list(pool[:index]), list(pool[index:])
    raise ValueError(f"found {seconds:.1f} s of a speaker, expected more than {TEST_POOL_S:g}")


def direction(session: Session, pcm: Pcm) -> Array | None:
    """Embedding `[E]` of the main voice that the runtime finds in a recording; None if none."""
    stream = session.stream(math.inf, language_model=False)
    stream.push(pcm)
    speakers = stream.finish().speakers
    if not speakers:
        return None
    loudest = max(speakers, key=lambda speaker: speaker.speech_s)
    return np.array(stream.voiceprint(loudest.id).embedding, np.float32)


def run_trials(
    session: Session, corpus: Corpus, rooms: Array | None, seed: int
) -> dict[tuple[float, float], Trials]:
    """(enrolment, test) in seconds -> trials of all known speakers of the corpus."""
    enrolled: dict[float, list[Array | None]] = {seconds: [] for seconds in ENROL_S}
    tests: dict[float, list[tuple[int, Array | None]]] = {seconds: [] for seconds in TEST_S}
    for index, (_, pool) in enumerate(sorted(corpus.by_speaker().items())):
        rng = np.random.default_rng((seed, index))
        before, after = (np.concatenate([corpus.pcm(u) for u in part]) for part in split_pool(pool))
        for seconds, known in enrolled.items():
            excerpt = before[: round(seconds * SAMPLE_RATE)]
            known.append(direction(session, heard(excerpt, rooms, rng)))
        for seconds, found in tests.items():
            size = round(seconds * SAMPLE_RATE)
            for start in range(0, min(len(after), round(TEST_POOL_S * SAMPLE_RATE)) - size, size):
                excerpt = heard(after[start : start + size], rooms, rng)
                found.append((index, direction(session, excerpt)))
    return {
        (enrol_s, test_s): _trials(known, found)
        for enrol_s, known in enrolled.items()
        for test_s, found in tests.items()
    }


def _trials(known: list[Array | None], found: list[tuple[int, Array | None]]) -> Trials:
    size = next(len(each) for each in known if each is not None)
    nothing = np.zeros(size, np.float32)
    table = np.stack([nothing if each is None else each for each in known])
    heard = np.stack([nothing if each is None else each for _, each in found])
    scores = heard @ table.T
    silent = (np.abs(heard).max(1) == 0)[:, None] | (np.abs(table).max(1) == 0)[None]
    scores[silent] = -1.0
    return Trials(scores, np.array([index for index, _ in found]))
