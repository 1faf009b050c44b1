"""Latent prediction: the encoder learns what a frozen pretrained one says of clean speech (JEPA).

From nothing: patches, convolution and block 0 learn the teacher's stem; blocks 1 to 6 become its
layers; then the encoder, hearing speech disturbed, with spans and bands hidden, chunk by chunk,
predicts the teacher's latents of the same speech, clean and as a whole. Words and voices read along
and fade in. `--start` goes on from a checkpoint. Stops and resumes at any step.

    python -m training.jepa --data DATA --out runs/jepa --teacher runs/teachers/whisper-base \\
        --latents runs/cache/latents --voices runs/cache/voices/train
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from echo_edge_export.model.config import EchoConfig
from echo_edge_export.model.echo import Echo
from training.objectives.latents import LatentPredictor
from training.objectives.losses import ArcFace, PhoneHead
from training.simulation.batches import Batches, BatchSpec
from training.simulation.windows import Windows
from training.stages.command import load_inputs, shared_options
from training.stages.stage import Plan, Stage
from training.stages.starting import read_start, set_statistics, start_voices
from training.stages.step import Learners, Weights
from training.stages.takeover import Teacher, fit_stem, take_over
from training.stages.teaching import FadeIn

WORDS_WEIGHT, VOICES_WEIGHT = 0.15, 0.3
"""At 0.5 the gradient of the words outweighs that of the latents, and latents get worse."""
FAST = 2.0
SCORE_WINDOWS, SCORE_SAMPLES = 10, 320_000


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Options of this step."""
    parser = argparse.ArgumentParser(
        description=__doc__, parents=[shared_options()],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.set_defaults(
        out=Path("runs/jepa"), peak=3e-4, decay=0.5, full_context=0.2, read_items=8, windows=10,
        read_only=180, fade=240,
    )  # fmt: skip
    parser.add_argument("--teacher", type=Path, help="folder of the encoder that is taken over")
    args = parser.parse_args(arguments)
    if args.latents is None:
        parser.error("--latents: found none, expected the folder that training.teachers wrote")
    if (args.teacher is None) == (args.start is None):
        parser.error("--teacher, --start: expected one of them")
    return args


def read_teacher(path: Path) -> Teacher:
    """Whisper's encoder in the folder that `training.teachers.fetch` made."""
    from training.teachers.whisper import Whisper

    return Whisper(path)


def new_encoder(model: Echo, teacher: Teacher, windows: Windows) -> None:
    """Stem fitted, layers taken over, relative bias as far as the teacher looks."""
    rng = np.random.default_rng(3)
    drawn = [windows.clean(SCORE_SAMPLES, rng).pcm for _ in range(SCORE_WINDOWS)]
    take_over(model.encoder, teacher, teacher.mean_scores(drawn, model.config.max_distance))
    fit_stem(model, teacher, windows, lambda line: print(line, flush=True))


def build(args: argparse.Namespace, batches: Batches) -> Learners:
    """All modules that learn, in their initial state."""
    latents = batches.teachers.latents
    assert latents is not None and batches.windows is not None  # noqa: S101, PT018
    mean, std = (torch.from_numpy(row) for row in (latents.mean, latents.std))
    if args.start:
        start = read_start(args.start)
        model, predictor = start.model.train(), start.predictor
        if predictor is None:
            predictor = LatentPredictor(model.config.d_model, mean, std)
    else:
        model = Echo(EchoConfig())
        predictor = LatentPredictor(model.config.d_model, mean, std)
        predictor.start_as_target()
        if not (args.out / "state.pt").exists():
            set_statistics(model, batches)
            new_encoder(model, read_teacher(args.teacher), batches.windows)
    arcface = ArcFace(model.config.embedding_dim, batches.n_voices)
    teacher = start_voices(model, arcface, batches, hand_over=not args.start)
    phone_head = PhoneHead(model.config.d_model, len(batches.alignment.phones))
    return Learners(model, arcface, phone_head, predictor, speaker_teacher=teacher)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    args = parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    spec = BatchSpec(
        args.read_items, (4.0, 16.0), conversations=0, full_context=args.full_context,
        windows=args.windows, other_speeds=0.0, crops_s=args.crops,
    )  # fmt: skip
    inputs = load_inputs(args, spec)
    learners = build(args, inputs.batches)
    weights = Weights(
        latents=1.0,
        words=WORDS_WEIGHT,
        phones=0.0,
        voices=0.0,
        likeness=VOICES_WEIGHT,
        frames=VOICES_WEIGHT,
    )
    plan = Plan(
        args.out, args.steps, args.peak, weights, args.decay, warmup=100, fast=FAST,
        weight_decay=0.01, fading=FadeIn(args.read_only, args.fade),
        bf16=args.bf16, device=args.device, workers=args.workers,
        look_every=args.look_every, save_every=args.save_every,
    )  # fmt: skip
    Stage(learners, inputs.batches, plan, inputs.evaluate).train()


if __name__ == "__main__":
    main()
