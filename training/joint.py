"""Joint training of the encoder with all heads.

Every step: phones frame by frame, CTC and ArcFace on read speech; powerset diarization, ArcFace and
audible separation on simulated conversations; under a random chunk size. With `--latents`, latent
prediction of read and of untranscribed speech is the anchor; with `--voices`, the classes of
ArcFace begin at a pretrained encoder's embeddings, and voices are drawn to these. Stops and resumes
at any step.

    python -m training.joint --data DATA --cache runs/cache --out runs/joint --steps 2400

With `--start` the encoder and all heads go on from a checkpoint, also from a shallower one.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from echo_edge_export.model.config import EchoConfig
from echo_edge_export.model.echo import Echo
from training.objectives.grow import grow
from training.objectives.latents import LatentPredictor
from training.objectives.losses import ArcFace, PhoneHead
from training.objectives.token_rate import RatedEncoder
from training.objectives.vq import VectorQuantizer
from training.simulation.batches import EASY_STEPS, Batches, BatchSpec
from training.stages.command import load_inputs, shared_options
from training.stages.loop import join_group
from training.stages.second_pass import TextLearner, load_text, start_text
from training.stages.stage import Plan, Stage
from training.stages.starting import read_start, set_statistics, set_voices, start_voices
from training.stages.step import Learners, Weights
from training.stages.teaching import FadeIn

ANCHOR_WEIGHT = 1.33
"""Of latent prediction while all heads learn: beside the words, a fifth of what it is before."""
LIKENESS_WEIGHT, FRAMES_WEIGHT = 1.0, 1.0
TEXT_WEIGHT = 0.5
"""Of the second pass's tokens, beside an anchor of 3 and words of 1."""

WORDS_S, ANCHORED_WORDS_S = (4.0, 12.0), (4.0, 16.0)
"""Seconds of read items: the longest utterances of the corpora fit where there is an anchor."""


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Options of this step."""
    parser = argparse.ArgumentParser(
        description=__doc__, parents=[shared_options()],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.set_defaults(out=Path("runs/joint"), look_every=300)
    parser.add_argument("--layers", type=int, default=EchoConfig().n_layers)
    parser.add_argument("--width", type=int, default=512, help="of a model from nothing")
    parser.add_argument("--conversations", type=int, default=3, help="conversations per step")
    parser.add_argument("--phone-weight", type=float, default=1.0, help="0: words by CTC alone")
    parser.add_argument("--words-weight", type=float, default=1.0, help="of CTC")
    parser.add_argument(
        "--anchor-weight", type=float, default=ANCHOR_WEIGHT, help="of latent prediction"
    )
    parser.add_argument(
        "--decoder", type=Path, metavar="FOLDER",
        help="the teacher whose text decoder learns to read the encoder (second pass of words)",
    )  # fmt: skip
    parser.add_argument(
        "--likeness-weight", type=float, default=LIKENESS_WEIGHT, help="of CAM++'s embeddings"
    )
    parser.add_argument("--frames-weight", type=float, default=FRAMES_WEIGHT, help="of its frames")
    parser.add_argument(
        "--hand-over", action="store_true", help="the speaker head begins as the end of CAM++"
    )
    parser.add_argument("--text-weight", type=float, default=TEXT_WEIGHT, help="of its tokens")
    parser.add_argument(
        "--fast", type=float, default=1.0, help="rate of all but the blocks taken over"
    )
    parser.add_argument(
        "--token-frames", type=int, metavar="N", help="ablation: tokens of N x 10 ms in the encoder"
    )
    parser.add_argument("--vq", type=int, metavar="CODES", help="words through so many codes")
    parser.add_argument(
        "--qat", type=float, default=0.0, help="last share of steps that sees int8 rounding"
    )
    args = parser.parse_args(arguments)
    if args.token_frames is not None and args.start:
        parser.error("--token-frames: found with --start, expected alone, from nothing")
    return args


def build(args: argparse.Namespace, batches: Batches) -> Learners:
    """All modules that learn, in their initial state: new or from `--start`."""
    predictor, second = None, None
    if args.start:
        start = read_start(args.start)
        second = start.second
        model, predictor = start.model.train(), start.predictor
        if model.config.n_layers < args.layers:
            model = grow(model, args.layers)
    else:
        width = {"d_model": args.width, "d_mlp": 4 * args.width}
        model = Echo(EchoConfig(n_layers=args.layers, **width))
        set_statistics(model, batches)
        if args.token_frames is not None:
            model.encoder = RatedEncoder(model.config, args.token_frames)
    latents = batches.teachers.latents
    if latents is None:
        predictor = None
    elif predictor is None:
        mean, std = (torch.from_numpy(row) for row in (latents.mean, latents.std))
        predictor = LatentPredictor(model.config.d_model, mean, std)
    arcface = ArcFace(model.config.embedding_dim, batches.n_voices)
    teacher = start_voices(model, arcface, batches, args.hand_over)
    if teacher is None and args.start and not (args.out / "state.pt").exists():
        set_voices(model, arcface, batches)
    return Learners(
        model,
        arcface,
        PhoneHead(model.config.d_model, len(batches.alignment.phones)),
        predictor,
        VectorQuantizer(args.vq, model.config.d_model) if args.vq else None,
        _text_learner(args, batches, predictor, second),
        teacher,
    )


def _text_learner(
    args: argparse.Namespace,
    batches: Batches,
    predictor: LatentPredictor | None,
    second: Mapping[str, Tensor] | None,
) -> TextLearner | None:
    """The decoder that reads along: one that has learned beside `--start`, or the teacher's."""
    if args.decoder is None or predictor is None:
        return None
    beside = args.start.with_name("text_decoder.safetensors") if args.start else None
    if beside is not None and beside.exists():
        learner = load_text(beside, args.decoder / "tokenizer.json")
    else:
        texts = [u.text for u in batches.corpus.utterances if u.text]
        learner = start_text(args.decoder, texts, predictor, second)
    learner.bf16 = args.bf16
    return learner


def plan_of(args: argparse.Namespace, rank: int, world: int) -> Plan:
    """The stage that the options ask for."""
    anchored = args.latents is not None
    weights = Weights(
        latents=args.anchor_weight if anchored else 0.0,
        words=args.words_weight,
        phones=args.phone_weight,
        likeness=args.likeness_weight if args.voices else 0.0,
        frames=args.frames_weight if args.voices else 0.0,
        text=args.text_weight if args.decoder else 0.0,
    )
    always_masked = anchored or args.roughness > 0.5
    return Plan(
        args.out, args.steps, args.peak, weights, args.decay, fast=args.fast,
        weight_decay=0.01 if anchored else 0.05,
        fading=FadeIn(args.read_only, args.fade),
        masked_from=EASY_STEPS if always_masked else args.steps,
        qat=args.qat, bf16=args.bf16, device=args.device, workers=args.workers,
        look_every=args.look_every, save_every=args.save_every, rank=rank, world=world,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    args = parse_args(arguments)
    rank, world = join_group()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    anchored = args.latents is not None
    spec = BatchSpec(
        args.read_items, ANCHORED_WORDS_S if anchored else WORDS_S, args.conversations,
        full_context=args.full_context, windows=args.windows if anchored else 0,
        crops_s=args.crops,
    )  # fmt: skip
    inputs = load_inputs(args, spec, easy_start=args.start is None)
    learners = build(args, inputs.batches)
    counts = learners.model.parameter_counts()
    print({name: f"{count / 1e6:.3f} M" for name, count in counts.items()})
    Stage(learners, inputs.batches, plan_of(args, rank, world), inputs.evaluate).train()


if __name__ == "__main__":
    main()
