"""The history of records in `benchmarks/results/`, and the tables of docs/performance.md.

    python -m benchmarks.history [--add RECORDS] [--page FILE [--check]]

`--add` appends the records of `echo-edge bench --json` to the files of their boards,
`benchmarks/results/<board>.jsonl`; a record that is there already is left out. The table of boards
has the last record that counts of each board, bundle kind and thread count. It is printed; or, with
`--page`, it and every other table that the page has marks for is written between its marks.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from echo_edge.bench.record import Record, to_json
from echo_edge.bench.report.store import append_lines, read_records
from echo_edge.bench.report.table import markdown, setup
from echo_edge.errors import EchoError, UsageError
from echo_edge.files import save

FOLDER = Path(__file__).parent / "results"
BEGIN, END = "<!-- benchmarks.history: begin -->", "<!-- benchmarks.history: end -->"
"""Around the table of boards. Around table NAME of `TABLES`: `benchmarks.history.NAME`."""

COLUMNS = (
    "board", "recipe", "engine", "chunk ms", "threads", "RTF", "x GEMM", "p50 ms", "p90 ms",
    "p99 ms", "live p99 ms", "peak RSS MiB", "load warm/cold ms", "first result ms", "DER/WER %",
    "J/s audio", "measured",
)  # fmt: skip


def board_file(record: Record) -> str:
    """The name of the file for the record's board, such as `raspberry_pi_5_model_b_rev_1_0`."""
    board = record.board
    words = re.findall(r"[a-z0-9]+", board.model.lower())
    return f"{'_'.join(words)[:60] or 'board'}_{board.cores or 'unknown'}_cores.jsonl"


def add(records: Iterable[Record], folder: Path) -> int:
    """Append what is not there yet; how many records that were."""
    n_added = 0
    for record in records:
        path = folder / board_file(record)
        known = read_records(str(path)) if path.exists() and path.stat().st_size else []
        if all(_identity(record) != _identity(each) for each in known):
            append_lines(str(path), [to_json(record)])
            n_added += 1
    return n_added


def _identity(record: Record) -> tuple[str, str, str]:
    return record.time, record.bundle.sha256, setup(record)


def history(folder: Path) -> list[Record]:
    """All records of all boards, each board's oldest first. Other measurements stand beside them in
    the folder, in files of other names."""
    paths = sorted(folder.glob("*_cores.jsonl"))
    return [record for path in paths for record in read_records(str(path))]


def table(records: Sequence[Record]) -> str:
    """Markdown: the last record that counts of each board and configuration."""
    last: dict[tuple[str, str], Record] = {}
    for record in records:
        if record.valid:
            last[board_file(record), setup(record)] = record
    if not last:
        return "No board has been measured yet.\n"
    return markdown(COLUMNS, [_row(record) for record in last.values()])


def _row(record: Record) -> tuple[str, ...]:
    bundle, load, latency_ms = record.bundle, record.load_ms, record.latency_ms
    reference, live, energy = record.reference, record.live, record.energy
    accuracy = record.accuracy
    commit = "" if record.commit is None else f", {record.commit[:9]}"
    return (
        f"{record.board.model}, {record.board.cores or '?'} cores",
        bundle.recipe,
        f"{bundle.engine} {bundle.engine_version}",
        f"{1000 * record.chunk_s:.0f}",
        str(record.threads),
        f"{record.rtf:.4f}",
        f"{reference.rtf_ratio:.2f}" if reference else "-",
        *(f"{each:.2f}" for each in (latency_ms.p50, latency_ms.p90, latency_ms.p99)),
        f"{live.latency_ms.p99:.2f}" if live else "-",
        f"{record.rss_mib.peak:.0f}",
        f"{load.warm:.0f} / {load.cold:.0f}",
        f"{record.first_result_ms:.0f}",
        f"{accuracy.der_percent:.1f} / {accuracy.wer_percent:.1f}" if accuracy else "-",
        f"{energy.joules_per_audio_s:.3f}" if energy else "-",
        f"{record.time[:10]}{commit}{'+' if record.dirty else ''}",
    )


def _read(folder: Path, name: str) -> list[dict[str, Any]]:
    lines = (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def engines(folder: Path) -> str:
    """One checkpoint in every engine and recipe: closeness to float torch, time, memory."""
    records = _read(folder, "engines/parity")
    columns = ("engine", "recipe", "latents, dB", "encoder, ms: 1 thread", "2 threads",
               "bundle, MiB", "encoder, MiB", "peak RSS, MiB")  # fmt: skip
    return markdown(
        columns,
        [
            (
                record["bundle"]["engine"],
                record["bundle"]["recipe"],
                f"{record['sqnr_db']['latents']:.1f}",
                *(f"{record['encoder_ms'][threads]['min']:.1f}" for threads in ("1", "2")),
                *(f"{record['bundle'][key]:.1f}" for key in ("size_mib", "encoder_mib")),
                f"{record['rss_mib']['peak']:.0f}",
            )
            for record in records
        ],
    )


def _recipes(records: Iterable[Mapping[str, Any]]) -> str:
    columns = ("engine", "recipe", "chunk, ms", "encoder, ms per chunk", "per second of audio",
               "latents, dB", "peak RSS, MiB", "DER, %", "WER, %", "error budget")  # fmt: skip
    return markdown(
        columns,
        [
            (
                record["engine"],
                record["recipe"],
                str(record["chunk_ms"]),
                f"{record['encoder_ms']['min']:.1f}",
                f"{record['encoder_ms_per_s']:.1f}",
                f"{record['latents_db']['labelled']:.1f}",
                f"{record['rss_mib']:.0f}",
                *(f"{record['accuracy'][key]:.1f}" for key in ("der_percent", "wer_percent")),
                "missed" if record["over_budget"] else "kept",
            )
            for record in records
        ],
    )


def recipes(folder: Path) -> str:
    """Every recipe of every engine, at 480 ms a chunk."""
    return _recipes(_read(folder, "engines/recipes"))


def chunks(folder: Path) -> str:
    """The default recipe of every engine with four lengths of chunk."""
    return _recipes(_read(folder, "engines/chunks"))


def quality(folder: Path) -> str:
    """Turns and words of each bundle and latency, beside references that need no diarization."""
    keys = ("der", "missed", "false", "confusion", "jer", "count_right", "wer", "cpwer")
    columns = ("audio", "bundle", "latency, s", "DER, %", "missed", "false alarm", "confusion",
               "JER, %", "count right, %", "WER, %", "cpWER, %")  # fmt: skip
    return markdown(
        columns,
        [
            (
                record["set"],
                record["way"],
                record["latency_s"],
                *(f"{record[key]:.1f}" if key in record else "" for key in keys),
            )
            for record in _read(folder, "quality")
            if "der" in record
        ],
    )


def voices(folder: Path) -> str:
    """Telling voices apart, and separating them, with each bundle."""
    columns = ("bundle", "EER, %", "PIT accuracy, %", "SI-SDRi, dB: two passes", "live")
    keys = ("eer", "pit", "si_sdri_db", "si_sdri_live_db")
    return markdown(
        columns,
        [
            (record["way"], *(f"{record[key]:.1f}" for key in keys))
            for record in _read(folder, "quality")
            if "eer" in record
        ],
    )


def emulated(folder: Path) -> str:
    """Emulated ARM processors: closeness to x86, and instructions per second of audio."""
    columns = ("engine", "processor", "self-test", "latents, dB",
               "M instructions per s of audio", "encoder", "Python")  # fmt: skip
    return markdown(
        columns,
        [
            (
                record["bundle"]["engine"],
                record["cpu"],
                "passed" if record["selftest_passed"] else "failed",
                f"{record['outputs']['latents']['sqnr_db']:.1f}",
                *(
                    f"{record['instructions']['per_audio_s'][key] / 1e6:.0f}"
                    for key in ("all", "encoder", "runtime")
                ),
            )
            for record in _read(folder, "emulated/instructions")
        ],
    )


TABLES: dict[str, Callable[[Path], str]] = {
    each.__name__: each for each in (engines, recipes, chunks, quality, voices, emulated)
}
"""Tables other than that of boards, by the name in their marks."""


def with_table(text: str, rows: str, name: str, begin: str = BEGIN, end: str = END) -> str:
    """`text` with what is between the two marks replaced. EchoError if it has not both, once."""
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(end) < text.index(begin):
        raise EchoError(f"{name}: found no place for the table, expected {begin} and then {end}")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{rows}{end}{rest.partition(end)[2]}"


def with_tables(text: str, boards: str, folder: Path, name: str) -> str:
    """`text` with the table of boards, and each other table whose mark it has, written anew."""
    text = with_table(text, boards, name)
    for key, make in TABLES.items():
        begin, end = (f"<!-- benchmarks.history.{key}: {side} -->" for side in ("begin", "end"))
        if begin in text:
            text = with_table(text, make(folder), name, begin, end)
    return text


def main(argv: list[str] | None = None) -> int:
    """Add, print or write; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--add", metavar="RECORDS", help="append these to the history first")
    parser.add_argument(
        "--page", metavar="FILE", help="write the tables there, between their marks"
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if a table is not the latest"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    try:
        return _run(args)
    except EchoError as error:
        print(f"results: {error}", file=sys.stderr)
        return error.exit_code


def _run(args: argparse.Namespace) -> int:
    if args.check and (not args.page or args.add):
        raise UsageError("--check: found no --page, or --add: expected --page FILE alone beside it")
    if args.add:
        print(f"added {add(read_records(args.add), args.folder)} records", file=sys.stderr)
    rows = table(history(args.folder))
    if not args.page:
        print(rows, end="")
        return 0
    try:
        old = Path(args.page).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise EchoError(f"{args.page}: cannot be read ({error}): expected a text") from error
    new = with_tables(old, rows, args.folder, args.page)
    if args.check and new != old:
        raise EchoError(
            f"{args.page}: found another table, expected that of {args.folder.name}/: "
            f"python -m benchmarks.history --page {args.page}"
        )
    if not args.check:
        save(new, args.page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
