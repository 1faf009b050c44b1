"""Gain and cost of int8: the encoder of two bundles of one checkpoint, side by side.

    python -m benchmarks.int8_vs_float --float DIR --int8 DIR [--threads 1] [--rounds N]

Both stream the int8 bundle's self-test clip in the same process, one after the other in short
rounds, so that both see the same machine. A call is one chunk of the encoder alone: what comes
before and after is the same in both. The last line of stdout is the result as JSON.
"""

import argparse
import json
import sys
from statistics import median
from typing import Any

import numpy as np

from benchmarks._rounds import ROUND_CALLS, TimedEncoder, run_in_rounds
from echo_edge.bundle.verify import Bundle
from echo_edge.errors import EchoError, UsageError
from echo_edge.selftest import read_clip, sqnr_db, trace
from echo_edge.session import Session, load

ROUNDS = 25


def compare(floating: Session, int8: Session, rounds: int) -> dict[str, Any]:
    """Speed, size and fidelity of `int8` beside `floating`; `rounds` of ROUND_CALLS calls each."""
    pcm = read_clip(int8.bundle)
    reference, measured = trace(floating, pcm)["latents"], trace(int8, pcm)["latents"]
    encoders = {"float": TimedEncoder(floating, pcm), "int8": TimedEncoder(int8, pcm)}
    run_in_rounds(list(encoders.values()), rounds)
    audio = int8.bundle.manifest.audio
    return {
        "threads": int8.threads,
        "chunk_ms": 1000 * audio.chunk_samples / audio.sample_rate,
        "bundles": {
            name: _figures(session.bundle, encoders[name].samples_ms)
            for name, session in (("float", floating), ("int8", int8))
        },
        "latents_sqnr_db": (
            round(sqnr_db(reference, measured), 2) if np.isfinite(measured).all() else None
        ),
    }


def _figures(bundle: Bundle, samples_ms: list[float]) -> dict[str, Any]:
    manifest = bundle.manifest
    encoder = manifest.files[manifest.graphs["encoder"].file]
    return {
        "name": manifest.name,
        "sha256": bundle.sha256,
        "min_ms": round(min(samples_ms), 4),
        "median_ms": round(median(samples_ms), 4),
        "calls": len(samples_ms),
        "encoder_mib": round(encoder.size_bytes / 2**20, 6),
        "bundle_mib": round(bundle.size_bytes / 2**20, 6),
    }


RATIOS = {
    "min_ms": "encoder, ms per chunk (min)",
    "median_ms": "encoder, ms per chunk (median)",
    "encoder_mib": "encoder file, MiB",
    "bundle_mib": "whole bundle, MiB",
}


def table(result: dict[str, Any]) -> str:
    """The result for people."""
    floating, int8 = result["bundles"]["float"], result["bundles"]["int8"]
    lines = [
        f"float: {floating['name']}",
        f"int8:  {int8['name']}",
        f"threads {result['threads']}, chunks of {result['chunk_ms']:.0f} ms, "
        f"{int8['calls']} calls each, in turns",
        "",
        f"| {'':<30} | {'float':>8} | {'int8':>8} | {'ratio':>6} |",
        f"|{'-' * 32}|{'-' * 10}|{'-' * 10}|{'-' * 8}|",
    ]
    for key, label in RATIOS.items():
        ratio = floating[key] / int8[key]
        lines.append(f"| {label:<30} | {floating[key]:8.2f} | {int8[key]:8.2f} | {ratio:6.2f} |")
    found_db = result["latents_sqnr_db"]
    fidelity = "not finite" if found_db is None else f"{found_db:.1f} dB SQNR"
    lines.append(f"\nlatents, int8 against float: {fidelity}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Print the comparison; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--float", required=True, metavar="DIR", dest="floating")
    parser.add_argument("--int8", required=True, metavar="DIR")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--rounds",
        type=int,
        default=ROUNDS,
        help=f"turns of {ROUND_CALLS} calls (default {ROUNDS})",
    )
    args = parser.parse_args(argv)
    try:
        if args.rounds < 1:
            raise UsageError(f"--rounds: found {args.rounds}, expected 1 or more")
        with load(args.floating, args.threads) as floating, load(args.int8, args.threads) as int8:
            if floating.bundle.manifest.streaming != int8.bundle.manifest.streaming:
                raise UsageError("--float, --int8: found chunks that differ, expected equal ones")
            result = compare(floating, int8, args.rounds)
    except EchoError as error:
        print(f"int8_vs_float: {error}", file=sys.stderr)
        return error.exit_code
    print(table(result))
    ratios = {
        key: round(result["bundles"]["float"][key] / result["bundles"]["int8"][key], 3)
        for key in RATIOS
    }
    print(json.dumps(result | {"ratios": ratios}, allow_nan=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
