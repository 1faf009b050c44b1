"""Diarization: DER and JER of a bundle through the runtime, on simulated and real recordings."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio import read_blocks
from echo_edge.result import Result
from echo_edge.session import Session
from echo_edge.writers.formats import to_rttm
from training.corpora.corpus_formats import read_rttm
from training.corpora.data import Corpus, Pcm
from training.scoring.replay import CachedEncoding
from training.simulation.augment import room_bank
from training.simulation.meetings import load_timing
from training.simulation.mixtures import (
    ENOUGH,
    STEP_SAMPLES,
    Mixture,
    conversation,
    excerpt,
    meeting,
)

LATENCIES_S = (1.0, 2.0, 5.0, float("inf"))
MEETING_S = 120.0
REAL = ("ami_pyannote/dev00.flac", "ami_pyannote/dev01.flac", "pyannote_sample/sample.flac")
"""The recordings of the development set that say who speaks when."""

Recording = tuple[Pcm, list[tuple[float, float, str]]]
"""Samples and true turns (start_s, end_s, speaker)."""


class Der:
    """Diarization error rate over several recordings: collar 0, overlap scored, count unknown;
    beside it with the customary 0.25 s around every boundary left out (0.5 s of collar)."""

    def __init__(self) -> None:
        from pyannote.metrics.diarization import DiarizationErrorRate, JaccardErrorRate

        self.der = DiarizationErrorRate(collar=0.0, skip_overlap=False)
        self.forgiving = DiarizationErrorRate(collar=0.5, skip_overlap=False)
        self.jer = JaccardErrorRate(collar=0.0, skip_overlap=False)
        self.counts: list[bool] = []

    def add(self, reference: list[tuple[float, float, str]], result: Result) -> None:
        """Score one recording; reference turns as (start_s, end_s, speaker)."""
        from pyannote.core import Annotation, Segment, Timeline

        truth, guess = Annotation(), Annotation()
        for i, (start, end, speaker) in enumerate(reference):
            truth[Segment(start, end), i] = speaker
        for i, turn in enumerate(result.turns):
            guess[Segment(turn.start_s, turn.end_s), i] = turn.speaker
        whole = Timeline([Segment(0.0, result.duration_s)])
        self.der(truth, guess, uem=whole)
        self.forgiving(truth, guess, uem=whole)
        self.jer(truth, guess, uem=whole)
        self.counts.append(len(truth.labels()) == len(guess.labels()))

    def figures(self, name: str) -> dict[str, float]:
        """DER with its three parts, JER, share of right speaker counts, in per cent."""
        detail: Any = self.der[:]  # type: ignore[index]  # the library's own way to ask for parts
        total = max(detail["total"], 1e-9)
        parts = ("missed detection", "false alarm", "confusion")
        return {
            f"{name}.der": 100.0 * abs(self.der),
            **{f"{name}.{p.split()[0]}": 100.0 * detail[p] / total for p in parts},
            f"{name}.der_collar_250ms": 100.0 * abs(self.forgiving),
            f"{name}.jer": 100.0 * abs(self.jer),
            f"{name}.count_right": 100.0 * float(np.mean(self.counts)),
        }


def turns_of(active: NDArray[np.bool_]) -> list[tuple[float, float, str]]:
    """Active steps `[K, S]` as reference turns."""
    turns = []
    for k, row in enumerate(active):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
        step_s = STEP_SAMPLES / 16_000
        turns += [(a * step_s, b * step_s, f"s{k}") for a, b in edges.reshape(-1, 2).tolist()]
    return turns


def simulated_meetings(
    corpus: Corpus, timing: Path, cache: Path, seconds: float = MEETING_S, seed: int = 79
) -> Iterator[Mixture]:
    """A seeded conversation for every meeting of the RTTM file `timing`: unseen voices take the
    turns of its speakers, in a simulated room that training does not know, with noise. None without
    that file."""
    if not (meetings := load_timing(timing)):
        return
    voices = corpus.by_speaker(ENOUGH)
    rooms = room_bank(cache / "rooms_meetings.npy", n_rooms=40, seed=13)
    for i, turns in enumerate(meetings):
        rng = np.random.default_rng((seed, i))
        taken = excerpt(turns, seconds, 2, rng)
        yield meeting(corpus, voices, rooms, taken, seconds, rng, share_dry=0.0)


def simulated(corpus: Corpus, n: int, seconds: float, seed: int = 77) -> list[Mixture]:
    """Seeded conversations of 2 or 3 unseen voices, rooms left out, noise as in training. Tuning
    uses another seed than evaluation."""
    voices = corpus.by_speaker(ENOUGH)
    return [
        conversation(corpus, voices, None, seconds, 2 + i % 2, np.random.default_rng((seed, i)))
        for i in range(n)
    ]


def real_recordings(data: Path) -> dict[str, Recording]:
    """Name -> samples and true turns of the development set's real recordings."""
    return {
        path.stem: (
            np.concatenate(list(read_blocks(path))),
            read_rttm(data / "dev/rttm" / f"{path.stem}.rttm"),
        )
        for path in (data / "dev" / name for name in REAL)
    }


def diarization(
    session: Session, data: Path, cache: Path, corpus: Corpus, out: Path
) -> dict[str, float]:
    """DER on simulated conversations and meetings and on real recordings, per latency."""
    figures: dict[str, float] = {}
    known = {
        "simulated": _true_turns(simulated(corpus, 16, 60.0)),
        "meetings": _true_turns(simulated_meetings(corpus, data / "timing/ami_test.rttm", cache)),
        **{f"real.{name}": [pair] for name, pair in real_recordings(data).items()},
    }
    for name, recordings in known.items():
        if not recordings:
            continue
        scores = {latency_s: Der() for latency_s in LATENCIES_S}
        for i, (pcm, turns) in enumerate(recordings):
            encoding = CachedEncoding(session, pcm)
            for latency_s, score in scores.items():
                result = encoding.decide(latency_s)
                score.add(turns, result)
                path = out / "turns" / name / f"latency_{latency_s:g}" / f"{i:02d}.rttm"
                path.parent.mkdir(exist_ok=True, parents=True)
                path.write_text(to_rttm(result, path.stem))
        for latency_s, score in scores.items():
            figures |= score.figures(f"{name}.latency_{latency_s:g}")
    return figures


def _true_turns(mixtures: Iterable[Mixture]) -> list[Recording]:
    return [(mixture.pcm, turns_of(mixture.active)) for mixture in mixtures]
