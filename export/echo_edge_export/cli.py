"""`echo-edge export`: a checkpoint in, verified bundles out, with their parity tables."""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio import read_blocks
from echo_edge.bundle.keys import read_private_key
from echo_edge.errors import AudioError, EchoError, UsageError
from echo_edge_export.convert.table import EXPORTERS, find_exporter
from echo_edge_export.quantize.recipes import RECIPES, find_recipe

if TYPE_CHECKING:  # they import torch, which `run` needs and the help does not
    from echo_edge_export.checkpoint import Checkpoint
    from echo_edge_export.write_bundle import BundlePlan

CLIP = Path(__file__).with_name("selftest.flac")
MAX_CHUNK_STEPS = 96
LANGUAGE_MODEL = "english.npz"
"""Name of the language model that is looked for beside the checkpoint."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `echo-edge export`."""
    parser.description = "Make a bundle from a checkpoint, on a workstation: it needs torch."
    parser.add_argument("checkpoint", type=Path, help="an Echo checkpoint (.safetensors)")
    parser.add_argument("--engine", default="onnx", help=f"{', '.join(EXPORTERS)} or all")
    parser.add_argument(
        "--recipe", help=f"{', '.join(RECIPES)}; by default what suits the engine best"
    )
    parser.add_argument("--chunk-steps", type=int, default=12, help="steps of 40 ms per chunk")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="the new bundle's folder; with --engine all the folder for the new bundles",
    )
    language = parser.add_mutually_exclusive_group()
    language.add_argument(
        "--language-model",
        type=Path,
        metavar="FILE",
        help=f"of python -m training.language (default: {LANGUAGE_MODEL} beside the checkpoint)",
    )
    language.add_argument(
        "--no-language-model", action="store_true", help="a bundle that spells letter by letter"
    )
    parser.add_argument(
        "--second-pass", type=Path, metavar="FILE", help="text decoder of python -m training.joint"
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
    """Export to each engine asked for; the exit code."""
    if not 1 <= args.chunk_steps <= MAX_CHUNK_STEPS:
        raise UsageError(
            f"--chunk-steps: found {args.chunk_steps}, expected 1 to {MAX_CHUNK_STEPS}"
        )
    _need_torch()
    from echo_edge_export.write_bundle import write_bundle

    args.language_model = _language_model(args)
    plans = [_plan(args, engine) for engine in _engines(args.engine)]
    if args.sign is not None:
        read_private_key(args.sign)  # to fail now rather than after the work
    checkpoint = _checkpoint(args)
    if checkpoint.calibration is None:
        for plan in plans:
            if plan.recipe.activations == "static":
                raise EchoError(
                    f"{args.checkpoint}: holds no calibration, recipe {plan.recipe.name} needs "
                    "one: give recordings with --calibrate AUDIO ..."
                )
    clip = _read(CLIP)
    print(f"parity with the float32 checkpoint over {len(clip) / 16000:.1f} s of audio")
    for plan in plans:
        started = time.monotonic()
        measured = write_bundle(checkpoint, plan, clip)
        size_mib = sum(p.stat().st_size for p in plan.out.rglob("*") if p.is_file()) / 2**20
        print(f"{plan.out}  {plan.recipe.name} for {plan.engine}, {size_mib:.1f} MiB")
        print(measured.parity.table())
        print(measured.tasks.line())
        print(f"written in {time.monotonic() - started:.1f} s", flush=True)
    return 0


def _need_torch() -> None:
    """EchoError unless what an export needs is installed."""
    try:
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        raise EchoError(
            f"export: {error.name} is not installed here; it runs on a workstation: "
            "pip install 'echo-edge[export]'"
        ) from error


def _language_model(args: argparse.Namespace) -> Path | None:
    """The language model that is asked for, or that lies beside the checkpoint; says which."""
    if args.language_model is not None or args.no_language_model:
        found: Path | None = args.language_model
        return found
    beside: Path = args.checkpoint.parent / LANGUAGE_MODEL
    if beside.is_file():
        print(f"language model: {beside}")
        return beside
    if args.checkpoint.exists():  # or that is what is said
        print(
            f"echo-edge: {beside}: there is none, so words will be spelled letter by letter: give "
            "a language model with --language-model FILE",
            file=sys.stderr,
        )
    return None


def _engines(asked: str) -> list[str]:
    return list(EXPORTERS) if asked == "all" else [asked]


def _plan(args: argparse.Namespace, engine: str) -> "BundlePlan":
    from echo_edge_export.checkpoint import load_second_pass
    from echo_edge_export.write_bundle import BundlePlan

    recipe = find_recipe(args.recipe or find_exporter(engine).recipe)
    chosen = {} if args.version is None else {"version": args.version}
    plan = BundlePlan(
        engine,
        recipe,
        args.chunk_steps,
        args.out,
        build=args.build,
        allow_over_budget=args.allow_over_budget,
        language_model=args.language_model,
        second_pass=load_second_pass(args.second_pass) if args.second_pass else None,
        key=args.sign,
        **chosen,
    )
    return replace(plan, out=args.out / plan.name) if args.engine == "all" else plan


def _checkpoint(args: argparse.Namespace) -> "Checkpoint":
    from echo_edge_export.checkpoint import load_checkpoint
    from echo_edge_export.quantize.calibrate import calibrate

    checkpoint = load_checkpoint(args.checkpoint)
    if not args.calibrate:
        return checkpoint
    clips = [_read(path) for path in args.calibrate]
    model, calibration = calibrate(checkpoint.model, clips, args.chunk_steps)
    return replace(checkpoint, model=model, calibration=calibration)


def _read(path: Path) -> NDArray[np.float32]:
    blocks = list(read_blocks(path))
    if not blocks:
        raise AudioError(f"{path}: holds no samples, expected speech to calibrate on")
    return np.concatenate(blocks)
