"""Joint training of the encoder with all heads.

Every step: phones frame by frame, CTC and ArcFace on read speech; powerset diarization, ArcFace and
audible separation on simulated conversations; under a random chunk size. Stops and resumes at any
step.

    python -m training.joint --data DATA --cache runs/cache --out runs/joint --steps 2400

With `--start` the encoder and all heads go on from a checkpoint, also from a shallower one.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from echo_edge_export.checkpoint import load_checkpoint, save_checkpoint
from echo_edge_export.config import EchoConfig
from echo_edge_export.model import Echo, Latents

from .align import load_alignment
from .augment import SPEEDS, change_speed
from .batches import EASY_STEPS, Batch, Batches, BatchSpec, default_rooms, loader
from .data import SAMPLE_RATE, load_splits
from .grow import grow
from .jepa import Jepa
from .loop import (
    Log,
    Schedule,
    adamw,
    choose_device,
    join_group,
    load_state,
    run,
    save_state,
    use_bfloat16,
)
from .losses import ArcFace, PhoneHead, turns_loss
from .meetings import load_meetings, load_timing
from .metrics import encode, quick_look
from .mixtures import STEP_SAMPLES
from .qat import fake_quantize
from .tasks import features_of, sources_loss, voice_loss, words_loss
from .token_rate import RatedEncoder
from .vq import VectorQuantizer

AAM_WEIGHT, DIARIZATION_WEIGHT = 0.1, 1.0
"""ArcFace is small beside the others: it starts at 8 nats and would steer the encoder alone."""
SEPARATION_WEIGHT = 0.5


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


def set_statistics(model: Echo, batches: Batches, n_batches: int = 40) -> None:
    """Mean and deviation of every mel band over the first training batches."""
    frames = torch.cat([features_of(model, batches[i].pcm).flatten(0, 1) for i in range(n_batches)])
    model.frontend.mean.copy_(frames.mean(0))
    model.frontend.std.copy_(frames.std(0))


@torch.no_grad()
def set_voices(model: Echo, arcface: ArcFace, batches: Batches, seconds: float = 4.0) -> None:
    """Every class of ArcFace starts as what the model says of some seconds of that voice, so that a
    trained encoder is not pulled towards random directions."""
    model.eval()
    n_samples = int(seconds * SAMPLE_RATE)
    for name, pool in batches.voices.items():
        index = batches.classes[name]
        pieces = [batches.corpus.pcm(u) for u in pool[:12]]
        voice = np.concatenate(pieces)[: int(n_samples * max(SPEEDS))]
        for variant, speed in enumerate(SPEEDS, start=index * len(SPEEDS)):
            pcm = change_speed(voice, speed)[:n_samples]
            pcm = pcm[: len(pcm) // STEP_SAMPLES * STEP_SAMPLES]
            latents = encode(model, torch.from_numpy(pcm)[None])[2]
            arcface.weight[variant] = model.speaker(latents, torch.ones(1, 1, latents.shape[1]))[
                0, 0
            ]
    model.train()


@dataclass
class Learners:
    """Everything that learns in a step; all but the model are left behind."""

    model: Echo
    arcface: ArcFace
    phone_head: PhoneHead
    jepa: Jepa | None
    quantizer: VectorQuantizer | None
    phone_weight: float = 1.0

    def parts(self) -> dict[str, nn.Module]:
        """The modules that are there, by name."""
        return {name: part for name, part in vars(self).items() if isinstance(part, nn.Module)}


def read_loss(
    learners: Learners, batch: Batch, masked: bool, generator: torch.Generator
) -> tuple[Tensor, Latents, dict[str, float]]:
    """Words of the read items: phones, CTC and, where asked for, JEPA and the bottleneck."""
    model, jepa = learners.model, learners.jepa
    chunk, left = batch.chunk_steps, batch.left_steps
    features = features_of(model, batch.pcm)
    if masked:
        features = spec_augment(features, generator)
    figures: dict[str, float] = {}
    total = torch.zeros(())
    if jepa is not None:
        targets = jepa.targets(features, chunk, left)
        features, hidden = jepa.hide(features, generator)
    layers = model.encoder.layers(features, chunk, left)
    read = model.encoder.mixes(layers)
    if jepa is not None:
        predicted = jepa(layers[-1], targets, hidden)
        total, figures["jepa"] = total + predicted, predicted.item()
    words = read.asr
    if learners.quantizer is not None:
        words, near = learners.quantizer(words)
        total, figures["vq"] = total + 0.25 * near, near.item()
    heard, parts = words_loss(model, words, batch)
    phones, right = learners.phone_head(words, batch.phones)
    figures |= {**parts, "phones": phones.item(), "phones_right": right}
    return total + learners.phone_weight * phones + heard, read, figures


def joint_loss(
    learners: Learners, batch: Batch, step: int, margin: float, masked: bool
) -> tuple[Tensor, dict[str, float]]:
    """Weighted sum of the tasks' losses and its parts; `masked` turns on SpecAugment."""
    model = learners.model
    generator = torch.Generator().manual_seed(step)
    words, read, figures = read_loss(learners, batch, masked, generator)
    mixed = model.encoder(features_of(model, batch.mixture), batch.chunk_steps, batch.left_steps)
    turns, same = turns_loss(model.diarization, mixed.diarization, batch.mixture_active)
    voices = voice_loss(model, learners.arcface, batch, read, mixed, margin, generator)
    chunk = min(batch.chunk_steps, mixed.final.shape[1])
    sources, parts = sources_loss(model, batch, mixed, chunk, batch.left_steps, generator)
    total = words + AAM_WEIGHT * voices + DIARIZATION_WEIGHT * (turns + same)
    figures |= {"aam": voices.item(), "diar": turns.item(), "same": same.item()}
    return total + SEPARATION_WEIGHT * sources, figures | {k: parts[k] for k in ("snr", "presence")}


def parse_args() -> argparse.Namespace:
    """Options of this step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and dev/")
    parser.add_argument("--more", type=Path, nargs="*", default=[], help="further training corpora")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--out", type=Path, default=Path("runs/joint"))
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--layers", type=int, default=EchoConfig().n_layers)
    parser.add_argument("--width", type=int, default=512, help="of a model from nothing")
    parser.add_argument("--start", type=Path, help="go on from this checkpoint")
    parser.add_argument("--peak", type=float, default=8e-4, help="peak learning rate")
    parser.add_argument("--decay", type=float, default=0.3, help="last share of steps that decays")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--read-items", type=int, default=5, help="read utterances per step")
    parser.add_argument("--conversations", type=int, default=3, help="conversations per step")
    parser.add_argument(
        "--roughness", type=float, default=1.0, help="share of the augmentation of read speech"
    )
    parser.add_argument("--full-context", type=float, default=0.4, help="share without chunks")
    parser.add_argument("--phone-weight", type=float, default=1.0, help="0: words by CTC alone")
    parser.add_argument("--jepa", action="store_true", help="hide and predict stretches of speech")
    parser.add_argument(
        "--token-frames", type=int, metavar="N", help="ablation: tokens of N x 10 ms in the encoder"
    )
    parser.add_argument("--vq", type=int, metavar="CODES", help="words through so many codes")
    parser.add_argument(
        "--qat", type=float, default=0.0, help="last share of steps that sees int8 rounding"
    )
    parser.add_argument("--bf16", action="store_true", help="blocks multiply in bfloat16")
    parser.add_argument("--device", default="cpu", help="where to train: cpu, cuda, ...")
    parser.add_argument("--workers", type=int, default=1, help="processes that make batches")
    parser.add_argument("--look-every", type=int, default=300, help="steps between quick looks")
    parser.add_argument("--save-every", type=int, default=100)
    args = parser.parse_args()
    if args.token_frames is not None and (args.jepa or args.start):
        parser.error("--token-frames: found with --jepa or --start, expected alone, from nothing")
    return args


def build(args: argparse.Namespace, batches: Batches) -> Learners:
    """Everything that learns, as it starts: from nothing or from `--start`."""
    if args.start:
        model = load_checkpoint(args.start).model.train()
        if model.config.n_layers < args.layers:
            model = grow(model, args.layers)
    else:
        width = {"d_model": args.width, "d_mlp": 4 * args.width}
        model = Echo(EchoConfig(n_layers=args.layers, **width))
        set_statistics(model, batches)
        if args.token_frames is not None:
            model.encoder = RatedEncoder(model.config, args.token_frames)
    arcface = ArcFace(model.config.embedding_dim, batches.n_voices)
    if args.start and not (args.out / "state.pt").exists():
        set_voices(model, arcface, batches)
    return Learners(
        model,
        arcface,
        PhoneHead(model.config.d_model, len(batches.alignment.phones)),
        Jepa(model.encoder) if args.jepa else None,
        VectorQuantizer(args.vq, model.config.d_model) if args.vq else None,
        args.phone_weight,
    )


def main() -> None:
    """Command line."""
    args = parse_args()
    rank, world = join_group()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    corpus, dev = load_splits(args.data, args.cache, args.more)
    spec = BatchSpec(
        args.read_items, conversations=args.conversations, full_context=args.full_context
    )
    batches = Batches(
        corpus, default_rooms(args.cache), spec, args.seed,
        load_alignment(args.cache / "phones.npz"),
        easy_start=args.start is None, roughness=args.roughness,
        meetings=load_meetings(corpus, args.data / "train/rttm"),
        timing=load_timing(args.data / "timing/ami_dev.rttm"),
    )  # fmt: skip
    learners = build(args, batches)
    model = learners.model
    device = choose_device(args.device)
    for part in learners.parts().values():
        part.to(device)
    if args.bf16:
        use_bfloat16(model.encoder.blocks, device)
    print({name: f"{count / 1e6:.3f} M" for name, count in model.parameter_counts().items()})
    optimizer = adamw(learners.parts().values(), args.peak)
    parts = {**learners.parts(), "optimizer": optimizer}
    first = load_state(args.out / "state.pt", parts)
    schedule = Schedule(args.peak, args.steps, decay=args.decay)
    log = Log(args.out / f"log{rank or ''}.csv", 20, args.steps)
    rounding_from = round((1.0 - args.qat) * args.steps)
    if args.qat and first >= rounding_from:
        fake_quantize(model)

    def after_step(done: int) -> None:
        if learners.jepa is not None:
            learners.jepa.follow(model.encoder)
        if args.qat and done == rounding_from:
            print(f"step {done}  {fake_quantize(model)} linears see int8 rounding", flush=True)
        if rank:  # the first process speaks for all
            return
        if done % args.save_every == 0 or done == args.steps:
            save_state(args.out / "state.pt", parts, done)
            save_checkpoint(args.out / "model.safetensors", model, done)
        if done % args.look_every == 0 or done == args.steps:
            look = quick_look(model, dev, learners.quantizer)
            print(f"step {done}  " + "  ".join(f"{k} {v:.1f}" for k, v in look.items()), flush=True)
            Log(args.out / "look.csv", 1, args.steps).write({"step": done, **look})

    def step_loss(batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        ramp = min(1.0, max(0.0, (step / args.steps - 0.2) / 0.3))
        masked = step >= EASY_STEPS and args.roughness > 0.5
        return joint_loss(learners, batch, step, 0.2 * ramp, masked)

    started = time.monotonic()
    ahead = loader(batches, first, args.steps, rank, world, args.workers)
    run(step_loss, ahead, first, optimizer, schedule, log, after_step)
    print(f"{args.steps - first} steps in {(time.monotonic() - started) / 60:.1f} min")


if __name__ == "__main__":
    main()
