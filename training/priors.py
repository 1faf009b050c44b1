"""Phones as likely as what is heard makes them, not as training made them: priors divided out.

CTC learns that nearly every frame is blank, and says so where it is unsure: words are lost. The
log-prior of every phone, times a share, is taken off the bias of the asr head's phones, which
divides each frame's posteriors by the priors and costs nothing at run time (Miao et al., "EESEN",
ASRU 2015). Once per checkpoint: `--start` must not have been through here.

    python -m training.priors --data DATA --start runs/heads/model.safetensors \
        --out runs/priors/model.safetensors
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from echo_edge_export.checkpoint import load_checkpoint, save_checkpoint
from echo_edge_export.model.config import PHONES
from echo_edge_export.model.echo import Echo
from training.corpora.data import Pcm, load_splits
from training.scoring.quick import streamed_latents
from training.scoring.words import READERS

SHARE = 0.5
"""Of the log-prior: WER is flat from 0.3 to 0.6, digits from a list need 0.35 (training/LOG.md)."""


@torch.no_grad()
def phone_priors(model: Echo, utterances: Iterable[Pcm]) -> Tensor:
    """Mean posterior `[phones]` over all frames of utterances `[N]`."""
    total, n_frames = torch.zeros(len(PHONES)), 0
    for pcm in utterances:
        latents = streamed_latents(model, pcm)
        state = torch.zeros(1, model.asr.memory, latents.shape[-1])
        posteriors = model.asr(latents, state)[1][0].exp()
        total, n_frames = total + posteriors.sum(0), n_frames + len(posteriors)
    return total / n_frames


@torch.no_grad()
def divide(model: Echo, priors: Tensor, share: float) -> None:
    """Take `share` of the log-priors `[phones]` off the bias of the model's phones."""
    bias = model.asr.sounds.bias.unflatten(0, (model.asr.n_frames, -1))
    bias -= share * priors.log()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and dev/")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--share", type=float, default=SHARE, help="of the log-priors")
    parser.add_argument("--utterances", type=int, default=150, help="training ones per source")
    args = parser.parse_args()
    corpus, _ = load_splits(args.data, args.cache)
    transcribed = [u for u in corpus.utterances if u.text]
    chosen = []
    for source in READERS.values():
        pool = [u for u in transcribed if u.source == source]
        chosen += pool[:: max(1, len(pool) // args.utterances)]
    chosen = chosen or transcribed[:: max(1, len(transcribed) // args.utterances)]
    if not chosen:
        raise SystemExit(f"priors: {args.data}: found no transcribed utterance to listen to")
    start = load_checkpoint(args.start)
    priors = phone_priors(start.model, (corpus.pcm(u) for u in chosen))
    divide(start.model, priors, args.share)
    dtype = torch.float32 if start.calibration is None else torch.float16
    save_checkpoint(args.out, start.model, start.step, start.calibration, dtype)
    frequent = sorted(zip(PHONES, priors.tolist(), strict=True), key=lambda pair: -pair[1])[:5]
    print("most frequent: " + "  ".join(f"{phone} {share:.3f}" for phone, share in frequent))


if __name__ == "__main__":
    main()
