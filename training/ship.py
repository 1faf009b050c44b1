"""A trained checkpoint made ready to export: SmoothQuant folded in, calibration stored, half size.

    python -m training.ship --data DATA --start runs/heads/model.safetensors \
        --out models/echo-25m.safetensors
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from echo_edge_export.checkpoint import load_checkpoint, save_checkpoint
from echo_edge_export.quantize.calibrate import calibrate
from training.corpora.data import load_splits
from training.simulation.mixtures import conversation

CHUNK_STEPS = 12


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and dev/")
    parser.add_argument("--more", type=Path, nargs="*", default=[], help="further training corpora")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=20, help="training conversations of 10 s")
    args = parser.parse_args()
    corpus, _ = load_splits(args.data, args.cache, args.more)
    voices = corpus.by_speaker()
    clips = [
        conversation(corpus, voices, None, 10.0, 1 + i % 3, np.random.default_rng((5, i))).pcm
        for i in range(args.clips)
    ]
    start = load_checkpoint(args.start)
    model, calibration = calibrate(start.model, clips, CHUNK_STEPS)
    save_checkpoint(args.out, model, start.step, calibration, torch.float16)
    print(
        f"{args.out}: {args.out.stat().st_size / 2**20:.1f} MiB, {len(calibration.ranges)} ranges"
    )


if __name__ == "__main__":
    main()
