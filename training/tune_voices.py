"""The threshold from which on a voice is called by a known name, from development voices.

Few false names come first: the threshold is the least at which at most `FALSE` per cent of unknown
speakers are called by the name of one of eight known people; what is missed then is printed.

    python -m training.tune_voices --data DATA --bundle echo_edge/default_bundle
"""

import argparse
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echo_edge.attribution.names import NameRules
from echo_edge.session import Session, load
from training.corpora.data import Corpus, load_corpus
from training.scoring.voice_conversations import N_KNOWN, NameScore, scenes
from training.scoring.voice_trials import Trials, run_trials
from training.simulation.augment import room_bank

Array = NDArray[np.float32]
AllTrials = dict[tuple[float, float], Trials]

FALSE = 1.0
"""Per cent of unknown speakers that may get a name, the mean over test lengths."""
MIN_ENROL_S = 15.0
"""What is asked of those who enrol; shorter enrolments are measured, not tuned for."""
THRESHOLDS = np.round(np.arange(0.30, 0.90, 0.01), 2).tolist()
N_SPLITS = 50


def false_names(trials: AllTrials, threshold: float) -> float:
    """Per cent of unknown speakers that get a name, over what is tuned for."""
    tuned = [t for (enrol_s, _), t in trials.items() if enrol_s >= MIN_ENROL_S]
    return float(np.mean([t.shares(threshold, N_KNOWN)["false"] for t in tuned]))


def choose(trials: AllTrials) -> float:
    """The least threshold with few enough false names."""
    return next(x for x in THRESHOLDS if x == THRESHOLDS[-1] or false_names(trials, x) <= FALSE)


def held_out(trials: AllTrials, seed: int) -> tuple[list[float], list[float]]:
    """Thresholds chosen on random halves of the speakers, false names with them on the others."""
    n_speakers = next(iter(trials.values())).scores.shape[1]
    chosen, false = [], []
    for index in range(N_SPLITS):
        order = np.random.default_rng((seed, index)).permutation(n_speakers).tolist()
        half, rest = order[: n_speakers // 2], order[n_speakers // 2 :]
        chosen.append(choose({key: t.select(half) for key, t in trials.items()}))
        false.append(false_names({key: t.select(rest) for key, t in trials.items()}, chosen[-1]))
    return chosen, false


def table(trials: AllTrials, threshold: float) -> str:
    """One row per enrolment and test length, as docs/performance.md has it."""
    rows = ["| enrolled, s | heard, s | tests | named | missed | wrong name | unknown named |"]
    rows.append("|---|---|---|---|---|---|---|")
    for (enrol_s, test_s), t in trials.items():
        share = t.shares(threshold, N_KNOWN)
        values = " | ".join(f"{share[key]:.1f}" for key in ("named", "missed", "wrong", "false"))
        rows.append(f"| {enrol_s:g} | {test_s:g} | {len(t.scores)} | {values} |")
    return "\n".join(rows)


def in_conversations(
    session: Session, corpus: Corpus, rooms: Array | None, n_scenes: int, seed: int
) -> None:
    """Print what becomes of names in whole conversations, live and at the end."""
    scores = {latency_s: NameScore() for latency_s in (2.0, math.inf)}
    for scene in scenes(session, corpus, rooms, n_scenes, seed):
        for latency_s, score in scores.items():
            result = session.process(
                scene.mixture.pcm, latency_s, language_model=False, voices=scene.voices
            )
            score.add(scene, result)
    for latency_s, score in scores.items():
        print(f"latency {latency_s:g} s: {n_scenes} conversations")
        print("\n".join(f"  {name:<20} {value:6.1f}" for name, value in score.figures().items()))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with dev/")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=40, help="whole conversations, 0 for none")
    parser.add_argument("--excerpts", action=argparse.BooleanOptionalAction, default=True)
    args = parser.parse_args()
    corpus = load_corpus([args.data / "dev"], args.cache / "dev")
    rooms = room_bank(args.cache / "rooms_voices.npy", n_rooms=24, n_sources=3, seed=11)
    with load(args.bundle) as session:
        if args.excerpts:
            trials = run_trials(session, corpus, rooms, seed=1)
            chosen, false = held_out(trials, seed=2)
            in_use = NameRules.from_manifest(session.bundle.manifest.decoding).threshold
            print(f"threshold {choose(trials):.2f} (in use: {in_use:.2f})")
            print(
                f"chosen on half of the speakers, {N_SPLITS} times: {np.mean(chosen):.2f} +- "
                f"{np.std(chosen):.2f}; false names of the other half: {np.mean(false):.1f} %"
            )
            print(table(trials, in_use), flush=True)
        if args.scenes:
            in_conversations(session, corpus, rooms, args.scenes, seed=3)


if __name__ == "__main__":
    main()
