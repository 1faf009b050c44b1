"""Who spoke when: DER and JER of a bundle through the runtime, on simulated and real recordings."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio import read_blocks
from echo_edge.formats import to_rttm
from echo_edge.results import Result
from echo_edge.session import Session

from .data import Corpus, Pcm
from .layouts import read_rttm
from .mixtures import STEP_SAMPLES, Mixture, conversation

LATENCIES_S = (1.0, 2.0, 5.0, float("inf"))
REAL = ("ami_pyannote/dev00.flac", "ami_pyannote/dev01.flac", "pyannote_sample/sample.flac")
"""The recordings of the development set that say who speaks when."""


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


def simulated(corpus: Corpus, n: int, seconds: float, seed: int = 77) -> list[Mixture]:
    """Seeded conversations of 2 or 3 unseen voices, rooms left out, noise as in training. Tuning
    uses another seed than evaluation."""
    voices = {name: pool for name, pool in corpus.by_speaker().items() if len(pool) >= 8}
    return [
        conversation(corpus, voices, None, seconds, 2 + i % 2, np.random.default_rng((seed, i)))
        for i in range(n)
    ]


def real_recordings(data: Path) -> dict[str, tuple[Pcm, list[tuple[float, float, str]]]]:
    """Name -> samples and true turns of the development set's real recordings."""
    return {
        path.stem: (
            np.concatenate(list(read_blocks(path))),
            read_rttm(data / "dev/rttm" / f"{path.stem}.rttm"),
        )
        for path in (data / "dev" / name for name in REAL)
    }


def diarization(session: Session, data: Path, corpus: Corpus, out: Path) -> dict[str, float]:
    """DER on simulated and on real recordings, per latency for the simulated ones."""
    figures: dict[str, float] = {}
    mixtures = simulated(corpus, 16, 60.0)
    for latency_s in LATENCIES_S:
        score = Der()
        for i, mixture in enumerate(mixtures):
            result = session.process(mixture.pcm, latency_s)
            score.add(turns_of(mixture.active), result)
            (out / f"simulated_{latency_s:g}").mkdir(exist_ok=True, parents=True)
            path = out / f"simulated_{latency_s:g}" / f"{i:02d}.rttm"
            path.write_text(to_rttm(result, f"{i:02d}"))
        figures |= score.figures(f"simulated.latency_{latency_s:g}")
    for name, (pcm, turns) in real_recordings(data).items():
        score = Der()
        result = session.process(pcm)
        score.add(turns, result)
        (out / f"{name}.rttm").write_text(to_rttm(result, name))
        figures |= score.figures(f"real.{name}")
    return figures
