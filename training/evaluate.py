"""All figures of a bundle through the shipped runtime, on speakers unseen in training.

Every figure prints with its protocol; hypotheses are stored beside the figures.

    python -m training.evaluate --data DATA --bundle echo_edge/default_bundle --out runs/evaluation
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from echo_edge.session import load
from training.corpora.data import load_corpus
from training.scoring.diarization import diarization, real_recordings, simulated
from training.scoring.nonspeech import nonspeech_figures
from training.scoring.separation import MIXTURE_S, MIXTURES, separation_figures
from training.scoring.voices import in_one_room, voices
from training.scoring.words import conversations, digits, transcription

PARTS = ("words", "voices", "turns", "sources", "nonspeech")


def report(figures: dict[str, float]) -> str:
    """One line per figure."""
    return "\n".join(f"{name:<40} {value:8.2f}" for name, value in figures.items())


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with dev/")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="some figures")
    parser.add_argument("--out", type=Path, default=Path("runs/evaluation"))
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    corpus = load_corpus([args.data / "dev"], args.cache / "dev")
    figures: dict[str, float] = {}
    with load(args.bundle) as session:
        if "words" in args.only:
            figures |= transcription(session, corpus, args.out)
            figures |= digits(session, corpus, args.out)
            figures |= conversations(session, corpus, args.out)
        if "voices" in args.only:
            figures |= voices(session, corpus, args.out)
            figures |= in_one_room(session, list(real_recordings(args.data).values()))
        if "turns" in args.only:
            figures |= diarization(session, args.data, args.cache, corpus, args.out)
        if "sources" in args.only:
            figures |= separation_figures(session, simulated(corpus, MIXTURES, MIXTURE_S))
        if "nonspeech" in args.only:
            figures |= nonspeech_figures(session)
    print(report(figures))
    (args.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
