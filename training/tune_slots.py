"""Threshold of similarity to share a slot of the separation: highest streaming SI-SDRi.

Conversations of a minute that evaluation does not use, in latencies of 2 s and of infinity: with
the latter a speaker may be several voices while the audio flows.

    python -m training.tune_slots --data DATA --bundle echo_edge/default_bundle
"""

import argparse
import math
from pathlib import Path

import numpy as np

from echo_edge.session import load
from training.corpora.data import load_corpus
from training.scoring.diarization import simulated
from training.scoring.replay import without_words
from training.scoring.separation import audible_gain, streamed

SECONDS = 57.6
"""A whole number of chunks."""
THRESHOLDS = (0.15, 0.2, 0.25, 0.3, 0.4)
LATENCIES_S = (2.0, math.inf)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with dev/")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--conversations", type=int, default=16)
    args = parser.parse_args()
    corpus = load_corpus([args.data / "dev"], args.cache / "dev")
    mixtures = simulated(corpus, args.conversations, SECONDS, seed=180)
    with load(args.bundle) as session:
        for threshold in THRESHOLDS:
            tried = without_words(session, slot_threshold=threshold)
            for latency_s in LATENCIES_S:
                gains = [audible_gain(streamed(tried, m, latency_s), m) for m in mixtures]
                error = np.std(gains) / len(gains) ** 0.5
                print(
                    f"slot_threshold {threshold:.2f}, latency {latency_s:g} s: "
                    f"SI-SDRi {np.mean(gains):.2f} +- {error:.2f} dB",
                    flush=True,
                )


if __name__ == "__main__":
    main()
