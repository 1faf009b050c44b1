"""`echo-edge bench` from the command line to the records, the page and the exit code."""

import json
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echo_edge.audio import write_wav
from echo_edge.bench import measure
from echo_edge.bench.record import to_json
from echo_edge.bench.reference import Reference
from echo_edge.bench.report.store import read_records
from echo_edge.bench.report.table import facts
from echo_edge.bundle.verify import open_bundle
from echo_edge.cli import main
from echo_edge.engines.null import NullEngine
from echo_edge.errors import EngineError

KEYS = {
    "schema", "commit", "dirty", "time", "board", "bundle", "threads", "chunk_s", "rtf",
    "latency_ms", "samples_ms", "reference", "live", "phases_ms", "load_ms", "first_result_ms",
    "rss_mib", "pss_mib", "anonymous_mib", "rss_mib_over_time", "overhead_ms", "selftest", "tasks",
    "accuracy", "accuracy_why",
    "thermal", "load_average", "background_processors", "energy", "energy_why", "valid", "why",
}  # fmt: skip
INNER_KEYS = {
    "board": {
        "model", "cpu", "isa", "cores", "governor", "memory_mib", "os", "kernel", "emulated",
        "clock_mhz_max", "power_mode",
    },
    "bundle": {"name", "version", "engine", "engine_version", "recipe", "sha256", "size_mib"},
    "latency_ms": {"p50", "p90", "p95", "p99", "max"},
    "phases_ms": {
        "frontend", "encoder", "diarization", "speaker", "asr", "separation", "decoding",
        "second_pass",
    },
    "load_ms": {"cold", "warm"},
    "rss_mib": {"before_load", "after_load", "peak", "engine", "weights", "working_set"},
    "selftest": {"passed", "sqnr_db"},
    "tasks": {
        "asr_changed_percent", "phones_changed_percent", "diarization_changed_percent",
        "cosine_least",
    },
    "overhead_ms": {"p50", "p90", "p95", "p99", "max", "mean"},
    "reference": {"what", "ms", "gflop_per_s", "rtf_ratio"},
    "live": {
        "pace", "period_ms", "chunks", "deadline_misses", "latency_ms", "lag_ms",
        "lag_growth_ms_per_s", "samples_ms",
    },
    "thermal": {"before", "after", "over_time"},
}  # fmt: skip
QUICK = ("--seconds", "0.02", "--live-s", "0.1", "--pace", "8")


def test_a_run_appends_whole_records(
    null_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, html = tmp_path / "bench.jsonl", tmp_path / "bench.html"
    out.write_text('{"older": true}\n')
    options = ["--bundle", str(null_bundle), *QUICK, "--json", str(out), "--html", str(html)]
    assert main(["bench", *options, "--threads", "1,2"]) == 0
    older, *lines = out.read_text().splitlines()
    assert json.loads(older) == {"older": True}
    out.write_text("\n".join(lines))
    records = [json.loads(line) for line in lines]
    assert [to_json(record) for record in read_records(str(out))] == lines
    assert [record["threads"] for record in records] == [1, 2]
    for record in records:
        check_record(record, null_bundle)
    check_output(capsys.readouterr().out, records)
    assert html.read_text().count("<svg") == 4


def check_record(record: dict[str, Any], folder: Path) -> None:
    assert set(record) == KEYS
    for name, keys in INNER_KEYS.items():
        assert set(record[name]) == keys, name
    assert record["bundle"]["sha256"] == open_bundle(folder).sha256
    assert (record["energy"] is None) == bool(record["energy_why"])
    assert record["chunk_s"] == 0.08
    assert record["selftest"]["passed"]
    assert not record["valid"]
    assert any("raise --seconds" in why for why in record["why"])
    check_numbers(record)


def check_numbers(record: dict[str, Any]) -> None:
    samples_ms = record["samples_ms"]
    assert len(samples_ms) % measure.ROUND_CHUNKS == 0
    assert sum(samples_ms) >= 20
    mean_ms = sum(samples_ms) / len(samples_ms)
    assert record["rtf"] == pytest.approx(mean_ms / 80, rel=1e-3, abs=2e-6)
    assert sum(record["phases_ms"].values()) == pytest.approx(mean_ms, abs=1e-3)
    assert all(ms >= 0 for ms in record["phases_ms"].values())
    assert record["latency_ms"]["max"] == max(samples_ms)
    rss_mib, load_ms, live = record["rss_mib"], record["load_ms"], record["live"]
    assert 0 < rss_mib["before_load"] <= rss_mib["peak"]
    assert rss_mib["after_load"] <= rss_mib["peak"]
    assert 0 < load_ms["cold"] < record["first_result_ms"]
    assert (live["pace"], live["period_ms"], live["chunks"]) == (8, 10, 10)
    assert len(live["samples_ms"]) == 10
    assert record["reference"]["ms"] > 0


def check_output(text: str, records: list[dict[str, Any]]) -> None:
    """Two rows, one for the null engine, the board and every reason."""
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(records) + 1
    assert len({len(line) for line in table}) == 1
    assert sum(line.count(" - ") > 5 for line in table) == 1  # the null engines
    assert "INVALID" in table[2]
    assert "\n  live: " in text
    assert text.count("reference work (") == 1
    assert "\nboard: " in f"\n{text}"
    for record in records:
        assert all(why in text for why in record["why"])


def test_a_bundle_given_twice_is_measured_once_and_live_can_be_left_out(
    null_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, audio = tmp_path / "bench.jsonl", tmp_path / "audio.wav"
    write_wav(audio, np.zeros(20_000, np.float32))
    options = ["--seconds", "0.01", "--live-s", "0", "--json", str(out), "--audio", str(audio)]
    folder = str(null_bundle)
    assert main(["bench", "--bundle", folder, folder, *options, "--threads", "1,1"]) == 0
    (record,) = read_records(str(out))
    assert record.live is None
    assert capsys.readouterr().err == ""


def test_recorded_runs_are_reported_and_compared_without_measuring(
    make: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, html = tmp_path / "old.jsonl", tmp_path / "new.jsonl", tmp_path / "page.html"
    old.write_text(to_json(make()))
    new.write_text(to_json(make(rtf=0.13)))
    assert main(["bench", "--from", str(new), "--compare", str(old)]) == 0
    out = capsys.readouterr().out
    assert "0.1300" in out
    assert out.endswith("comparison: passed\n")
    options = ["--compare", str(old), "--allow", "rtf=3", "--html", str(html)]
    assert main(["bench", "--from", str(new), *options]) == 1
    out, err = capsys.readouterr()
    assert "rtf 0.125 -> 0.13 (+4.0 %), allowed +3 %" in out
    assert out.endswith("comparison: FAILED\n")
    assert err == ""
    assert "comparison: FAILED" in html.read_text()


def test_what_cannot_be_compared_is_not_measured(
    make: Any, null_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, out = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    old.write_text(to_json(make(threads=7)))
    options = ["--bundle", str(null_bundle), "--compare", str(old), "--json", str(out)]
    assert main(["bench", *options]) == 1
    stdout, err = capsys.readouterr()
    assert stdout == ""
    assert "expected one of (float32, null, 80 ms, threads 1)" in err
    assert not out.exists()


def test_facts_say_what_int8_gains_and_what_live_means(make: Any) -> None:
    slow = make(rtf=0.25, bundle={"sha256": "f" * 64})
    phases_ms = replace(slow.phases_ms, encoder=0.5)
    fast = replace(make(bundle={"recipe": "static_w8a8"}), phases_ms=phases_ms)
    live = fast.live
    text = facts([fast, slow])
    assert "(static_w8a8, null, 80 ms, threads 1): encoder 3.00 x, all 2.00 x as fast" in text
    assert "against float32 (float32" not in text
    assert "keeps up, 1 of 3 chunks late" in text
    behind = replace(live, lag_growth_ms_per_s=10.1)
    assert "FALLS BEHIND" in facts([replace(fast, live=behind)])
    on_time = replace(live, deadline_misses=0)
    assert "per s: keeps up\n" in facts([replace(fast, live=on_time)])


def test_chunks_pick_bundles(null_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--bundle", str(null_bundle), "--seconds", "0.01", "--live-s", "0"]
    assert main(["bench", *options, "--chunk-s", "0.08"]) == 0
    assert "| 80 " in capsys.readouterr().out
    assert main(["bench", *options, "--chunk-s", "0.08,0.48"]) == 2
    err = capsys.readouterr().err
    assert "--chunk-s 0.48: found bundles with chunks of 0.08 s" in err


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--threads", "0"], 2),
        (["--threads", "1,"], 2),
        (["--threads", "two"], 2),
        (["--threads", "257"], 2),
        (["--seconds", "0"], 2),
        (["--seconds", "nan"], 2),
        (["--seconds", "inf"], 2),
        (["--seconds", "x"], 2),
        (["--live-s", "-1"], 2),
        (["--live-s", "86401"], 2),
        (["--pace", "0"], 2),
        (["--pace", "nan"], 2),
        (["--chunk-s", ""], 2),
        (["--chunk-s", "0.1,x"], 2),
        (["--allow", "rtf=5"], 2),
        (["--allow-invalid"], 2),
        (["--compare", "absent.json", "--allow", "rtf"], 2),
        (["--compare", "absent.json", "--allow", "speed=5"], 2),
        (["--compare", "absent.json", "--allow", "rtf=nan"], 2),
        (["--from", "absent.json", "--json", "out.json"], 2),
        (["--from", "absent.json", "--audio", "a.wav"], 2),
        (["--html", "a.json", "--json", "./a.json"], 2),
        (["--html", "a.json", "--compare", "a.json"], 2),
        (["--from", "a.json", "--html", "a.json"], 2),
        (["--from", "absent.json"], 1),
        (["--compare", "absent.json"], 1),
        (["--audio", "absent.wav"], 1),
        (["--json", "absent/bench.jsonl"], 1),
        (["--html", "absent/bench.html"], 1),
        (["--bundle", "absent"], 3),
    ],
)
def test_bad_options_are_one_line(
    null_bundle: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: int
) -> None:
    bundle = [] if {"--bundle", "--from"} & {*options} else ["--bundle", str(null_bundle)]
    assert main(["bench", *bundle, *options]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("echo-edge: ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("nth", [1, 100, 400, 1000])
def test_an_engine_that_fails_on_the_way_is_one_line(
    null_bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    nth: int,
) -> None:
    """In the self-test, in the warm-up, in a round: no record, no page, no process left."""
    calls, out, works, ended = count(1), tmp_path / "bench.jsonl", NullEngine.run, []

    def fail(engine: NullEngine, inputs: Any) -> Any:
        if next(calls) >= nth:
            raise EngineError("encoder.null: null failed: the board is on fire: put it out")
        return works(engine, inputs)

    close = Reference.close
    monkeypatch.setattr(NullEngine, "run", fail)
    monkeypatch.setattr(Reference, "close", lambda self: (close(self), ended.append(self)))
    options = ["--json", str(out), "--html", str(tmp_path / "a.html"), "--seconds", "0.2"]
    assert main(["bench", "--bundle", str(null_bundle), *options]) == 1
    stdout, err = capsys.readouterr()
    assert (stdout, err) == (
        "",
        "echo-edge: encoder.null: null failed: the board is on fire: put it out\n",
    )
    assert not list(tmp_path.glob("*.jsonl"))
    assert not list(tmp_path.glob("*.html"))
    assert all(reference._process.returncode is not None for reference in ended)
    assert len(ended) == (nth > 1)


def test_a_refused_run_leaves_no_file(null_bundle: Path, tmp_path: Path) -> None:
    out, html = tmp_path / "bench.jsonl", tmp_path / "bench.html"
    options = ["--json", str(out), "--html", str(html), "--audio", str(tmp_path / "absent.wav")]
    assert main(["bench", "--bundle", str(null_bundle), *options]) == 1
    assert not out.exists()
    assert not html.exists()
