"""Decoder thresholds by search on development conversations: lowest DER, unknown speaker count.

The encoder runs once per conversation; the search replays its latents through the real decoders.
A row is DER and share of right counts in per cent, live and at the end: of conversations, of
dialogues in whole utterances and, where the data have the timing of real meetings, of those in
simulated rooms. Evaluation uses none of them. Each threshold can be given values of its own.

    python -m training.tune --data DATA --bundle echo_edge/default_bundle
        [--group-threshold 0.3 0.38 ...] [--stretch-threshold ...] [--active-threshold ...] [...]
"""

import argparse
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from echo_edge.session import load
from training.corpora.data import load_corpus
from training.scoring.diarization import Der, simulated, simulated_meetings, turns_of
from training.scoring.replay import CachedEncoding
from training.scoring.words import dialogues
from training.simulation.mixtures import Mixture

GRID = {
    "stretch_threshold": (0.3, 0.35, 0.4, 0.45),
    "group_threshold": (0.3, 0.35, 0.38, 0.4),
    "active_threshold": (0.4, 0.45, 0.5),
    "new_voice_s": (1.0,),
    "gap_s": (0.4,),
    "shortest_turn_s": (0.2,),
}
LATENCIES_S = (2.0, float("inf"))
SEED = 78
"""Evaluation's are 77 and 79, that of `tune_slots` is 180."""


def score(
    mixtures: Sequence[Mixture],
    encodings: Sequence[CachedEncoding],
    latency_s: float,
    **decoding: float,
) -> tuple[float, float]:
    """DER of all conversations with these thresholds and share of right counts, in per cent."""
    der = Der()
    for mixture, each in zip(mixtures, encodings, strict=True):
        der.add(turns_of(mixture.active), each.decide(latency_s, **decoding))
    figures = der.figures("x")
    return figures["x.der"], figures["x.count_right"]


def search(
    cases: Sequence[Sequence[Mixture]],
    encodings: Sequence[Sequence[CachedEncoding]],
    grid: Mapping[str, Sequence[float]],
) -> tuple[float, dict[str, float]]:
    """Print a row for every point of the grid; the lowest mean DER of all cases, and where."""
    rows = []
    for values in itertools.product(*grid.values()):
        decoding = dict(zip(grid, values, strict=True))
        found = [
            score(case, each, latency_s, **decoding)
            for case, each in zip(cases, encodings, strict=True)
            for latency_s in LATENCIES_S
            if case
        ]
        rows.append((sum(der for der, _ in found) / len(found), decoding))
        shown = "  ".join(f"{der:6.2f} {right:3.0f}" for der, right in found)
        print(f"{shown}  {decoding}", flush=True)
    return min(rows, key=lambda row: row[0])


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with dev/ and timing/")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--conversations", type=int, default=8, help="and as many dialogues")
    parser.add_argument("--seed", type=int, default=SEED, help="of all that is simulated")
    for name, values in GRID.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=float, nargs="+", default=values, metavar="VALUE")
    args = parser.parse_args(arguments)
    grid = {name: getattr(args, name) for name in GRID}
    corpus = load_corpus([args.data / "dev"], args.cache / "dev")
    timing = args.data / "timing/ami_dev.rttm"
    cases = [
        simulated(corpus, args.conversations, 60.0, seed=args.seed),
        [mixture for mixture, _ in dialogues(corpus, args.conversations, args.seed)],
        list(simulated_meetings(corpus, timing, args.cache, 60.0, seed=args.seed)),
    ]
    with load(args.bundle, threads=2) as session:
        encodings = [[CachedEncoding(session, mixture.pcm) for mixture in case] for case in cases]
        mean, decoding = search(cases, encodings, grid)
    print(f"best: mean DER {mean:.2f}: {decoding}")


if __name__ == "__main__":
    main()
