"""Cost of a codebook between encoder and words: as in the paper, and without one.

The encoder stays as it is. Two transcription heads of the shipped shape learn from nothing, by CTC
on the same transcripts in the same order: one reads the continuous latents, the other each latent's
nearest of so many codes (k-means on training latents). Both then read unseen people, best path.

    python -m training.bottleneck --data DATA --checkpoint models/echo-25m.safetensors
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from echo_edge_export.checkpoint import load_checkpoint
from echo_edge_export.model.config import TOKENS, EchoConfig
from echo_edge_export.model.echo import Echo
from echo_edge_export.model.heads import AsrHead
from training.corpora.data import Corpus, Utterance, load_splits
from training.objectives.losses import ctc_loss
from training.scoring.quick import encode, error_rates, greedy
from training.scoring.words import READERS
from training.simulation.mixtures import STEP_SAMPLES
from training.stages.loop import Schedule, adamw

BATCH = 16
PEAK = 1e-3
SAMPLED_STEPS = 60_000
"""Latents of which the codes are the means."""

Bottleneck = Callable[[Tensor], Tensor]


def latents_of(model: Echo, corpus: Corpus, utterances: Sequence[Utterance]) -> list[Tensor]:
    """The latents that words are read from, float16 `[S, d]` each, under the streaming mask."""
    found = []
    for u in utterances:
        pcm = np.pad(corpus.pcm(u), (1600, 8000))
        pcm = pcm[: len(pcm) // STEP_SAMPLES * STEP_SAMPLES]
        found.append(encode(model, torch.from_numpy(pcm)[None])[3][0].half())
    return found


def codebook(latents: Sequence[Tensor], n_codes: int, seed: int) -> Tensor:
    """Codes `[n, d]`: k-means of normalized training latents."""
    rng = np.random.default_rng(seed)
    steps = torch.cat(list(latents))
    drawn = torch.from_numpy(rng.permutation(len(steps))[:SAMPLED_STEPS])
    points = normalized(steps[drawn].float()).numpy()
    codes: NDArray[np.float32] = kmeans2(points, n_codes, iter=12, minit="points", seed=rng)[0]
    return torch.from_numpy(codes)


def normalized(latents: Tensor) -> Tensor:
    """Normalizes latents as the head does, without its scales."""
    return F.layer_norm(latents, latents.shape[-1:])


def nearest(codes: Tensor) -> Bottleneck:
    """Every latent becomes its nearest code."""

    def through(latents: Tensor) -> Tensor:
        flat = normalized(latents).flatten(0, 1)
        distance = codes.square().sum(1) - 2.0 * flat @ codes.T
        return codes[distance.argmin(1)].view_as(latents)

    return through


def batches(n: int, epochs: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Every utterance once per epoch, in another order."""
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(n)
        yield from (order[i : i + BATCH] for i in range(0, n - BATCH + 1, BATCH))


def learn(
    latents: Sequence[Tensor], texts: Sequence[str], through: Bottleneck, epochs: int, seed: int
) -> AsrHead:
    """A head that learned to spell what it reads through a bottleneck."""
    torch.manual_seed(seed)
    head = AsrHead(EchoConfig(d_model=latents[0].shape[1])).train()
    optimizer = adamw([head], PEAK)
    steps = list(batches(len(texts), epochs, seed))
    schedule = Schedule(PEAK, len(steps), decay=0.7)
    for step, chosen in enumerate(steps):
        read = pad_sequence([latents[i].float() for i in chosen], batch_first=True)
        targets = [torch.tensor(spell(texts[i])) for i in chosen]
        logprobs = head(through(read), torch.zeros(len(read), head.memory, read.shape[-1]))[0]
        loss = ctc_loss(
            logprobs,
            pad_sequence(targets, batch_first=True),
            torch.tensor([len(s) for s in targets]),
        )
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 200 == 0:
            print(f"  step {step}/{len(steps)}  ctc {loss.item():.2f}", flush=True)
    return head.eval()


def spell(text: str) -> list[int]:
    """Tokens of a normalized text."""
    return [TOKENS.index("<space>" if c == " " else c) for c in text]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and dev/")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--codes", type=int, nargs="+", default=[512], help="codebook sizes")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--every", type=int, default=1, help="only every so many utterances")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    train, dev = load_splits(args.data, args.cache)
    model = load_checkpoint(args.checkpoint).model.eval()
    spoken = [u for u in train.utterances if u.text and 1.0 < u.duration_s < 16.0]
    spoken = spoken[:: args.every]
    with torch.no_grad():
        latents = latents_of(model, train, spoken)
        ways: dict[str, Bottleneck] = {"continuous": lambda latents: latents}
        ways |= {f"{n} codes": nearest(codebook(latents, n, args.seed)) for n in args.codes}
        pools = {
            name: [u for u in dev.utterances if u.source == source and u.text][::2]
            for name, source in READERS.items()
        }
        unseen = {name: latents_of(model, dev, pool) for name, pool in pools.items()}
    print(f"{len(spoken)} utterances, {sum(len(x) for x in latents)} steps", flush=True)
    for way, through in ways.items():
        head = learn(latents, [u.text for u in spoken], through, args.epochs, args.seed)
        for name, pool in pools.items():
            with torch.no_grad():
                state = torch.zeros(1, head.memory, latents[0].shape[1])
                texts = [greedy(head(through(x[None].float()), state)[0][0]) for x in unseen[name]]
            rates = error_rates([u.text for u in pool], texts)
            print(
                f"{way:<12} {name}: CER {rates['cer']:.1f} %  WER {rates['wer']:.1f} %", flush=True
            )


if __name__ == "__main__":
    main()
