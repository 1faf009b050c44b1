"""What is printed: the table that people paste, and the facts below it."""

from typing import Any

from echo_edge.bench.record import Record
from echo_edge.bench.report.table import COLUMNS, facts, table

SLOW = {
    "bundle": {
        "name": "b", "version": "1", "engine": "executorch", "engine_version": "1.5.1",
        "recipe": "static_w8a8", "sha256": "0" * 64, "size_mib": 36.0,
    },
    "latency_ms": {"p50": 110.04, "p90": 120.0, "p95": 125.0, "p99": 130.0, "max": 140.0},
    "load_ms": {"cold": 2400.0, "warm": 2100.0},
    "first_result_ms": 2600.0,
    "accuracy": {
        "der_percent": 12.34, "wer_percent": 61.21, "speakers": 2, "true_speakers": 3, "words": 214,
        "audio_s": 63.08,
    },
}  # fmt: skip


def row(record: Record) -> dict[str, str]:
    """The first row of its table, by column."""
    cells = table([record]).splitlines()[2].strip("|").split("|")
    return dict(zip(COLUMNS, map(str.strip, cells), strict=True))


def test_a_row_fits_a_terminal(make: Any) -> None:
    """Long names and a board ten times slower than it should be."""
    lines = table([make(**SLOW)]).splitlines()

    assert max(map(len, lines)) <= 160
    assert len({len(line) for line in lines}) == 1


def test_a_row_has_what_the_record_has(make: Any) -> None:
    cells = row(make(**SLOW))

    assert cells["p50/p90/p99 ms"] == "110.0/120.0/130.0"
    assert cells["load/first ms"] == "2100/2600"
    assert cells["DER/WER %"] == "12.3/61.2"
    assert cells["late"] == "1/3"
    assert (cells["test"], cells["valid"]) == ("ok", "yes")


def test_what_was_not_measured_is_a_dash_and_a_reason(make: Any) -> None:
    record = make(accuracy=None, accuracy_why="jiwer is not installed: cure", live=None)
    cells = row(record)

    assert (cells["DER/WER %"], cells["live p99"], cells["late"]) == ("-", "-", "-")
    assert "\n  accuracy: not measured (jiwer is not installed: cure)\n" in facts([record])


def test_a_failed_self_test_stands_out(make: Any) -> None:
    assert row(make(selftest={"passed": False}))["test"] == "BAD"


def test_accuracy_says_how_little_it_is_measured_on(make: Any) -> None:
    text = facts([make(**SLOW)])

    assert "accuracy on 63 s of synthetic conversation: DER" in text
    assert "DER 12.3 % (collar 0, overlap scored, 2 of 3 speakers), WER 61.2 % of 214 words" in text


def test_older_records_without_accuracy_are_reported(make: Any) -> None:
    record = make(accuracy=None, accuracy_why=None)

    assert row(record)["DER/WER %"] == "-"
    assert "accuracy" not in facts([record])


def test_reasons_of_all_rows_are_said_once(make: Any) -> None:
    text = facts([make(why=["hot", "short"]), make(why=["hot"], threads=2)])

    assert text.count("INVALID") == 2
    assert "threads 1:\n" in text
    assert "\n  INVALID: short\n" in text
    assert text.endswith("INVALID, every row: hot\n")
