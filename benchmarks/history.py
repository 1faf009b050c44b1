"""The history of records, `benchmarks/results/<board>.jsonl`, and the README's table of them.

    python -m benchmarks.history [--add RECORDS] [--readme FILE [--check]]

`--add` appends the records of `echo-edge bench --json` to the files of their boards; a record that
is there already is left out. The table has the last record that counts of each board, bundle kind
and thread count. It is printed, or written between two marks of the README.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from echo_edge.bench.record import Record
from echo_edge.bench.report.store import append_lines, read_records
from echo_edge.bench.report.table import markdown, setup
from echo_edge.errors import EchoError, UsageError
from echo_edge.files import save

FOLDER = Path(__file__).parent / "results"
BEGIN, END = "<!-- benchmarks.history: begin -->", "<!-- benchmarks.history: end -->"

COLUMNS = (
    "board", "recipe", "engine", "chunk ms", "threads", "RTF", "x GEMM", "p50 ms", "p90 ms",
    "p99 ms", "live p99 ms", "peak RSS MiB", "load warm/cold ms", "first result ms", "DER/WER %",
    "J/s audio", "measured",
)  # fmt: skip


def board_file(record: Record) -> str:
    """The name of the file for the record's board, such as `raspberry_pi_5_model_b_rev_1_0`."""
    board = record["board"]
    words = re.findall(r"[a-z0-9]+", board["model"].lower())
    return f"{'_'.join(words)[:60] or 'board'}_{board['cores'] or 'unknown'}_cores.jsonl"


def add(records: Iterable[Record], folder: Path) -> int:
    """Append what is not there yet; how many records that were."""
    n_added = 0
    for record in records:
        path = folder / board_file(record)
        known = read_records(str(path)) if path.exists() and path.stat().st_size else []
        if all(_identity(record) != _identity(each) for each in known):
            append_lines(str(path), [json.dumps(record, allow_nan=False)])
            n_added += 1
    return n_added


def _identity(record: Record) -> tuple[str, str, str]:
    return record["time"], record["bundle"]["sha256"], setup(record)


def history(folder: Path) -> list[Record]:
    """All records of all boards, each board's oldest first. Other measurements stand beside them in
    the folder, in files of other names."""
    paths = sorted(folder.glob("*_cores.jsonl"))
    return [record for path in paths for record in read_records(str(path))]


def table(records: Sequence[Record]) -> str:
    """Markdown: the last record that counts of each board and configuration."""
    last: dict[tuple[str, str], Record] = {}
    for record in records:
        if record["valid"]:
            last[board_file(record), setup(record)] = record
    if not last:
        return "No board has been measured yet.\n"
    return markdown(COLUMNS, [_row(record) for record in last.values()])


def _row(record: Record) -> tuple[str, ...]:
    bundle, load, latency_ms = record["bundle"], record["load_ms"], record["latency_ms"]
    reference, live, energy = record.get("reference"), record.get("live"), record.get("energy")
    accuracy = record.get("accuracy")
    commit = "" if record["commit"] is None else f", {record['commit'][:9]}"
    return (
        f"{record['board']['model']}, {record['board']['cores'] or '?'} cores",
        bundle["recipe"],
        f"{bundle['engine']} {bundle['engine_version']}",
        f"{1000 * record['chunk_s']:.0f}",
        str(record["threads"]),
        f"{record['rtf']:.4f}",
        f"{reference['rtf_ratio']:.2f}" if reference else "-",
        *(f"{latency_ms[name]:.2f}" for name in ("p50", "p90", "p99")),
        f"{live['latency_ms']['p99']:.2f}" if live else "-",
        f"{record['rss_mib']['peak']:.0f}",
        f"{load['warm']:.0f} / {load['cold']:.0f}",
        f"{record['first_result_ms']:.0f}",
        f"{accuracy['der_percent']:.1f} / {accuracy['wer_percent']:.1f}" if accuracy else "-",
        f"{energy['joules_per_audio_s']:.3f}" if energy else "-",
        f"{record['time'][:10]}{commit}{'+' if record['dirty'] else ''}",
    )


def with_table(text: str, rows: str, name: str) -> str:
    """`text` with what is between the two marks replaced. EchoError if it has not both, once."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(END) < text.index(BEGIN):
        raise EchoError(f"{name}: found no place for the table, expected {BEGIN} and then {END}")
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{rows}{END}{rest.partition(END)[2]}"


def main(argv: list[str] | None = None) -> int:
    """Add, print or write; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--add", metavar="RECORDS", help="append these to the history first")
    parser.add_argument("--readme", metavar="FILE", help="write the table there, between its marks")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if the table is not the latest"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    try:
        return _run(args)
    except EchoError as error:
        print(f"results: {error}", file=sys.stderr)
        return error.exit_code


def _run(args: argparse.Namespace) -> int:
    if args.check and (not args.readme or args.add):
        raise UsageError(
            "--check: found no --readme, or --add: expected --readme FILE alone beside it"
        )
    if args.add:
        print(f"added {add(read_records(args.add), args.folder)} records", file=sys.stderr)
    rows = table(history(args.folder))
    if not args.readme:
        print(rows, end="")
        return 0
    try:
        old = Path(args.readme).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise EchoError(f"{args.readme}: cannot be read ({error}): expected a text") from error
    new = with_table(old, rows, args.readme)
    if args.check and new != old:
        raise EchoError(
            f"{args.readme}: found another table, expected that of {args.folder.name}/: "
            f"python -m benchmarks.history --readme {args.readme}"
        )
    if not args.check:
        save(new, args.readme)
    return 0


if __name__ == "__main__":
    sys.exit(main())
