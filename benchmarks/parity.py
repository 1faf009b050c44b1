"""Parity of engines: several bundles of one checkpoint, each compared with the others.

    python -m benchmarks.parity --bundle DIR DIR ... [--recording AUDIO ...] [--minutes 30]
        [--rounds N] [--out benchmarks/results/engines/parity]

For every bundle: what its exporter measured of each graph against eager float torch; whether it
finds the same turns and words as every other on the recordings (DER and WER with the other's as
the reference, and how often a speaker bears another label); whether the encoder after
`--minutes` of audio still says what it says soon after a fresh start; time of the encoder step with
one and two threads, all bundles in turns in one process; peak memory of a process of its own. What
each is worth on development data says `python -m training.quality`. Needs `echo-edge[eval]`. Writes
OUT.jsonl and OUT.md.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._report import command_line, write_report
from benchmarks._rounds import ROUND_CALLS, TimedEncoder, run_in_rounds
from echo_edge.audio import read_blocks
from echo_edge.bench.measure import checkout
from echo_edge.bench.probe import probe_afresh
from echo_edge.bench.report.table import markdown
from echo_edge.board import info as board
from echo_edge.errors import EchoError, UsageError
from echo_edge.result import Result
from echo_edge.selftest import read_clip, sqnr_db
from echo_edge.session import Session, load

Array = NDArray[np.float32]
Record = dict[str, Any]

THREADS = (1, 2)
ROUNDS = 15
DRIFT_WINDOW_S = 20.0
BUDGETS = {"der": 0.5, "wer": 1.0, "relabelled": 0}
"""Between engines of one recipe class, DER and WER in per cent."""


def agreement(reference: Sequence[Result], found: Sequence[Result]) -> Record:
    """DER and WER in per cent with the reference's turns and words as truth, over all recordings;
    `relabelled`: speakers that overlap most with a reference speaker of another label."""
    import jiwer
    from pyannote.core import Annotation, Segment, Timeline
    from pyannote.metrics.diarization import DiarizationErrorRate

    def annotation(result: Result) -> Any:
        turns = Annotation()
        for i, turn in enumerate(result.turns):
            turns[Segment(turn.start_s, turn.end_s), i] = turn.speaker
        return turns

    der = DiarizationErrorRate(collar=0.0, skip_overlap=False)
    relabelled = 0
    for one, other in zip(reference, found, strict=True):
        truth, guess = annotation(one), annotation(other)
        der(truth, guess, uem=Timeline([Segment(0.0, one.duration_s)]))
        mapping = der.optimal_mapping(truth, guess)
        relabelled += sum(theirs != ours for theirs, ours in mapping.items())
    spoken = [
        (_text(one), _text(other)) for one, other in zip(reference, found, strict=True) if one.words
    ]
    wer = jiwer.wer([one for one, _ in spoken], [other for _, other in spoken]) if spoken else 0.0
    return {"der": 100 * abs(der), "wer": 100 * wer, "relabelled": relabelled}


def _text(result: Result) -> str:
    return " ".join(word.text for word in result.words)


def drift_db(session: Session, pcm: Array, minutes: float) -> float:
    """SQNR in dB of the latents of the last DRIFT_WINDOW_S of a long stream (`pcm` over and over)
    against those of a stream that started as late as all that the encoder sees allows."""
    manifest = session.bundle.manifest
    size = manifest.audio.chunk_samples
    chunk_s = size / manifest.audio.sample_rate
    streaming = manifest.streaming
    n_layers = sum(name.startswith("key_cache") for name in manifest.graphs["encoder"].state)
    seen = -(-n_layers * streaming.left_context_steps // streaming.chunk_steps) + 2
    n_last = round(DRIFT_WINDOW_S / chunk_s)
    n_all = max(round(60 * minutes / chunk_s), n_last + seen)
    chunks = [pcm[i : i + size] for i in range(0, len(pcm) - size + 1, size)]

    def last_latents(first: int) -> Array:
        frontend, encoder = session.graph("frontend"), session.graph("encoder")
        latents = []
        for i, chunk in enumerate(islice(cycle(chunks), n_all)):
            if i >= first:
                features = frontend.run(pcm=chunk[None])["features"]
                latents.append(encoder.run(features=features)["latents"])
        return np.concatenate(latents[-n_last:])

    return sqnr_db(last_latents(n_all - n_last - seen), last_latents(0))


def encoder_ms(folders: Sequence[Path], threads: int, rounds: int) -> list[Record]:
    """Least and median time of every bundle's encoder step, all in turns."""
    with ExitStack() as opened:
        sessions = [opened.enter_context(load(folder, threads)) for folder in folders]
        pcm = read_clip(sessions[0].bundle)
        encoders = [TimedEncoder(session, pcm) for session in sessions]
        run_in_rounds(encoders, rounds)
    return [
        {"min": round(min(encoder.samples_ms), 3), "median": round(median(encoder.samples_ms), 3)}
        for encoder in encoders
    ]


def measure(args: argparse.Namespace) -> list[Record]:
    """One record per bundle."""
    folders: list[Path] = args.bundle
    recordings = [np.concatenate(list(read_blocks(path))) for path in args.recording]
    records: list[Record] = []
    found: list[list[Result]] = []
    for folder in folders:
        print(f"{folder}: turns, words and drift", file=sys.stderr)
        with load(folder) as session:
            bundle, manifest = session.bundle, session.bundle.manifest
            found.append([session.process(pcm) for pcm in recordings])
            encoder = manifest.files[manifest.graphs["encoder"].file]
            records.append({
                "schema": "echo-edge.parity/1",
                "commit": checkout()[0],
                "cpu": board.read_board().cpu,
                "bundle": {
                    "name": manifest.name, "engine": manifest.engine.name,
                    "recipe": manifest.recipe, "sha256": bundle.sha256,
                    "size_mib": round(bundle.size_bytes / 2**20, 2),
                    "encoder_mib": round(encoder.size_bytes / 2**20, 2),
                },
                "sqnr_db": {
                    name.removesuffix(".sqnr_db"): value
                    for name, value in manifest.parity.items() if name.endswith(".sqnr_db")
                },
                "drift_db": round(drift_db(session, recordings[0], args.minutes), 1),
                "rss_mib": asdict(probe_afresh(bundle, 1).rss_mib),
                "encoder_ms": {},
            })  # fmt: skip
    for record, results in zip(records, found, strict=True):
        record["agreement"] = {
            other["bundle"]["name"]: agreement(reference, results)
            for other, reference in zip(records, found, strict=True)
        }
    for threads in THREADS:
        print(f"the encoder step with {threads} threads", file=sys.stderr)
        timings = encoder_ms(folders, threads, args.rounds)
        for record, timing in zip(records, timings, strict=True):
            record["encoder_ms"][str(threads)] = timing
    return records


def report(records: Sequence[Record]) -> str:
    """Tables for people: fidelity, agreement, cost."""
    outputs = ("latents", "asr", "phones", "diarization", "speaker", "sources")
    names = [r["bundle"]["name"] for r in records]
    fidelity = [
        [*(f"{r['sqnr_db'].get(n, float('nan')):.1f}" for n in outputs), f"{r['drift_db']:.0f}"]
        for r in records
    ]
    agreed = [
        [
            f"{r['agreement'][n]['der']:.2f} / {r['agreement'][n]['wer']:.1f} / "
            f"{r['agreement'][n]['relabelled']}"
            for n in names
        ]
        for r in records
    ]
    cost = [
        [
            f"{r['bundle']['size_mib']:.1f}", f"{r['bundle']['encoder_mib']:.1f}",
            f"{r['rss_mib']['peak']:.0f}",
            *(f"{r['encoder_ms'][str(t)]['min']:.2f}" for t in THREADS), _speed_up(r, records),
        ]
        for r in records
    ]  # fmt: skip
    parts = [
        "SQNR of each output against eager float torch, and of latents late in a long stream "
        "against a fresh start (drift), in dB.",
        _table(["", *outputs, "drift"], names, fidelity),
        "DER in % / WER in % / speakers with another label, with the column's turns and words as "
        "the truth.",
        _table(["", *names], names, agreed),
        "The encoder step: least time in ms, all bundles in turns in one process; speed-up over "
        "float32 in the same engine with 1 / 2 threads; peak memory of a process of its own with "
        "all heads and one thread.",
        _table(
            ["", "size, MiB", "encoder, MiB", "peak RSS, MiB", "1 thread", "2 threads", "speed-up"],
            names,
            cost,
        ),
    ]
    return "\n\n".join(parts)


def _table(columns: list[str], names: list[str], rows: list[list[str]]) -> str:
    return markdown(columns, [[name, *row] for name, row in zip(names, rows, strict=True)])


def over_budget(records: Sequence[Record]) -> list[str]:
    """Pairs of engines, both in integers or both in float, that differ by more than allowed."""
    misses = []
    for r in records:
        for other in records:
            if (r["bundle"]["recipe"] == "float32") == (other["bundle"]["recipe"] == "float32"):
                found = r["agreement"][other["bundle"]["name"]]
                names = f"{r['bundle']['name']} against {other['bundle']['name']}"
                misses += [
                    f"{names}: {key} {found[key]:.2f}, at most {budget}"
                    for key, budget in BUDGETS.items()
                    if found[key] > budget
                ]
    return misses


def _speed_up(record: Record, records: Sequence[Record]) -> str:
    engine = record["bundle"]["engine"]
    floats = [
        r for r in records if (r["bundle"]["engine"], r["bundle"]["recipe"]) == (engine, "float32")
    ]
    if not floats or floats[0] is record:
        return ""
    return " / ".join(
        f"{floats[0]['encoder_ms'][t]['min'] / record['encoder_ms'][t]['min']:.2f}"
        for t in map(str, THREADS)
    )


def main(argv: list[str] | None = None) -> int:
    """Measure, print, keep; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument(
        "--recording",
        type=Path,
        nargs="+",
        metavar="AUDIO",
        default=[Path("demo/conversation.flac")],
    )
    parser.add_argument("--minutes", type=float, default=30.0, help="of the drift test")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of {ROUND_CALLS} calls")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/engines/parity"))
    args = parser.parse_args(argv)
    try:
        if args.rounds < 1:
            raise UsageError(f"--rounds: found {args.rounds}, expected 1 or more")
        records = measure(args)
    except EchoError as error:
        print(f"parity: {error}", file=sys.stderr)
        return error.exit_code
    misses = "\n".join(f"- {miss}" for miss in over_budget(records))
    text = f"{report(records)}\n\n" + (f"Over budget:\n\n{misses}" if misses else "All agree.")
    print(text)
    command = command_line("parity", sys.argv[1:] if argv is None else argv)
    about = f"Made by `{command}` on {records[0]['cpu']}.\n\n"
    write_report(args.out, records, f"# Parity of engines\n\n{about}{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
