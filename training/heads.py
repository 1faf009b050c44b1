"""The heads over a frozen encoder, further, with what the joint training leaves no time for.

python -m training.heads --data DATA --cache runs/cache --start runs/joint/model.safetensors
"""

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor

from echo_edge_export.checkpoint import load_checkpoint, save_checkpoint
from echo_edge_export.model.echo import Echo, Latents
from training.corpora.alignment import load_alignment
from training.corpora.data import Corpus, load_splits
from training.objectives.heads import features_of, sources_loss, words_loss
from training.objectives.losses import ArcFace, turns_loss
from training.objectives.voices import voice_loss
from training.scoring.quick import quick_figures
from training.simulation.batch import Batch
from training.simulation.batches import Batches, BatchSpec, default_rooms, loader
from training.simulation.meetings import load_meetings, load_timing
from training.stages.loop import Log, Schedule, adamw, choose_device, load_state, run, save_state
from training.stages.step import Weights

CHUNKS = (6, 8, 12, 24)
"""Chunk sizes in steps; all divide the 240 steps of a 9.6 s conversation."""

SPEC = BatchSpec(read_items=4, read_s=(4.0, 6.0), conversations=4, conversation_s=9.6)


def frozen(model: Echo, pcm: Tensor, chunk_steps: int, left_steps: int) -> Latents:
    """Latents `[B, S, d]` with gradient for the layer mixes only."""
    with torch.no_grad():
        layers = model.encoder.layers(features_of(model, pcm), chunk_steps, left_steps)
    return model.encoder.mixes(layers)


def heads_loss(
    model: Echo, arcface: ArcFace, batch: Batch, step: int
) -> tuple[Tensor, dict[str, float]]:
    """All four heads on one batch."""
    generator = torch.Generator().manual_seed(step)
    chunk = CHUNKS[step % len(CHUNKS)]
    left = model.config.left_context_steps
    mixed = frozen(model, batch.mixture, chunk, left)
    read = frozen(model, batch.pcm, chunk, left)
    separation, parts = sources_loss(model, batch, mixed, chunk, left, generator)
    turns, same = turns_loss(model.diarization, mixed.diarization, batch.mixture_active)
    voices, _ = voice_loss(model, arcface, batch, read, mixed, 0.2, generator)
    spoken, words = words_loss(model, read.asr, batch)
    figures = {**words, "diar": turns.item(), "same": same.item(), "aam": voices.item(), **parts}
    return separation + turns + same + spoken + Weights.voices * voices, figures


def parse_args() -> argparse.Namespace:
    """Options of this step."""
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
    parser.add_argument("--device", default="cpu", help="where to train: cpu, cuda, ...")
    parser.add_argument("--workers", type=int, default=1, help="processes that make batches")
    return parser.parse_args()


def load_batches(args: argparse.Namespace, corpus: Corpus) -> Batches:
    """Read items and conversations of the full task, from the first step on."""
    return Batches(
        corpus, default_rooms(args.cache), SPEC, args.seed,
        load_alignment(args.cache / "phones.npz"), easy_start=False,
        meetings=load_meetings(corpus, args.data / "train/rttm"),
        timing=load_timing(args.data / "timing/ami_dev.rttm"),
    )  # fmt: skip


def build(args: argparse.Namespace, n_voices: int) -> tuple[Echo, ArcFace, int]:
    """The model of `--start`, its encoder frozen but for the layer mixes; the speaker classes; and
    for how many steps the model has been trained."""
    start = load_checkpoint(args.start)
    model = start.model.train()
    model.encoder.requires_grad_(False)
    model.encoder.mix.requires_grad_(True)
    arcface = ArcFace(model.config.embedding_dim, n_voices)
    if args.arcface:
        stored = torch.load(args.arcface, map_location="cpu", weights_only=True)
        arcface.load_state_dict(stored["arcface"])
    device = choose_device(args.device)
    return model.to(device), arcface.to(device), start.step


def main() -> None:
    """Command line."""
    args = parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    corpus, dev = load_splits(args.data, args.cache, args.more)
    batches = load_batches(args, corpus)
    model, arcface, steps_before = build(args, batches.n_voices)
    heads = [model.separation, model.diarization, model.speaker, model.asr]
    optimizer = adamw([*heads, arcface, model.encoder], args.peak)
    parts = {"model": model, "arcface": arcface, "optimizer": optimizer}
    first = load_state(args.out / "state.pt", parts)

    def after_step(done: int) -> None:
        if done % 50 == 0 or done == args.steps:
            save_state(args.out / "state.pt", parts, done)
            save_checkpoint(args.out / "model.safetensors", model, steps_before + done)

    def step_loss(batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        return heads_loss(model, arcface, batch, step)

    schedule = Schedule(args.peak, args.steps, warmup=50, decay=0.5)
    log = Log(args.out / "log.csv", 10, args.steps)
    began = time.monotonic()
    ahead = loader(batches, first, args.steps, workers=args.workers)
    run(step_loss, ahead, first, optimizer, schedule, log, after_step)
    found = quick_figures(model, dev)
    print("  ".join(f"{name} {value:.1f}" for name, value in found.items()))
    print(f"{args.steps - first} steps in {(time.monotonic() - began) / 60:.1f} min")


if __name__ == "__main__":
    main()
