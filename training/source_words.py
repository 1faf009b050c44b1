"""What it is worth to transcribe each separated voice on its own, and what it takes.

    python -m training.source_words --data DATA --bundle echo_edge/default_bundle

Simulated dialogues of unseen readers, of seeds by which nothing was chosen: of two or three, of two
or three with much overlap, and of five, who are more than the separation has slots. Each goes
through the runtime twice, in turns: words of the mixture, and `transcribe_sources`. WER is of all
words in the order of their start, so where two speak at once it counts words of both as misplaced;
cpWER does not.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jiwer
import numpy as np
from meeteval.wer import combine_error_rates, cp_word_error_rate

from echo_edge.bench.report.table import markdown
from echo_edge.board.info import read_board
from echo_edge.session import Session, load
from training.corpora.data import SAMPLE_RATE, load_corpus
from training.scoring.quality import by_start
from training.scoring.words import GAP_S, by_speaker, dialogues, words_of
from training.simulation.mixtures import Mixture

SEED = 190
KINDS = {
    "two or three": ((2, 3), GAP_S),
    "two or three, much overlap": ((2, 3), (-1.5, 0.8)),
    "five": ((5,), GAP_S),
}
"""Numbers of speakers; mean and standard deviation of the silence between utterances, which
overlap where it is below 0."""
WAYS = {"mixture": False, "each source": True}
COLUMNS = ("speakers", "latency_s", "words of", "WER", "cpWER", "difference", "RTF")


@dataclass(frozen=True)
class Told:
    """One dialogue one way."""

    errors: object
    """As meeteval counts them for cpWER."""
    cpwer: float
    wer: float
    wall_s: float


def tell(
    session: Session,
    mixture: Mixture,
    said: list[tuple[str, str]],
    latency_s: float,
    transcribe_sources: bool,
) -> Told:
    """One dialogue through the runtime; rates in per cent."""
    started = time.perf_counter()
    result = session.process(mixture.pcm, latency_s, transcribe_sources=transcribe_sources)
    wall_s = time.perf_counter() - started
    errors = cp_word_error_rate(
        by_speaker(said), words_of(result), reference_sort=False, hypothesis_sort=False
    )
    truth = " ".join(text for _, text in said)
    wer = jiwer.wer(truth, " ".join(word.text for word in by_start(result)))
    return Told(errors, 100.0 * errors.error_rate, 100.0 * wer, wall_s)


def rows(
    kind: str, latency_s: float, told: dict[str, list[Told]], audio_s: float
) -> list[list[str]]:
    """One row per way; differences from the first way, with their standard error."""
    first = np.array([each.cpwer for each in next(iter(told.values()))])
    found = []
    for way, results in told.items():
        more = np.array([each.cpwer for each in results]) - first
        error = more.std(ddof=1) / len(more) ** 0.5
        rate = combine_error_rates(*(each.errors for each in results)).error_rate
        found.append(
            [
                kind,
                f"{latency_s:g}",
                way,
                f"{np.mean([each.wer for each in results]):.1f}",
                f"{100.0 * rate:.1f}",
                f"{more.mean():+.1f} +- {error:.1f}" if more.any() else "",
                f"{sum(each.wall_s for each in results) / audio_s:.3f}",
            ]
        )
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with dev/")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--dialogues", type=int, default=16, help="of each kind")
    parser.add_argument("--latency-s", type=float, nargs="+", default=(2.0, float("inf")))
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args(argv)
    corpus = load_corpus([args.data / "dev"], args.cache / "dev")
    cells = []
    with load(args.bundle) as session:
        for kind, (speakers, gap_s) in KINDS.items():
            scenes = list(dialogues(corpus, args.dialogues, args.seed, speakers, gap_s))
            audio_s = sum(len(mixture.pcm) for mixture, _ in scenes) / SAMPLE_RATE
            n_active = np.concatenate([mixture.active.sum(0) for mixture, _ in scenes])
            overlap = (n_active > 1).sum() / (n_active > 0).sum()
            for latency_s in args.latency_s:
                told: dict[str, list[Told]] = {way: [] for way in WAYS}
                for mixture, said in scenes:
                    for way, sources in WAYS.items():
                        told[way].append(tell(session, mixture, said, latency_s, sources))
                cells += rows(f"{kind} ({overlap:.0%} overlap)", latency_s, told, audio_s)
                print(markdown(COLUMNS, cells[-len(WAYS) :]), flush=True)
    print(f"\n{markdown(COLUMNS, cells)}\n\nOn {read_board().cpu}; rates in per cent.")


if __name__ == "__main__":
    main()
