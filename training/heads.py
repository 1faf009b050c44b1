"""The heads over a frozen encoder: separation from scratch, diarization and speaker further.

Separated latents learn from the encoder's own latents of each clean source; band masks learn from
the sources' spectra; an empty slot learns the null target.

    python -m training.heads --data DATA --cache runs/cache --start runs/joint/model.safetensors
"""

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from echo_edge_export.checkpoint import load_checkpoint, save_checkpoint
from echo_edge_export.model import Echo, Latents

from .align import load_alignment
from .batches import Batch, Batches, BatchSpec, default_rooms, loader
from .data import load_splits
from .joint import AAM_WEIGHT, features_of, voice_loss
from .loop import Log, Schedule, adamw, load_state, run, save_state
from .losses import ArcFace, separation_loss, turns_loss
from .metrics import quick_look

CHUNKS = (6, 8, 12, 24)
"""Chunk sizes in steps; all divide the 240 steps of a 9.6 s conversation."""

CLEAR_STEPS = 12
"""A voice that is alone for less than half a second in a conversation stays unknown."""
KNOWN_SHARE, STRANGER_SHARE = 0.8, 0.3

SPEC = BatchSpec(read_items=4, read_s=(4.0, 6.0), conversations=4, conversation_s=9.6)


def frozen(model: Echo, pcm: Tensor, chunk_steps: int, left_steps: int) -> Latents:
    """Latents `[B, S, d]` with gradient for the layer mixes only."""
    with torch.no_grad():
        layers = model.encoder.layers(features_of(model, pcm), chunk_steps, left_steps)
    return model.encoder.mixes(layers)


@torch.no_grad()
def clean_latents(model: Echo, sources: Tensor, chunk_steps: int, left_steps: int) -> Tensor:
    """The encoder's latents `[B, K, S, d]` of sources `[B, K, N]`; zero where a source is empty."""
    present = sources.abs().amax(2) > 0
    latents = model.encoder(features_of(model, sources[present]), chunk_steps, left_steps).final
    clean = torch.zeros(*present.shape, *latents.shape[1:])
    clean[present] = latents
    return clean


@torch.no_grad()
def told_voices(
    model: Echo, mixed: Latents, active: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """What slots are told of conversations with voices active `[B, 3, S]`: embeddings `[B, 3, E]`
    and which slots know. Most voices are known, some are not yet; some empty slots wait for a
    voice from elsewhere, which never comes."""
    alone = active * (active.sum(1, keepdim=True) == 1)
    voices = model.speaker(mixed.speaker, alone)
    clear = alone.sum(2) >= CLEAR_STEPS
    chance = torch.rand(clear.shape, generator=generator)
    known = clear & (chance < KNOWN_SHARE)
    absent = ~(active.sum(2) > 0) & clear.roll(1, 0)[:, :1] & (chance < STRANGER_SHARE)
    voices = torch.where(absent[..., None], voices.roll(1, 0)[:, :1], voices)
    told = known | absent
    return voices * told[..., None], told


def separation_part(
    model: Echo,
    batch: Batch,
    mixed: Latents,
    chunk: int,
    left: int,
    generator: torch.Generator,
) -> tuple[Tensor, dict[str, float]]:
    """Loss of the separation head on the batch's conversations."""
    head = model.separation
    with torch.no_grad():
        features, spectrum = model.frontend.whole(batch.mixture)
        sources = torch.stack(
            [model.frontend.spectrum(model.frontend.pad(s)) for s in batch.sources.unbind(1)], 1
        )
    voices, told = told_voices(model, mixed, batch.mixture_active, generator)
    separated, masks, presence = head.whole(mixed.separation, features, voices, chunk, left)
    estimates = spectrum[:, None] * (masks @ head.bands)[..., None]
    clean = clean_latents(model, batch.sources, chunk, left)
    present = batch.mixture_active.sum(2) > 0
    loss, parts, order = separation_loss(estimates, sources, separated, clean, present, told)
    heard = F.max_pool1d(batch.mixture_active, chunk, chunk).cumsum(2) > 0
    target = heard.gather(1, order[:, :, None].expand(-1, -1, heard.shape[2])).transpose(1, 2)
    known = F.binary_cross_entropy_with_logits(presence, target.float())
    return loss + 0.3 * known, {**parts, "presence": known.item()}


def heads_loss(
    model: Echo, arcface: ArcFace, batch: Batch, step: int
) -> tuple[Tensor, dict[str, float]]:
    """All three heads on one batch."""
    generator = torch.Generator().manual_seed(step)
    chunk = CHUNKS[step % len(CHUNKS)]
    left = model.config.left_context_steps
    mixed = frozen(model, batch.mixture, chunk, left)
    read = frozen(model, batch.pcm, chunk, left)
    separation, parts = separation_part(model, batch, mixed, chunk, left, generator)
    turns, same = turns_loss(model.diarization, mixed.diarization, batch.mixture_active)
    voices = voice_loss(model, arcface, batch, read, mixed, 0.2, generator)
    figures = {"diar": turns.item(), "same": same.item(), "aam": voices.item(), **parts}
    return separation + turns + same + AAM_WEIGHT * voices, figures


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and dev/")
    parser.add_argument("--more", type=Path, nargs="*", default=[], help="further training corpora")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--start", type=Path, required=True, help="checkpoint of training.joint")
    parser.add_argument("--arcface", type=Path, help="state.pt of training.joint, for its classes")
    parser.add_argument("--out", type=Path, default=Path("runs/heads"))
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--peak", type=float, default=1e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    corpus, dev = load_splits(args.data, args.cache, args.more)
    alignment = load_alignment(args.cache / "phones.npz")
    batches = Batches(
        corpus, default_rooms(args.cache), SPEC, args.seed, alignment, easy_start=False
    )
    start = load_checkpoint(args.start)
    model = start.model.train()
    model.encoder.requires_grad_(False)
    model.encoder.mix.requires_grad_(True)
    arcface = ArcFace(model.config.embedding_dim, batches.n_voices)
    if args.arcface:
        arcface.load_state_dict(torch.load(args.arcface, weights_only=True)["arcface"])
    trained = [model.separation, model.diarization, model.speaker, arcface, model.encoder]
    optimizer = adamw(trained, args.peak)
    parts = {"model": model, "arcface": arcface, "optimizer": optimizer}
    first = load_state(args.out / "state.pt", parts)

    def after_step(done: int) -> None:
        if done % 50 == 0 or done == args.steps:
            save_state(args.out / "state.pt", parts, done)
            save_checkpoint(args.out / "model.safetensors", model, start.step + done)

    def step_loss(batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        return heads_loss(model, arcface, batch, step)

    schedule = Schedule(args.peak, args.steps, warmup=50, decay=0.5)
    log = Log(args.out / "log.csv", 10, args.steps)
    began = time.monotonic()
    run(step_loss, loader(batches, first, args.steps), first, optimizer, schedule, log, after_step)
    look = quick_look(model, dev)
    print("  ".join(f"{name} {value:.1f}" for name, value in look.items()))
    print(f"{args.steps - first} steps in {(time.monotonic() - began) / 60:.1f} min")


if __name__ == "__main__":
    main()
