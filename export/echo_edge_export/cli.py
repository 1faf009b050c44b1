"""`echo-edge export`: a checkpoint in, a verified bundle out, with its parity table."""

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio import read_blocks
from echo_edge.bundle_cli import sign_bundle
from echo_edge.errors import AudioError, EchoError, UsageError
from echo_edge.keys import read_private_key

from .calibrate import calibrate
from .checkpoint import Checkpoint, load_checkpoint
from .recipes import RECIPES, find_recipe
from .write_bundle import BundlePlan, write_bundle

CLIP = Path(__file__).with_name("selftest.flac")
LARGEST_CHUNK_STEPS = 96


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `echo-edge export`."""
    parser.add_argument("checkpoint", type=Path, help="an Echo checkpoint (.safetensors)")
    parser.add_argument("--engine", default="onnx", help="onnx (tflite, executorch: not yet)")
    parser.add_argument("--recipe", default="static_w8a8", help=", ".join(RECIPES))
    parser.add_argument("--chunk-steps", type=int, default=12, help="steps of 40 ms per chunk")
    parser.add_argument("--out", type=Path, required=True, help="the new bundle's folder")
    parser.add_argument(
        "--language-model", type=Path, metavar="FILE", help="of python -m training.language"
    )
    parser.add_argument("--sign", type=Path, metavar="KEY", help="NAME.key of bundle keygen")
    parser.add_argument("--version", default=None, help="version of the bundle, X.Y.Z")
    parser.add_argument("--build", type=int, default=1, help="build counter, never goes back")
    parser.add_argument(
        "--calibrate", type=Path, nargs="+", metavar="AUDIO", help="recordings to calibrate on"
    )
    parser.add_argument(
        "--allow-over-budget", action="store_true", help="write and mark a bundle that misses"
    )


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code."""
    if not 1 <= args.chunk_steps <= LARGEST_CHUNK_STEPS:
        raise UsageError(
            f"--chunk-steps: found {args.chunk_steps}, expected 1 to {LARGEST_CHUNK_STEPS}"
        )
    recipe = find_recipe(args.recipe)
    if args.sign is not None:
        read_private_key(args.sign)  # to fail now rather than after the work
    started = time.monotonic()
    checkpoint = load_checkpoint(args.checkpoint)
    if args.calibrate:
        clips = [_read(path) for path in args.calibrate]
        model, calibration = calibrate(checkpoint.model, clips, args.chunk_steps)
        checkpoint = Checkpoint(model, checkpoint.step, calibration, checkpoint.sha256)
    if recipe.activations == "static" and checkpoint.calibration is None:
        raise EchoError(
            f"{args.checkpoint}: holds no calibration, recipe {recipe.name} needs one: "
            "give recordings with --calibrate AUDIO ..."
        )
    chosen = {} if args.version is None else {"version": args.version}
    plan = BundlePlan(
        args.engine,
        recipe,
        args.chunk_steps,
        args.out,
        build=args.build,
        allow_over_budget=args.allow_over_budget,
        language_model=args.language_model,
        **chosen,
    )
    clip = _read(CLIP)
    parity = write_bundle(checkpoint, plan, clip, {})
    if args.sign is not None:
        sign_bundle(args.out, args.sign)
    size_mib = sum(p.stat().st_size for p in args.out.rglob("*") if p.is_file()) / 2**20
    print(f"{args.out}  {recipe.name} for {args.engine}, {size_mib:.1f} MiB")
    print(f"parity with the float32 checkpoint over {len(clip) / 16000:.1f} s of audio:")
    print(parity.table())
    print(f"written in {time.monotonic() - started:.1f} s")
    return 0


def _read(path: Path) -> NDArray[np.float32]:
    blocks = list(read_blocks(path))
    if not blocks:
        raise AudioError(f"{path}: holds no samples, expected speech to calibrate on")
    return np.concatenate(blocks)
