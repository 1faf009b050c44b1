"""Joint training of the encoder with the transcription, speaker and diarization heads.

Every step: phones frame by frame, CTC and ArcFace on read speech, powerset diarization and ArcFace
on simulated conversations, under a random chunk size. Stops and resumes at any step.

    python -m training.joint --data DATA --cache runs/cache --out runs/joint --steps 2400
"""

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor

from echo_edge_export.checkpoint import load_checkpoint, save_checkpoint
from echo_edge_export.config import EchoConfig
from echo_edge_export.model import Echo, Latents

from .align import load_alignment
from .batches import EASY_STEPS, Batch, Batches, BatchSpec, default_rooms, loader
from .data import load_splits
from .grow import grow
from .loop import Log, Schedule, adamw, load_state, run, save_state
from .losses import ArcFace, PhoneHead, ctc_loss, turns_loss
from .metrics import quick_look

AAM_WEIGHT, DIARIZATION_WEIGHT = 0.1, 0.3
"""Small beside the words' losses: ArcFace starts at 8 nats and would steer the encoder alone."""


def features_of(model: Echo, pcm: Tensor) -> Tensor:
    """Log-mel features `[B, T, n_mels]` of `[B, N]` PCM, no gradient."""
    with torch.no_grad():
        return model.frontend.whole(pcm)[0]


def spec_augment(features: Tensor, generator: torch.Generator) -> Tensor:
    """Two frequency masks of up to 12 mels and two time masks of up to 20 frames per item."""
    masked = features.clone()
    for item in masked:
        for _ in range(2):
            width = int(torch.randint(0, 13, (), generator=generator))
            at = int(torch.randint(0, item.shape[1] - width, (), generator=generator))
            item[:, at : at + width] = 0.0
            width = int(torch.randint(0, 21, (), generator=generator))
            at = int(torch.randint(0, item.shape[0] - width, (), generator=generator))
            item[at : at + width] = 0.0
    return masked


def excerpt(active: Tensor, generator: torch.Generator) -> Tensor:
    """Keep one random stretch of 1 to 5 s of each row `[B, S]`: short turns must identify too."""
    kept = torch.zeros_like(active)
    for row, source in zip(kept, active, strict=True):
        spoken = torch.nonzero(source)[:, 0]
        if len(spoken) == 0:
            continue
        length = int(torch.randint(25, 126, (), generator=generator))
        first = int(torch.randint(0, max(1, len(spoken) - length + 1), (), generator=generator))
        chosen = spoken[first : first + length]
        row[chosen] = source[chosen]
    return kept


def voice_loss(
    model: Echo,
    arcface: ArcFace,
    batch: Batch,
    read: Latents,
    mixed: Latents,
    margin: float,
    generator: torch.Generator,
) -> Tensor:
    """ArcFace over two excerpts of every read item and every voice of the conversations where it
    speaks alone; voices with less than 12 clean steps or without a class are left out."""
    excerpts = torch.stack([excerpt(batch.active, generator) for _ in range(2)], 1)
    alone = batch.mixture_active * (batch.mixture_active.sum(1, keepdim=True) == 1)
    pooled = torch.cat(
        [
            model.speaker.pool(read.speaker, excerpts).flatten(0, 1),
            model.speaker.pool(mixed.speaker, alone).flatten(0, 1),
        ]
    )
    classes = torch.cat([batch.voices.repeat_interleave(2), batch.mixture_voices.flatten()])
    heard = torch.cat([excerpts.sum(2).flatten(), alone.sum(2).flatten()]) >= 12
    known = (classes >= 0) & heard
    if known.sum() < 2:
        return pooled.sum() * 0.0
    embeddings = model.speaker.embed(model.speaker.batch_norm(pooled[known]))
    loss: Tensor = arcface(embeddings, classes[known], margin)
    return loss


def set_statistics(model: Echo, batches: Batches, n_batches: int = 40) -> None:
    """Mean and deviation of every mel band over the first training batches."""
    frames = torch.cat([features_of(model, batches[i].pcm).flatten(0, 1) for i in range(n_batches)])
    model.frontend.mean.copy_(frames.mean(0))
    model.frontend.std.copy_(frames.std(0))


def joint_loss(
    model: Echo,
    arcface: ArcFace,
    phone_head: PhoneHead,
    batch: Batch,
    step: int,
    margin: float,
    masked: bool,
) -> tuple[Tensor, dict[str, float]]:
    """Weighted sum of the tasks' losses and its parts; `masked` turns on SpecAugment."""
    generator = torch.Generator().manual_seed(step)
    features = features_of(model, batch.pcm)
    if masked:
        features = spec_augment(features, generator)
    read = model.encoder(features, batch.chunk_steps, batch.left_steps)
    state = torch.zeros(len(features), model.asr.memory, read.asr.shape[-1])
    ctc = ctc_loss(model.asr(read.asr, state)[0], batch.targets, batch.target_lengths)
    phones, phones_right = phone_head(read.asr, batch.phones)
    mixed = model.encoder(features_of(model, batch.mixture), batch.chunk_steps, batch.left_steps)
    turns, same = turns_loss(model.diarization, mixed.diarization, batch.mixture_active)
    voices = voice_loss(model, arcface, batch, read, mixed, margin, generator)
    total = phones + ctc + AAM_WEIGHT * voices + DIARIZATION_WEIGHT * (turns + same)
    figures = {"ctc": ctc.item(), "aam": voices.item(), "diar": turns.item(), "same": same.item()}
    return total, {"phones": phones.item(), "phones_right": phones_right, **figures}


def parse_args() -> argparse.Namespace:
    """Options of this step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and dev/")
    parser.add_argument("--more", type=Path, nargs="*", default=[], help="further training corpora")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--out", type=Path, default=Path("runs/joint"))
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--layers", type=int, default=EchoConfig().n_layers)
    parser.add_argument("--grow", type=Path, help="start from this shallower model's folder")
    parser.add_argument("--peak", type=float, default=8e-4, help="peak learning rate")
    parser.add_argument("--decay", type=float, default=0.3, help="last share of steps that decays")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--read-items", type=int, default=5, help="read utterances per step")
    parser.add_argument("--conversations", type=int, default=3, help="conversations per step")
    parser.add_argument(
        "--roughness", type=float, default=1.0, help="share of the augmentation of read speech"
    )
    parser.add_argument("--look-every", type=int, default=300, help="steps between quick looks")
    parser.add_argument("--save-every", type=int, default=100)
    return parser.parse_args()


def main() -> None:
    """Command line."""
    args = parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    corpus, dev = load_splits(args.data, args.cache, args.more)
    spec = BatchSpec(args.read_items, conversations=args.conversations)
    alignment = load_alignment(args.cache / "phones.npz")
    batches = Batches(
        corpus, default_rooms(args.cache), spec, args.seed, alignment,
        easy_start=args.grow is None, roughness=args.roughness,
    )  # fmt: skip
    model = Echo(EchoConfig(n_layers=args.layers))
    arcface = ArcFace(model.config.embedding_dim, batches.n_voices)
    phone_head = PhoneHead(model.config.d_model, len(alignment.phones))
    resumed = (args.out / "state.pt").exists()
    if args.grow and not resumed:
        model = grow(load_checkpoint(args.grow / "model.safetensors").model.train(), args.layers)
        load_state(args.grow / "state.pt", {"arcface": arcface, "phone_head": phone_head})
    print({name: f"{count / 1e6:.3f} M" for name, count in model.parameter_counts().items()})
    trained = [model.encoder, model.asr, model.speaker, model.diarization, arcface, phone_head]
    optimizer = adamw(trained, args.peak)
    parts = {"model": model, "arcface": arcface, "phone_head": phone_head, "optimizer": optimizer}
    first = load_state(args.out / "state.pt", parts)
    if not args.grow and not resumed:
        set_statistics(model, batches)
    schedule = Schedule(args.peak, args.steps, decay=args.decay)
    log = Log(args.out / "log.csv", 20, args.steps)

    def after_step(done: int) -> None:
        if done % args.save_every == 0 or done == args.steps:
            save_state(args.out / "state.pt", parts, done)
            save_checkpoint(args.out / "model.safetensors", model, done)
        if done % args.look_every == 0 or done == args.steps:
            look = quick_look(model, dev)
            print(f"step {done}  " + "  ".join(f"{k} {v:.1f}" for k, v in look.items()), flush=True)
            Log(args.out / "look.csv", 1, args.steps).write({"step": done, **look})

    def step_loss(batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        ramp = min(1.0, max(0.0, (step / args.steps - 0.2) / 0.3))
        masked = step >= EASY_STEPS and args.roughness > 0.5
        return joint_loss(model, arcface, phone_head, batch, step, 0.2 * ramp, masked)

    started = time.monotonic()
    run(step_loss, loader(batches, first, args.steps), first, optimizer, schedule, log, after_step)
    print(f"{args.steps - first} steps in {(time.monotonic() - started) / 60:.1f} min")


if __name__ == "__main__":
    main()
