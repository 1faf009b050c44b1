"""Figures on development data straight from the torch model: CER, powerset error, EER.

For watching a training run, and for what an ablation's checkpoints do with other lengths of chunks.
Headline numbers come from `training.evaluate`, through the runtime.

    python -m training.metrics --data DATA CHECKPOINT ... [--chunk-steps 4 12 1000]
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from echo_edge_export.checkpoint import load_checkpoint
from training.corpora.data import load_corpus
from training.scoring.quick import CHUNK_STEPS, quick_figures


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="CHECKPOINT")
    parser.add_argument("--data", type=Path, required=True, help="folder with dev/")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--chunk-steps", type=int, nargs="+", default=[CHUNK_STEPS], metavar="N")
    args = parser.parse_args(arguments)
    dev = load_corpus([args.data / "dev"], args.cache / "dev")
    for path in args.checkpoints:
        model = load_checkpoint(path).model
        for steps in args.chunk_steps:
            found = quick_figures(model, dev, chunk_steps=steps)
            figures = "  ".join(f"{name} {value:.1f}" for name, value in found.items())
            print(f"{path}  chunks of {steps} steps  {figures}", flush=True)


if __name__ == "__main__":
    main()
