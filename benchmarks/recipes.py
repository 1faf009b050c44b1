"""Recipes and chunk lengths side by side, engine by engine, exported and measured.

    python -m benchmarks.recipes --checkpoint CHECKPOINT [--engine NAME ...] [--recipe NAME ...]
        [--chunk-steps 4 12 ...] [--rounds N] [--work DIR]
        [--out benchmarks/results/engines/recipes]

Every bundle is exported whether it keeps its budget or not. Of each: latents against eager float
torch, over the self-test clip and over the labelled minute that bundles carry, which is another
recording; time of the encoder step, one thread, all bundles in turns in one process; peak memory of
a process of its own with all heads; turns and words of the labelled minute at the latency of
`bench`, first with what float32 made of it as the truth, then with the truth. `--work` keeps the
bundles and takes what is there. Needs `echo-edge[export,eval,metrics]`. Writes OUT.jsonl, OUT.md.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._report import command_line, write_report
from benchmarks._rounds import ROUND_CALLS
from benchmarks.parity import ROUNDS, agreement, encoder_ms
from echo_edge.bench.accuracy import Labelled, read_labelled, score
from echo_edge.bench.measure import LATENCY_S, checkout
from echo_edge.bench.probe import probe_afresh
from echo_edge.bench.report.table import FLOAT32, markdown
from echo_edge.board.info import read_board
from echo_edge.bundle.verify import Bundle, open_bundle
from echo_edge.errors import EchoError, UsageError
from echo_edge.result import Result
from echo_edge.selftest import sqnr_db, trace
from echo_edge.session import load

Array = NDArray[np.float32]
Record = dict[str, Any]

ENGINES = ("onnx", "tflite", "executorch")
RECIPES = (FLOAT32, "static_w8a8", "dynamic_w8", "static_w7a8")
ONNX_ONLY = ("static_w7a8",)
"""For a kernel of ONNX Runtime that adds in 16 bits; elsewhere it would only be coarser."""
DEFAULT = "default"
"""What `echo-edge export` takes where nobody names a recipe."""


def exported(args: argparse.Namespace, folder: Path) -> list[Path]:
    """All bundles asked for, below `folder`; those that are not there are made."""
    found = []
    for steps, engine, recipe in product(args.chunk_steps, args.engine, args.recipe):
        if recipe in ONNX_ONLY and engine != "onnx":
            continue
        out = folder / f"{engine}-{recipe}-{40 * steps}ms"
        found.append(out)
        if not out.exists():
            print(f"exporting {out.name}", file=sys.stderr, flush=True)
            options = ["--engine", engine, "--chunk-steps", str(steps), "--out", str(out)]
            options += [] if recipe == DEFAULT else ["--recipe", recipe]
            if args.language_model is not None:
                options += ["--language-model", str(args.language_model)]
            export(args.checkpoint, options)
    return found


def export(checkpoint: Path, options: Sequence[str]) -> None:
    """`echo-edge export` in a process of its own, whose memory goes with it."""
    code = "import sys; from echo_edge.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "export", str(checkpoint), "--allow-over-budget"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.splitlines() or [f"exit code {done.returncode}"]
        raise EchoError(f"export {' '.join(options)}: {lines[-1].removeprefix('echo-edge: ')}")


def measure_one(
    folder: Path, checkpoint_sha256: str, expected: Mapping[int, Array]
) -> tuple[Record, Result]:
    """All of one bundle but its speed and what depends on others; its turns and words. `expected`:
    eager latents `[S, d]` of the labelled minute by steps per chunk."""
    import jiwer
    import simpleder

    with load(folder) as session:
        bundle, manifest = session.bundle, session.bundle.manifest
        if manifest.source.checkpoint_sha256 != checkpoint_sha256:
            raise UsageError(f"{folder}: found a bundle of another checkpoint, expected no folder")
        labelled = labelled_of(bundle)
        latents = trace(session, labelled.pcm)["latents"]
        result = session.process(labelled.pcm, LATENCY_S)
    right = score(labelled, result, jiwer, simpleder)
    encoder = manifest.files[manifest.graphs["encoder"].file]
    record = {
        "schema": "echo-edge.recipes/1",
        "commit": checkout()[0],
        "cpu": read_board().cpu,
        "engine": manifest.engine.name,
        "recipe": manifest.recipe,
        "chunk_ms": 1000 * manifest.audio.chunk_samples // manifest.audio.sample_rate,
        "sha256": bundle.sha256,
        "size_mib": round(bundle.size_bytes / 2**20, 2),
        "encoder_mib": round(encoder.size_bytes / 2**20, 2),
        "latents_db": {
            "clip": manifest.parity["latents.sqnr_db"],
            "labelled": round(sqnr_db(expected[manifest.streaming.chunk_steps], latents), 2),
        },
        "over_budget": bool(manifest.parity["over_budget"]),
        "rss_mib": round(probe_afresh(bundle, 1).rss_mib.peak, 1),
        "accuracy": asdict(right),
    }
    return record, result


def labelled_of(bundle: Bundle) -> Labelled:
    """The labelled minute; EchoError where there is none."""
    labelled = read_labelled(bundle)
    if labelled is None:
        raise EchoError(f"{bundle.path}: holds no labelled recording: export it again")
    return labelled


def measure(args: argparse.Namespace, folder: Path) -> list[Record]:
    """One record per bundle."""
    import torch

    from echo_edge_export.checkpoint import load_checkpoint
    from echo_edge_export.parity import reference

    stored = load_checkpoint(args.checkpoint)
    folders = exported(args, folder)
    pcm = labelled_of(open_bundle(folders[0])).pcm
    print("eager float torch", file=sys.stderr, flush=True)
    torch.set_num_threads(1)  # more of them crawl beside any other load
    expected = {steps: reference(stored.model, pcm, steps)["latents"] for steps in args.chunk_steps}
    records, results = [], []
    for path in folders:
        print(f"{path.name}: latents, turns and words", file=sys.stderr, flush=True)
        record, result = measure_one(path, stored.sha256, expected)
        records.append(record)
        results.append(result)
    print("the encoder step", file=sys.stderr, flush=True)
    timings = encoder_ms(folders, 1, args.rounds)
    floats = {
        (record["engine"], record["chunk_ms"]): result
        for record, result in zip(records, results, strict=True)
        if record["recipe"] == FLOAT32
    }
    for record, result, timing in zip(records, results, timings, strict=True):
        truth = floats.get((record["engine"], record["chunk_ms"]))
        record["from_float"] = agreement([truth], [result]) if truth is not None else None
        record["encoder_ms"] = timing
        record["encoder_ms_per_s"] = round(1000 * timing["min"] / record["chunk_ms"], 2)
    return records


def report(records: Sequence[Record]) -> str:
    """One row per bundle."""
    columns = (
        "engine", "recipe", "chunk, ms", "encoder, MiB", "latents, dB: clip", "minute",
        "step, ms", "ms per s of audio", "x float32", "peak RSS, MiB", "DER / WER from float32's",
        "DER / WER", "budget",
    )  # fmt: skip
    floats = {
        (r["engine"], r["chunk_ms"]): r["encoder_ms"]["min"]
        for r in records
        if r["recipe"] == FLOAT32
    }
    rows = []
    for r in records:
        base, changed, right = (
            floats.get((r["engine"], r["chunk_ms"])),
            r["from_float"],
            r["accuracy"],
        )
        rows.append([
            r["engine"], r["recipe"], str(r["chunk_ms"]), f"{r['encoder_mib']:.1f}",
            f"{r['latents_db']['clip']:.1f}", f"{r['latents_db']['labelled']:.1f}",
            f"{r['encoder_ms']['min']:.2f}", f"{r['encoder_ms_per_s']:.1f}",
            f"{base / r['encoder_ms']['min']:.2f}" if base else "", f"{r['rss_mib']:.0f}",
            f"{changed['der']:.2f} / {changed['wer']:.1f}" if changed else "",
            f"{right['der_percent']:.1f} / {right['wer_percent']:.1f}",
            "missed" if r["over_budget"] else "kept",
        ])  # fmt: skip
    return markdown(columns, rows)


def main(argv: list[str] | None = None) -> int:
    """Export, measure, print, keep; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=Path("models/echo-25m.safetensors"))
    parser.add_argument("--language-model", type=Path, metavar="FILE")
    parser.add_argument("--engine", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--recipe", nargs="+", choices=(*RECIPES, DEFAULT), default=RECIPES)
    parser.add_argument("--chunk-steps", type=int, nargs="+", default=[12], help="of 40 ms each")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of {ROUND_CALLS} calls")
    parser.add_argument("--work", type=Path, metavar="DIR", help="for the bundles, which stay")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/engines/recipes"))
    args = parser.parse_args(argv)
    try:
        if args.rounds < 1:
            raise UsageError(f"--rounds: found {args.rounds}, expected 1 or more")
        with tempfile.TemporaryDirectory() as temporary:
            records = measure(args, args.work or Path(temporary))
    except EchoError as error:
        print(f"recipes: {error}", file=sys.stderr)
        return error.exit_code
    text = report(records)
    print(text)
    command = command_line("recipes", sys.argv[1:] if argv is None else argv)
    about = (
        f"Made by `{command}` on {records[0]['cpu']}; one thread, the least of "
        f"{args.rounds * ROUND_CALLS} calls in turns; DER and WER in per cent at {LATENCY_S:g} s."
    )
    write_report(args.out, records, f"# Recipes and chunks\n\n{about}\n\n{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
