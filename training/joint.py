"""Joint training of the encoder with all heads.

Every step: phones frame by frame, CTC and ArcFace on read speech; powerset diarization, ArcFace and
audible separation on simulated conversations; under a random chunk size. Stops and resumes at any
step.

    python -m training.joint --data DATA --cache runs/cache --out runs/joint --steps 2400

With `--start` the encoder and all heads go on from a checkpoint, also from a shallower one.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from echo_edge_export.checkpoint import load_checkpoint, save_checkpoint
from echo_edge_export.config import EchoConfig
from echo_edge_export.model import Echo

from .align import load_alignment
from .augment import SPEEDS, change_speed
from .batches import EASY_STEPS, Batch, Batches, BatchSpec, default_rooms, loader
from .data import SAMPLE_RATE, load_splits
from .grow import grow
from .loop import Log, Schedule, adamw, load_state, run, save_state
from .losses import ArcFace, PhoneHead, ctc_loss, turns_loss
from .metrics import encode, quick_look
from .mixtures import STEP_SAMPLES
from .tasks import features_of, sources_loss, voice_loss

AAM_WEIGHT, DIARIZATION_WEIGHT = 0.1, 0.3
"""Small beside the words' losses: ArcFace starts at 8 nats and would steer the encoder alone."""
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
    for name, index in batches.classes.items():
        pieces = [batches.corpus.pcm(u) for u in batches.voices[name][:12]]
        voice = np.concatenate(pieces)[: int(n_samples * max(SPEEDS))]
        for variant, speed in enumerate(SPEEDS, start=index * len(SPEEDS)):
            pcm = change_speed(voice, speed)[:n_samples]
            pcm = pcm[: len(pcm) // STEP_SAMPLES * STEP_SAMPLES]
            latents = encode(model, torch.from_numpy(pcm)[None])[2]
            arcface.weight[variant] = model.speaker(latents, torch.ones(1, 1, latents.shape[1]))[
                0, 0
            ]
    model.train()


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
    chunk = min(batch.chunk_steps, mixed.final.shape[1])
    sources, parts = sources_loss(
        model, batch, mixed, chunk, batch.left_steps, generator, teach_latents=False
    )
    total = phones + ctc + AAM_WEIGHT * voices + DIARIZATION_WEIGHT * (turns + same)
    figures = {"ctc": ctc.item(), "aam": voices.item(), "diar": turns.item(), "same": same.item()}
    figures |= {"phones": phones.item(), "phones_right": phones_right}
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
    parser.add_argument("--start", type=Path, help="go on from this checkpoint")
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
        easy_start=args.start is None, roughness=args.roughness,
    )  # fmt: skip
    model = Echo(EchoConfig(n_layers=args.layers))
    arcface = ArcFace(model.config.embedding_dim, batches.n_voices)
    phone_head = PhoneHead(model.config.d_model, len(alignment.phones))
    resumed = (args.out / "state.pt").exists()
    if args.start and not resumed:
        model = load_checkpoint(args.start).model.train()
        if model.config.n_layers < args.layers:
            model = grow(model, args.layers)
        set_voices(model, arcface, batches)
    print({name: f"{count / 1e6:.3f} M" for name, count in model.parameter_counts().items()})
    trained = [model, arcface, phone_head]
    optimizer = adamw(trained, args.peak)
    parts = {"model": model, "arcface": arcface, "phone_head": phone_head, "optimizer": optimizer}
    first = load_state(args.out / "state.pt", parts)
    if not args.start and not resumed:
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
