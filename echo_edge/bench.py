"""The command `echo-edge bench`: speed, latency, memory and correctness of bundles, here.

All configurations stream the same audio in turns, so that they share whatever the machine drifts
by; loading and memory are measured in a fresh process for each.
"""

import argparse
import errno
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio import read_blocks
from echo_edge.bench_measure import (
    Lane,
    checkout,
    measure,
    moment,
    null_session,
    probe_afresh,
)
from echo_edge.bench_record import Conditions, Measurement, Record, make_record
from echo_edge.board import read_board
from echo_edge.bundle import Bundle, find_bundle, open_bundle
from echo_edge.engines import check_engine
from echo_edge.errors import AudioError, OutputError, UsageError
from echo_edge.selftest import run_selftest
from echo_edge.session import MOST_THREADS, load

Array = NDArray[np.float32]

MOST_AUDIO_S = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `echo-edge bench`."""
    parser.add_argument(
        "--bundle",
        metavar="DIR",
        nargs="+",
        action="extend",
        default=[],
        help="one or more; default: $ECHO_EDGE_BUNDLE, the installed or shipped one",
    )
    parser.add_argument(
        "--threads", metavar="N,N", type=_threads, default=(1,), help="such as 1,2,4 (default 1)"
    )
    parser.add_argument(
        "--seconds",
        metavar="S",
        type=_seconds,
        default=10.0,
        help="measure each configuration at least this long (default and least that counts: 10)",
    )
    parser.add_argument(
        "--audio", metavar="FILE", help="stream its first minute; default: the self-test's clip"
    )
    parser.add_argument(
        "--json", metavar="FILE", help="append a record per bundle and thread count, one a line"
    )


def _threads(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isdecimal() and 1 <= int(part) <= MOST_THREADS for part in parts):
        raise UsageError(f"--threads: found {text!r}, expected 1 to {MOST_THREADS}, such as 1,2,4")
    return tuple(dict.fromkeys(map(int, parts)))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 86_400:
        raise UsageError(f"--seconds: found {text!r}, expected more than 0 and at most 86400")
    return seconds


def run(args: argparse.Namespace) -> int:
    """Measure, print the table, append the records; 0 also where a row is INVALID."""
    if args.json:
        append_lines(args.json, [])  # to fail now rather than after minutes
    audio = _first_minute(args.audio) if args.audio else None
    bundles = {bundle.sha256: bundle for bundle in map(_open, args.bundle or [None])}
    records = _measure(list(bundles.values()), args.threads, args.seconds, audio)
    print(table(records))
    print(facts(records), end="")
    if args.json:
        append_lines(args.json, [json.dumps(record, allow_nan=False) for record in records])
    return 0


def _measure(
    bundles: Sequence[Bundle], threads: Sequence[int], seconds: float, audio: Array | None
) -> list[Record]:
    """The records of all bundles with all thread counts."""
    setups = [(bundle, n) for bundle in bundles for n in threads]
    before, probes = moment(), []
    for number, setup in enumerate(setups, 1):
        _progress(f"loading: {number} of {len(setups)} configurations")
        probes.append(probe_afresh(*setup))
    with ExitStack() as stack:
        sessions = [stack.enter_context(load(bundle.path, n)) for bundle, n in setups]
        selftests = [run_selftest(session) for session in sessions]
        lanes = [Lane(session, audio) for session in sessions]
        null = {bundle.sha256: Lane(null_session(bundle), audio) for bundle in bundles}
        measure(lanes, list(null.values()), seconds, _progress)
    _progress("")
    conditions = Conditions(
        datetime.now(UTC), *checkout(), read_board(), max(threads), before, moment()
    )
    overhead_ms = {sha256: lane.samples_ms for sha256, lane in null.items()}
    records = []
    for (bundle, n), lane, probe, selftest in zip(setups, lanes, probes, selftests, strict=True):
        overhead = overhead_ms[bundle.sha256]
        measurement = Measurement(
            bundle, n, lane.samples_ms, lane.spent_s, overhead, probe, selftest
        )
        records.append(make_record(measurement, conditions))
    return records


def _open(folder: str | None) -> Bundle:
    bundle = open_bundle(find_bundle(folder))
    check_engine(bundle.manifest.engine)  # an absent engine is said before anything runs
    return bundle


def _first_minute(path: str) -> Array:
    blocks: Iterator[Array] = read_blocks(path, MOST_AUDIO_S)
    audio = next(blocks, None)
    if audio is None:
        raise AudioError(f"{path}: holds no samples, expected speech")
    return audio


_COLUMNS = (
    "recipe", "engine", "threads", "RTF", "p50 ms", "p90 ms", "p99 ms", "chunk ms",
    "peak RSS MiB", "load warm/cold ms", "first result ms", "self-test", "valid",
)  # fmt: skip


def table(records: Sequence[Record]) -> str:
    """One Markdown row per record, and per bundle what the runtime costs without an engine."""
    rows: list[tuple[str, ...]] = [_COLUMNS]
    for index, record in enumerate(records):
        rows.append(_row(record))
        following = records[index + 1 : index + 2]
        if not following or following[0]["bundle"]["sha256"] != record["bundle"]["sha256"]:
            rows.append(_null_row(record))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"


def _row(record: Record) -> tuple[str, ...]:
    bundle, load = record["bundle"], record["load_ms"]
    return (
        bundle["recipe"],
        bundle["engine"],
        str(record["threads"]),
        *_times(record["rtf"], record["latency_ms"], record["chunk_s"]),
        f"{record['rss_mib']['peak']:.0f}",
        f"{load['warm']:.0f} / {load['cold']:.0f}",
        f"{record['first_result_ms']:.0f}",
        "passed" if record["selftest"]["passed"] else "FAILED",
        "yes" if record["valid"] else "INVALID",
    )


def _null_row(record: Record) -> tuple[str, ...]:
    overhead, chunk_s = record["overhead_ms"], record["chunk_s"]
    times = _times(overhead["mean"] / 1000 / chunk_s, overhead, chunk_s)
    return (record["bundle"]["recipe"], "null", "-", *times, *"-----")


def _times(rtf: float, latency_ms: Mapping[str, float], chunk_s: float) -> tuple[str, ...]:
    percentiles = (f"{latency_ms[name]:.2f}" for name in ("p50", "p90", "p99"))
    return (f"{rtf:.4f}", *percentiles, f"{1000 * chunk_s:.0f}")


def facts(records: Sequence[Record]) -> str:
    """What the table was measured on, where the time goes, why rows do not count: lines."""
    first = records[0]
    commit = "no checkout" if first["commit"] is None else first["commit"][:12]
    lines = [
        f"board: {_board(first['board'])}",
        f"measured: {first['time']}, commit {commit}{' with changes' if first['dirty'] else ''}",
        "a sample is one push of one chunk through all heads, after warm-up; "
        "null: the same with engines that do nothing",
    ]
    bundles = {record["bundle"]["sha256"]: record["bundle"] for record in records}
    lines += [
        f"bundle: {bundle['name']}, sha256 {bundle['sha256'][:12]}, {bundle['size_mib']:.1f} MiB, "
        f"{bundle['engine']} {bundle['engine_version']}"
        for bundle in bundles.values()
    ]
    for record in records:
        phases = (f"{name} {ms:.2f}" for name, ms in record["phases_ms"].items())
        lines.append(f"mean ms per chunk ({_setup(record)}): {', '.join(phases)}")
    for record in records:
        lines += [f"INVALID ({_setup(record)}): {why}" for why in record["why"]]
    return "\n".join(lines) + "\n"


def _setup(record: Record) -> str:
    return (
        f"{record['bundle']['recipe']}, {record['bundle']['engine']}, threads {record['threads']}"
    )


def _board(board: Record) -> str:
    names = dict.fromkeys((board["model"], board["cpu"]))
    memory = "memory unknown" if board["memory_mib"] is None else f"{board['memory_mib']} MiB"
    parts = [
        *names,
        f"{board['cores'] or 'unknown number of'} cores ({' '.join(board['isa']) or 'plain'})",
        memory,
        f"governor {board['governor'] or 'unknown'}",
        board["os"],
        f"Linux {board['kernel']}",
        *(["emulated"] if board["emulated"] else []),
    ]
    return ", ".join(parts)


def append_lines(path: str, lines: Iterable[str]) -> None:
    """Append whole lines, all or none, on the disk when this returns; OutputError if not.

    Without lines this only finds out whether there could be some.
    """
    target = Path(path)
    data = "".join(f"{line}\n" for line in lines).encode()
    existed = target.exists()
    try:
        with target.open("ab", buffering=0) as file:
            regular = target.is_file()
            size = file.tell() if regular else 0
            if file.write(data) < len(data):  # the disk is full: take the part back
                file.truncate(size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if regular:
                os.fsync(file.fileno())
        if not (existed or data):
            target.unlink()
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror}): "
            "choose a folder that exists, is writable and has room"
        ) from error


def _progress(text: str) -> None:
    """One line on a terminal's stderr; nothing clears it."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
