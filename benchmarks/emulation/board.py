"""Bundles on emulated ARM processors: equal outputs, and instructions. Never a time.

    python -m benchmarks.emulation [--bundle DIR ...] [--cpu cortex-a72 ...] [--out FILE]

Runs each bundle's self-test with aarch64 Python and its engine, one thread, under qemu's user-mode
emulation of boards' processors, and compares each output with what this machine makes of the same
clip. Then it counts the instructions that a second of audio takes once a stream is under way: how
much work it is, whatever the machine. Times are not printed: instructions are translated, so they
say nothing of any board.
The first run makes a small Debian for arm64 in `--work`; it needs Debian or Ubuntu, the network,
pip and `apt-get install qemu-user mmdebstrap gcc`, for ExecuTorch also `g++-aarch64-linux-gnu`.
The last line of stdout is JSON.
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._report import command_line, write_report
from benchmarks.emulation.arm_guest import PARTS
from benchmarks.emulation.arm_root import (
    CHECKOUT,
    CPUS,
    LIBRARIES,
    QEMU,
    can_count,
    prepare,
    read_counts,
    run_emulated,
)
from echo_edge.bench.measure import checkout
from echo_edge.bench.report.table import markdown
from echo_edge.board.info import read_board
from echo_edge.bundle.find import find_bundle
from echo_edge.bundle.manifest import Manifest
from echo_edge.engines import engine_version
from echo_edge.errors import EchoError
from echo_edge.selftest import read_clip, sqnr_db, trace
from echo_edge.session import Session, load

Record = dict[str, Any]

SCHEMA = "echo-edge.emulated/1"
OUTPUTS = ("latents", "asr", "diarization", "speaker", "sources")
"""What the table has of all that is compared."""
COUNTED = (
    "M instructions: instructions of one thread per second of audio, in millions, of the whole "
    "runtime in Python with all heads, without start-up and loading; *encoder* and *other graphs* "
    "are the engine's work, *Python* is what is between them."
)


def round_chunks(manifest: Manifest) -> int:
    """The least number of chunks that is a whole number of hops of the diarization window, so that
    every turn is the same work."""
    steps = manifest.streaming.chunk_steps
    return math.lcm(steps, manifest.diarization.hop_steps) // steps


def compare(here: Mapping[str, Any], there: Mapping[str, Any]) -> Record:
    """Distance of the outputs."""
    return {
        name: {
            "equal_bits": bool(np.array_equal(here[name], there[name])),
            "sqnr_db": round(sqnr_db(here[name], there[name]), 2),
            "most_difference": float(np.abs(here[name] - there[name]).max()),
        }
        for name in here
    }


def per_audio_s(counts: Sequence[int], audio_s: float) -> dict[str, float]:
    """Instructions per second of audio of each part, and of all."""
    parts = dict(zip(PARTS, counts, strict=False))
    del parts["loading"]
    if not all(parts.values()):
        idle = ", ".join(name for name, count in parts.items() if not count)
        raise EchoError(f"emulated_board: found no instructions in {idle}: the counter is wrong")
    return {
        name: round(count / audio_s)
        for name, count in {"all": sum(parts.values()), **parts}.items()
    }


def emulate(session: Session, cpu: str, work: Path, n_chunks: int) -> Record:
    """Outputs as that processor computes them, whether the self-test passed, and instructions per
    second of audio over `n_chunks` chunks (None for 0)."""
    python_path = prepare(work, session.bundle.manifest.engine.name)
    out, counts = work / f"{cpu}.npz", work / f"{cpu}.txt"
    for path in (out, counts):
        path.unlink(missing_ok=True)
    words = ("-m", "benchmarks.emulation.arm_guest", str(session.bundle.path.resolve()), str(out))
    run_emulated(work, cpu, python_path, (*words, str(n_chunks)), counts if n_chunks else None)
    with np.load(out) as arrays:
        outputs: dict[str, NDArray[Any]] = dict(arrays)
    passed, instructions = bool(outputs.pop("passed")), None
    if n_chunks:
        audio = session.bundle.manifest.audio
        audio_s = n_chunks * audio.chunk_samples / audio.sample_rate
        figures = per_audio_s(read_counts(counts), audio_s)
        instructions = {"audio_s": audio_s, "per_audio_s": figures}
    return {"outputs": outputs, "selftest_passed": passed, "instructions": instructions}


def measure(folder: Path, cpus: Sequence[str], work: Path, counted: bool) -> list[Record]:
    """One record per processor."""
    with load(folder) as session:
        manifest = session.bundle.manifest
        engine = manifest.engine.name
        if engine not in LIBRARIES:
            known = ", ".join(LIBRARIES)
            raise EchoError(f"{folder}: found engine {engine}, expected one of {known}")
        here = trace(session, read_clip(session.bundle))
        n_chunks = round_chunks(manifest) if counted else 0
        commit, dirty = checkout()
        about = {
            "schema": SCHEMA, "commit": commit, "dirty": dirty, "compared_with": read_board().cpu,
            "bundle": {
                "name": manifest.name, "engine": engine, "engine_version": engine_version(engine),
                "recipe": manifest.recipe, "sha256": session.bundle.sha256,
            },
        }  # fmt: skip
        records = []
        for cpu in cpus:
            found = emulate(session, cpu, work, n_chunks)
            found["outputs"] = compare(here, found["outputs"])
            records.append({**about, "cpu": cpu, **found})
    return records


def table(records: Sequence[Record]) -> str:
    """The comparison for people: a row per bundle and processor."""
    columns = (
        "engine", "recipe", "processor", "self-test", *(f"{name}, dB" for name in OUTPUTS),
        "M instructions", "encoder", "other graphs", "Python",
    )  # fmt: skip
    return markdown(columns, [_row(record) for record in records])


def _row(record: Record) -> tuple[str, ...]:
    bundle, outputs = record["bundle"], record["outputs"]
    shown = (f"{outputs[n]['sqnr_db']:.1f}" if n in outputs else "-" for n in OUTPUTS)
    millions: tuple[str, ...] = ("-",) * 4
    if record["instructions"]:
        figures = record["instructions"]["per_audio_s"]
        every, encoder, python = (figures[name] for name in ("all", "encoder", "runtime"))
        parts = (every, encoder, every - encoder - python, python)
        millions = tuple(f"{count / 1e6:.0f}" for count in parts)
    verdict = "passed" if record["selftest_passed"] else "FAILED"
    return (bundle["engine"], bundle["recipe"], record["cpu"], verdict, *shown, *millions)


def save(records: Sequence[Record], out: Path, command: str) -> None:
    """`out` as .jsonl for machines and .md for people."""
    about = (
        f"Made by `{command}`.\n\ndB: how close each output of the self-test's clip comes to what "
        f"the same engine computes on {records[0]['compared_with']} (150: the same bits). {COUNTED}"
    )
    write_report(out, records, f"# Bundles on emulated processors\n\n{about}\n\n{table(records)}")


def main(argv: list[str] | None = None) -> int:
    """Print the comparison; 1 if a self-test failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle", metavar="DIR", nargs="+", default=[None])
    parser.add_argument(
        "--cpu", nargs="+", choices=sorted(CPUS), default=["cortex-a72", "cortex-a76"]
    )
    parser.add_argument("--out", metavar="FILE", type=Path, help="keep as FILE.md and FILE.jsonl")
    parser.add_argument("--work", metavar="DIR", type=Path, default=CHECKOUT / ".cache/aarch64")
    args = parser.parse_args(argv)
    counted = can_count()
    if not counted:
        print(
            f"emulated_board: found no {QEMU} that takes our plug-in, so nothing is counted: "
            "apt-get install qemu-user on Debian 12",
            file=sys.stderr,
        )
    try:
        folders = [find_bundle(name) for name in args.bundle]
        records = [
            record
            for folder in folders
            for record in measure(folder, args.cpu, args.work.resolve(), counted)
        ]
    except EchoError as error:
        print(f"emulated_board: {str(error).removeprefix('emulated_board: ')}", file=sys.stderr)
        return error.exit_code
    print(table(records))
    if args.out:
        command = command_line("emulation", sys.argv[1:] if argv is None else argv)
        save(records, args.out, command)
    print(json.dumps(records))
    return 0 if all(record["selftest_passed"] for record in records) else 1


if __name__ == "__main__":
    sys.exit(main())
