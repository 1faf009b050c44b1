"""The command `echo-edge bench`: speed, latency, memory, heat, energy and correctness, here.

What is measured and how: `run`. docs/bench.md says what the figures mean.
"""

import argparse
import math
import os
from collections.abc import Callable

from echo_edge.bench.record import to_json
from echo_edge.bench.report.compare import METRICS, allowances, check_comparable, compare
from echo_edge.bench.report.html_page import page
from echo_edge.bench.report.store import append_lines, read_records
from echo_edge.bench.report.table import facts, table
from echo_edge.bench.run import MAX_AUDIO_S, Plan, first_minute, measure, open_bundles
from echo_edge.errors import UsageError
from echo_edge.files import check_no_input, check_output, is_same, save
from echo_edge.session import MAX_THREADS

DAY_S = 86_400.0


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
        "--chunk-s",
        metavar="S,S",
        type=_chunks_s,
        help="only those of the bundles that have these chunks; a bundle has one chunk size, fixed "
        "by `echo-edge export --chunk-steps`: give one bundle per size",
    )
    parser.add_argument(
        "--seconds",
        metavar="S",
        type=_seconds("--seconds"),
        default=10.0,
        help="measure each configuration at least this long (default and least that counts: 10)",
    )
    parser.add_argument(
        "--live-s",
        metavar="S",
        type=_seconds("--live-s", min_s=0.0),
        default=12.0,
        help="then let chunks arrive at a steady pace for this long (default 12; 0: not)",
    )
    parser.add_argument(
        "--pace",
        metavar="X",
        type=_pace,
        default=1.0,
        help="they arrive this many times as fast as from a microphone (default 1)",
    )
    parser.add_argument(
        "--audio", metavar="FILE", help="stream its first minute; default: the self-test's clip"
    )
    _add_reports(parser)


def _add_reports(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", metavar="FILE", help="append a record per bundle and thread count, one a line"
    )
    parser.add_argument("--html", metavar="FILE", help="write a page with plots that needs nothing")
    parser.add_argument(
        "--from",
        metavar="FILE",
        dest="source",
        help="measure nothing: report the records of this file",
    )
    parser.add_argument(
        "--compare",
        metavar="FILE",
        help="compare with the records of this file; exit 1 where a figure is worse than allowed",
    )
    names = ", ".join(f"{metric.name} {metric.allowed_percent:g}" for metric in METRICS)
    parser.add_argument(
        "--allow",
        metavar="NAME=PERCENT",
        action="append",
        default=[],
        help=f"how much more --compare lets pass (default: {names})",
    )
    parser.add_argument(
        "--allow-invalid",
        action="store_true",
        help="let --compare pass although a record is INVALID, as on a shared machine",
    )


def _threads(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isdecimal() and 1 <= int(part) <= MAX_THREADS for part in parts):
        raise UsageError(f"--threads: found {text!r}, expected 1 to {MAX_THREADS}, such as 1,2,4")
    return tuple(dict.fromkeys(map(int, parts)))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _chunks_s(text: str) -> tuple[float, ...]:
    chunks_s = tuple(map(_number, text.split(",")))
    if not all(0 < chunk_s <= MAX_AUDIO_S for chunk_s in chunks_s):
        raise UsageError(f"--chunk-s: found {text!r}, expected seconds, such as 0.16,0.48")
    return chunks_s


def _seconds(option: str, min_s: float | None = None) -> Callable[[str], float]:
    def parse(text: str) -> float:
        seconds = _number(text)
        if not (0 < seconds <= DAY_S or seconds == min_s):
            allowed = "more than 0" if min_s is None else f"{min_s:g} or more"
            raise UsageError(f"{option}: found {text!r}, expected {allowed} and at most {DAY_S:g}")
        return seconds

    return parse


def _pace(text: str) -> float:
    pace = _number(text)
    if not 0.1 <= pace <= 1000:
        raise UsageError(f"--pace: found {text!r}, expected 0.1 to 1000")
    return pace


def run(args: argparse.Namespace) -> int:
    """Measure, print the table, write what was asked for.

    0 also where a row is INVALID; 1 where `--compare` finds something worse.
    """
    allowed = allowances(args.allow)
    _check_usage(args)
    old = read_records(args.compare) if args.compare else []
    if args.html:
        check_output(args.html)  # to fail now rather than after minutes
    if args.json:
        append_lines(args.json, [])
    if args.source:
        records = read_records(args.source)
    else:
        plan = _plan(args)
        if old:
            check_comparable(plan.names, old)
        records = measure(plan)
    if args.json:  # before anything is printed: nobody may be reading
        append_lines(args.json, [to_json(record) for record in records])
    comparison = compare(records, old, allowed, args.allow_invalid) if old else None
    if args.html:
        save(page(records, comparison), args.html)
    print(table(records))
    print(facts(records), end="")
    if comparison:
        print(f"\n{comparison.text()}", end="")
    return 1 if comparison and comparison.problems else 0


def _check_usage(args: argparse.Namespace) -> None:
    if (args.allow or args.allow_invalid) and not args.compare:
        raise UsageError("--allow, --allow-invalid: found no --compare, expected one beside them")
    if args.source and (args.bundle or args.audio or args.json or args.chunk_s):
        raise UsageError(
            "--from: found an option of a measurement, expected --html or --compare beside it at "
            "most: leave one out"
        )
    for output in (args.html, args.json):
        if output and args.audio:
            check_no_input(output, [args.audio])
    for option in ("json", "source", "compare"):
        other = getattr(args, option)
        same = other and os.path.realpath(args.html or "") == os.path.realpath(other)
        if args.html and other and (same or is_same(args.html, other)):
            raise UsageError(f"--html: found {args.html}, expected a file that holds no records")


def _plan(args: argparse.Namespace) -> Plan:
    bundles = open_bundles(args.bundle, args.chunk_s)
    audio = first_minute(args.audio) if args.audio else None
    return Plan(bundles, args.threads, args.seconds, args.live_s, args.pace, audio)
