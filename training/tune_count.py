"""Calibration of the number of speakers: is its confidence the share of right answers?

Simulated development conversations of one to three voices. Beside the confidence in use, which
is a curve of the clustering's margin, stands one fitted anew, judged on halves that it was not
fitted to: where that is better, it should be taken.

    python -m training.tune_count --data DATA --bundle echo_edge/default_bundle --plot FILE.svg
"""

import argparse
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echo_edge.session import Session, load
from training.corpora.data import Corpus, load_corpus
from training.scoring.replay import CachedEncoding
from training.simulation.mixtures import ENOUGH, MAX_SPEAKERS, Mixture, conversation

Table = NDArray[np.float64]

SECONDS = (30.0, 60.0, 90.0)
LIVE_S = 2.0
N_BINS = 5
N_SPLITS = 50


def conversations(corpus: Corpus, n: int, seed: int) -> list[Mixture]:
    """Conversations of one, two and three voices, of three lengths, dry, with noise."""
    voices = corpus.by_speaker(ENOUGH)
    return [
        conversation(
            corpus, voices, None, SECONDS[i // MAX_SPEAKERS % len(SECONDS)], 1 + i % MAX_SPEAKERS,
            np.random.default_rng((seed, i)),
        )
        for i in range(n)
    ]  # fmt: skip


@dataclass(frozen=True)
class Counted:
    """One conversation: the truth, the counts at the end and live, and what they were based on."""

    truth: int
    end: int
    live: int
    confidence: float
    """In the count at the end."""
    min_speech_s: float
    """Speech of the speaker who says least."""


def counted(session: Session, mixture: Mixture) -> Counted:
    """Count the speakers of a conversation at the end, and live on the same latents."""
    encoding = CachedEncoding(session, mixture.pcm)
    end, live = encoding.decide(math.inf), encoding.decide(LIVE_S)
    return Counted(
        int(mixture.active.any(1).sum()),
        end.speaker_count.value,
        live.speaker_count.value,
        round(end.speaker_count.confidence, 6),
        min((speaker.speech_s for speaker in end.speakers), default=0.0),
    )


def fit(margins: Table, right: Table) -> tuple[float, float]:
    """Offset and slope of the logistic curve of greatest likelihood, held back a little."""
    rows = np.stack([np.ones_like(margins), margins], axis=1)
    weights = np.zeros(2)
    for _ in range(50):  # Newton's method
        shares = 1.0 / (1.0 + np.exp(-rows @ weights))
        gradient = rows.T @ (right - shares) - 0.02 * weights
        curvature = (rows * (shares * (1 - shares))[:, None]).T @ rows + 0.02 * np.eye(2)
        weights += np.linalg.solve(curvature, gradient)
    return float(weights[0]), float(weights[1])


def curve(margins: Table, offset: float, slope: float) -> Table:
    """Confidence of each margin."""
    return 1.0 / (1.0 + np.exp(-(offset + slope * margins)))


def held_out(margins: Table, right: Table, seed: int) -> Table:
    """Confidence of each conversation, the mean over curves fitted to halves without it."""
    sums, n_fits = np.zeros(len(right)), np.zeros(len(right))
    for index in range(N_SPLITS):
        order = np.random.default_rng((seed, index)).permutation(len(right))
        half, rest = np.split(order, [len(order) // 2])
        sums[rest] += curve(margins[rest], *fit(margins[half], right[half]))
        n_fits[rest] += 1
    return sums / np.maximum(n_fits, 1)


def bins(margins: Table) -> list[NDArray[np.int64]]:
    """Conversations of like margins, about equally many each; equal margins stay together."""
    edges = np.unique(np.quantile(margins, np.linspace(0, 1, N_BINS + 1))[1:-1])
    place = np.searchsorted(edges, margins, side="left")
    return [rows for n in range(len(edges) + 1) if len(rows := np.flatnonzero(place == n))]


def report(name: str, confidence: Table, margins: Table, right: Table) -> None:
    """One row per bin, and what is wrong with the confidences as a whole."""
    parts = bins(margins)
    gaps = [abs(float(np.mean(confidence[p] - right[p]))) * len(p) for p in parts]
    brier = float(np.mean((confidence - right) ** 2))
    print(f"{name}: calibration error {100 * sum(gaps) / len(right):.1f} points, Brier {brier:.3f}")
    print("| confidence | right | conversations |\n|---|---|---|")
    for p in parts:
        print(f"| {confidence[p].mean():.2f} | {right[p].mean():.2f} | {len(p)} |")


def plot(path: Path, before: Table, after: Table, margins: Table, right: Table) -> None:
    """The reliability diagram."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "echo-edge"  # the same bytes every time
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(4.2, 4.2))
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for name, confidence in (("in use", before), ("curve, held out", after)):
        rows = [(confidence[p].mean(), right[p].mean()) for p in bins(margins)]
        axes.plot(*zip(*rows, strict=True), marker="o", label=name)
    axes.set(xlabel="confidence", ylabel="share of right counts", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left")
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with dev/")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--conversations", type=int, default=90)
    parser.add_argument("--out", type=Path, default=Path("runs/count.json"), help="every count")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="the reliability diagram")
    args = parser.parse_args()
    corpus = load_corpus([args.data / "dev"], args.cache / "dev")
    with load(args.bundle) as session:
        decoding = session.bundle.manifest.decoding
        mixtures = conversations(corpus, args.conversations, seed=79)
        found = [counted(session, mixture) for mixture in mixtures]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps([asdict(each) for each in found], indent=1) + "\n")
    raw = np.array([each.confidence for each in found])
    likely = np.clip(raw, 1e-6, 1.0 - 1e-6)
    margins = np.log(likely / (1.0 - likely)) / decoding.count_slope
    right = np.array([float(each.end == each.truth) for each in found])
    live = float(np.mean([each.live == each.truth for each in found]))
    offset, slope = fit(margins, right)
    print(f"curve {offset:.2f}, {slope:.2f}")
    in_use = f"(in use: {decoding.count_confidence:.2f})"
    print(f"right at the end: {right.mean():.2f}; live: {live:.2f} {in_use}")
    report("in use", raw, margins, right)
    after = held_out(margins, right, seed=4)
    report("curve, held out", after, margins, right)
    if args.plot is not None:
        plot(args.plot, raw, after, margins, right)


if __name__ == "__main__":
    main()
