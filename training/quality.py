"""Quality of turns and words of bundles, latency by latency.

    python -m training.quality --data DATA --bundle INT8 FLOAT ... [--latency-s 0.5 1 2 5 inf]

Twelve simulated dialogues of unseen readers, in which every utterance is whole, and the real
excerpts of the development set, through the runtime: DER (collar 0, overlap scored, number of
speakers unknown) with its parts, JER, share of right speaker counts, WER whoever said it and cpWER.
Beside them what takes no diarization at all: one speaker all the time, and the true turns, whose
voices are only to be told apart. Then per bundle, on the voices and mixtures of
`training.evaluate`, EER, PIT separation accuracy and SI-SDRi, of a second hearing and live.
Writes OUT.jsonl, OUT.md and all turns as RTTM below OUT.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from echo_edge.board.info import read_board
from echo_edge.errors import EchoError
from echo_edge.session import load
from training.corpora.data import load_corpus
from training.scoring.diarization import simulated
from training.scoring.quality import (
    LATENCIES_S,
    Row,
    conversations,
    excerpts,
    measure,
    one_speaker,
    per_bundle,
    report,
    rows,
    true_turns,
)
from training.scoring.separation import MIXTURE_S, MIXTURES


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, keep; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with dev/")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--bundle", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--latency-s", type=float, nargs="+", default=LATENCIES_S)
    parser.add_argument("--dialogues", type=int, default=12)
    parser.add_argument("--mixtures", type=int, default=MIXTURES, help="for PIT and SI-SDRi")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/quality"))
    args = parser.parse_args(argv)
    corpus = load_corpus([args.data / "dev"], args.cache / "dev")
    sets = {"dialogues": conversations(corpus, args.dialogues), "real": excerpts(args.data)}
    mixtures = simulated(corpus, args.mixtures, MIXTURE_S)
    found: list[Row] = []
    try:
        for folder in args.bundle:
            with load(folder) as session:
                manifest = session.bundle.manifest
                name = f"{manifest.engine.name}_{manifest.recipe}"
                worth = per_bundle(session, corpus, mixtures)
                found.append({"set": "voices, mixtures", "way": name, "latency_s": "", **worth})
                found += rows(session, name, sets, args.latency_s, args.out)
        with load(args.bundle[0]) as session:
            for kind, scenes in sets.items():
                results_of = {
                    "one speaker": [one_speaker(scene) for scene in scenes],
                    "true turns, AHC": [true_turns(session, scene) for scene in scenes],
                }
                found += [
                    {"set": kind, "way": way, "latency_s": ""} | measure(scenes, results)
                    for way, results in results_of.items()
                ]
    except EchoError as error:
        print(f"quality: {error}", file=sys.stderr)
        return error.exit_code
    print(report(found))
    words = ["python -m training.quality", *(sys.argv[1:] if argv is None else argv)]
    about = f"Made by `{' '.join(words)}` on {read_board().cpu}; all in per cent.\n\n"
    args.out.with_suffix(".md").write_text(f"# Turns and words\n\n{about}{report(found)}\n")
    args.out.with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
