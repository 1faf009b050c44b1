"""The history of records and the table made of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import history as results
from echo_edge.bench.report.store import read_records


def record(**keys: Any) -> dict[str, Any]:
    """As `echo-edge bench` writes it."""
    board = keys.pop("board", {})
    percentiles = {"p50": 10.0, "p90": 11.0, "p95": 12.0, "p99": 13.0, "max": 14.0}
    phases = ("frontend", "encoder", "diarization", "speaker", "asr", "separation", "decoding")
    return {
        "schema": "echo-edge.bench/1",
        "commit": "c0ffee123456", "dirty": False, "time": "2026-01-02T03:04:05+00:00",
        "board": {
            "model": "Raspberry Pi 5 Model B", "cpu": "Cortex-A76", "isa": ["neon"], "cores": 4,
            "governor": "performance", "memory_mib": 8000, "os": "Debian", "kernel": "6.12",
            "emulated": False, **board,
        },
        "bundle": {
            "name": "echo", "version": "1.0", "engine": "onnx", "engine_version": "1.32.0",
            "recipe": "static_w8a8", "sha256": "ab" * 32, "size_mib": 30.0,
        },
        "threads": 1, "chunk_s": 0.48, "rtf": 0.02, "latency_ms": percentiles,
        "samples_ms": [10.0, 14.0], "phases_ms": dict.fromkeys(phases, 1.0),
        "load_ms": {"cold": 200.0, "warm": 100.0}, "first_result_ms": 250.0,
        "rss_mib": {"before_load": 30.0, "after_load": 80.0, "peak": 96.0},
        "overhead_ms": {"mean": 0.5, **percentiles}, "selftest": {"passed": True},
        "thermal": {}, "energy": None, "energy_why": "none", "valid": True, "why": [], **keys,
    }  # fmt: skip


def write(path: Path, *records: dict[str, Any]) -> str:
    path.write_text("".join(f"{json.dumps(each)}\n" for each in records))
    return str(path)


def run(folder: Path, *options: str) -> int:
    folder.mkdir(exist_ok=True)
    return results.main(["--folder", str(folder), *options])


def test_records_go_to_their_board_once(tmp_path: Path) -> None:
    new = write(tmp_path / "new", record(), record(threads=2), record(board={"model": "<Jetson>"}))
    assert run(tmp_path / "results", "--add", new) == 0
    assert run(tmp_path / "results", "--add", new) == 0
    files = {path.name: len(read_records(str(path))) for path in (tmp_path / "results").iterdir()}
    assert files == {"raspberry_pi_5_model_b_4_cores.jsonl": 2, "jetson_4_cores.jsonl": 1}


def test_the_last_record_that_counts_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    later = record(time="2026-02-03T03:04:05+00:00", rtf=0.01, dirty=True)
    hot = record(time="2026-03-03T03:04:05+00:00", rtf=0.9, valid=False, why=["throttled"])
    new = write(tmp_path / "new", record(), later, hot, record(threads=2))
    assert run(tmp_path / "results", "--add", new) == 0
    _head, _rule, *rows = capsys.readouterr().out.splitlines()
    assert [[cell.strip() for cell in row.split("|")][5:7] for row in rows] == [
        ["1", "0.0100"],
        ["2", "0.0200"],
    ]
    assert "2026-02-03, c0ffee123+" in rows[0]


def test_other_measurements_may_stand_beside_the_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "quality.jsonl").write_text('{"set": "dialogues", "der": 28.8}\n')
    assert run(tmp_path) == 0
    assert capsys.readouterr().out == "No board has been measured yet.\n"


def test_no_record_no_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "results") == 0
    assert capsys.readouterr().out == "No board has been measured yet.\n"


def test_the_page_keeps_what_is_around_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{results.BEGIN}\nstale row\n{results.END}\nafter\n")
    new = write(tmp_path / "new", record())
    assert run(tmp_path / "results", "--add", new, "--page", str(page)) == 0
    text = page.read_text()
    assert text.startswith(f"before\n{results.BEGIN}\n| board ")
    assert text.endswith(f"|\n{results.END}\nafter\n")
    assert "stale row" not in text
    assert run(tmp_path / "results", "--page", str(page), "--check") == 0
    page.write_text(text.replace("0.0200", "0.0100"))
    assert run(tmp_path / "results", "--page", str(page), "--check") == 1
    assert "0.0100" in page.read_text()
    assert "found another table" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["", results.BEGIN, f"{results.END} {results.BEGIN}", 2 * results.BEGIN + results.END]
)
def test_a_page_without_its_marks_is_left_alone(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    assert run(tmp_path / "results", "--page", str(page)) == 1
    assert page.read_text() == text
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "code"),
    [(["--check"], 2), (["--add", "absent"], 1), (["--page", "absent"], 1)],
)
def test_bad_options_are_one_line(
    tmp_path: Path, options: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "results", *options) == code
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)


def test_the_page_of_the_project_has_the_latest_tables() -> None:
    page = Path(results.__file__).parents[1] / "docs" / "performance.md"
    text = page.read_text(encoding="utf-8")
    missing = [each for each in results.TABLES if f"benchmarks.history.{each}: begin" not in text]
    assert missing == []
    assert results.main(["--page", str(page), "--check"]) == 0
