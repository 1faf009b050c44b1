"""`echo-edge bench`: what a record holds, when it counts, and that its numbers add up."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo_edge import bench, bench_measure, bench_record
from echo_edge.audio import write_wav
from echo_edge.bench_record import Conditions, Moment
from echo_edge.board import Board, Throttling
from echo_edge.bundle import open_bundle
from echo_edge.cli import main
from echo_edge.selftest import SelfTest
from echo_edge.session import load

BOARD = Board("Pi 5", "Cortex-A76", ("neon",), 4, "performance", 8192, "Linux", "6.12", False)
COOL = Moment(0.4, {"cpu": 50.0}, Throttling((), ("under_voltage",)))
CONDITIONS = Conditions(datetime(2026, 1, 2, tzinfo=UTC), "c0ffee", False, BOARD, 1, COOL, COOL)
GOOD_MS = [100.0, 110.0] * 100

KEYS = {
    "schema", "commit", "dirty", "time", "board", "bundle", "threads", "chunk_s", "rtf",
    "latency_ms", "samples_ms", "phases_ms", "load_ms", "first_result_ms", "rss_mib",
    "overhead_ms", "selftest", "thermal", "energy", "valid", "why",
}  # fmt: skip
INNER_KEYS = {
    "board": {
        "model", "cpu", "isa", "cores", "governor", "memory_mib", "os", "kernel", "emulated",
    },
    "bundle": {"name", "version", "engine", "engine_version", "recipe", "sha256", "size_mib"},
    "latency_ms": {"p50", "p90", "p95", "p99", "max"},
    "phases_ms": {
        "frontend", "encoder", "diarization", "speaker", "asr", "separation", "decoding",
    },
    "load_ms": {"cold", "warm"},
    "rss_mib": {"before_load", "after_load", "peak"},
    "selftest": {"passed", "sqnr_db"},
    "overhead_ms": {"p50", "p90", "p95", "p99", "max", "mean"},
}  # fmt: skip


def read_records(path: Path) -> list[dict[str, Any]]:
    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is not JSON")

    lines = path.read_text().splitlines()
    return [json.loads(line, parse_constant=refuse) for line in lines]


def test_a_run_appends_whole_records(
    null_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bench.jsonl"
    out.write_text('{"older": true}\n')
    options = ["--bundle", str(null_bundle), "--seconds", "0.02", "--json", str(out)]
    assert main(["bench", *options, "--threads", "1,2"]) == 0
    older, *records = read_records(out)
    assert older == {"older": True}
    assert [record["threads"] for record in records] == [1, 2]
    for record in records:
        check_record(record, null_bundle)
    check_output(capsys.readouterr().out, records)


def check_record(record: dict[str, Any], folder: Path) -> None:
    assert record["schema"] == "echo-edge.bench/1"
    assert set(record) >= KEYS
    for name, keys in INNER_KEYS.items():
        assert set(record[name]) == keys, name
    assert record["bundle"]["sha256"] == open_bundle(folder).sha256
    assert record["energy"] is None
    assert record["energy_why"]
    assert record["chunk_s"] == 0.08
    assert record["selftest"]["passed"]
    assert not record["valid"]
    assert any("raise --seconds" in why for why in record["why"])
    check_numbers(record)


def check_numbers(record: dict[str, Any]) -> None:
    samples_ms = record["samples_ms"]
    assert len(samples_ms) % bench_record.TURN_CHUNKS == 0
    assert sum(samples_ms) >= 20
    mean_ms = sum(samples_ms) / len(samples_ms)
    assert record["rtf"] == pytest.approx(mean_ms / 80, rel=1e-3, abs=2e-6)
    assert sum(record["phases_ms"].values()) == pytest.approx(mean_ms, abs=1e-3)
    assert all(ms >= 0 for ms in record["phases_ms"].values())
    assert record["latency_ms"]["max"] == max(samples_ms)
    rss_mib, load_ms = record["rss_mib"], record["load_ms"]
    assert 0 < rss_mib["before_load"] <= rss_mib["peak"]
    assert rss_mib["after_load"] <= rss_mib["peak"]
    assert 0 < load_ms["cold"] < record["first_result_ms"]


def check_output(text: str, records: list[dict[str, Any]]) -> None:
    """Two rows, one for the null engine, the board and every reason."""
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(records) + 1
    assert len({len(line) for line in table}) == 1
    assert sum(" null " in line and " - " in line for line in table) == 1
    assert "INVALID" in table[2]
    assert "\nboard: " in text
    for record in records:
        assert all(why in text for why in record["why"])


def test_bundle_given_twice_is_measured_once(
    null_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, audio = tmp_path / "bench.jsonl", tmp_path / "audio.wav"
    write_wav(audio, np.zeros(20_000, np.float32))
    options = ["--seconds", "0.01", "--json", str(out), "--audio", str(audio)]
    folder = str(null_bundle)
    assert main(["bench", "--bundle", folder, folder, *options, "--threads", "1,1"]) == 0
    assert len(read_records(out)) == 1
    assert capsys.readouterr().err == ""


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
        (["--audio", "absent.wav"], 1),
        (["--json", "absent/bench.jsonl"], 1),
        (["--bundle", "absent"], 3),
    ],
)
def test_bad_options_are_one_line(
    null_bundle: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: int
) -> None:
    bundle = [] if "--bundle" in options else ["--bundle", str(null_bundle)]
    assert main(["bench", *bundle, *options]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("echo-edge: ")
    assert len(err.splitlines()) == 1


def test_a_refused_run_leaves_no_file(null_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "bench.jsonl"
    options = ["--json", str(out), "--audio", str(tmp_path / "absent.wav")]
    assert main(["bench", "--bundle", str(null_bundle), *options]) == 1
    assert not out.exists()


@given(st.lists(st.floats(0, 1e6), min_size=1), st.sampled_from([50, 90, 95, 99, 100]))
def test_percentile_is_the_least_sample_that_covers(samples: list[float], percent: int) -> None:
    found = bench_record.percentile(samples, percent)
    assert found in samples
    assert 100 * sum(sample <= found for sample in samples) >= percent * len(samples)
    assert 100 * sum(sample < found for sample in samples) < percent * len(samples)


@pytest.mark.parametrize("n_samples", [1, 2, 10, 20, 100, 200, 1000, 5000])
@pytest.mark.parametrize("percent", [50, 90, 95, 99])
def test_percentile_is_nearest_rank(n_samples: int, percent: int) -> None:
    samples = [float(rank) for rank in range(n_samples, 0, -1)]
    assert bench_record.percentile(samples, percent) == -(-percent * n_samples // 100)


def slow_second_half(factor: float) -> list[float]:
    return GOOD_MS[:100] + [factor * sample for sample in GOOD_MS[100:]]


def changed(**facts: Any) -> Conditions:
    return replace(CONDITIONS, board=replace(BOARD, **facts))


def between(**after: Any) -> Conditions:
    return replace(CONDITIONS, after=replace(COOL, **after))


@pytest.mark.parametrize(
    ("samples_ms", "passed", "conditions", "reason"),
    [
        (GOOD_MS, True, CONDITIONS, None),
        (GOOD_MS[:100], True, CONDITIONS, None),
        (GOOD_MS[:98], True, CONDITIONS, "98 samples"),
        ([1.0] * 200, True, CONDITIONS, "measured for 0.2 s"),
        (slow_second_half(1.04), True, CONDITIONS, None),
        (slow_second_half(1.06), True, CONDITIONS, "not repeatable"),
        (slow_second_half(0.94), True, CONDITIONS, "not repeatable"),
        (GOOD_MS, False, CONDITIONS, "the self-test failed"),
        (GOOD_MS, True, changed(emulated=True), "emulated"),
        (GOOD_MS, True, changed(governor="powersave"), "CPU governor powersave"),
        (GOOD_MS, True, changed(governor=None), None),
        (GOOD_MS, True, between(load=3.0), None),
        (GOOD_MS, True, between(load=3.01), "background load"),
        (GOOD_MS, True, between(load=None, throttling=None), None),
        (GOOD_MS, True, between(throttling=Throttling(("throttled",), ())), "throttled: throttled"),
        (GOOD_MS, True, between(throttling=Throttling((), ("throttled",))), "throttled: throttled"),
        (GOOD_MS, True, between(throttling=Throttling((), ("under_voltage",))), None),
    ],
)
def test_what_makes_a_measurement_count(
    samples_ms: list[float], passed: bool, conditions: Conditions, reason: str | None
) -> None:
    why = bench_record.reasons(samples_ms, passed, conditions)
    if reason is None:
        assert why == []
    else:
        assert [each for each in why if each.startswith(reason)], why
        expected = 2 if reason == "98 samples" else 1
        assert len(why) <= expected


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), float("inf")])
def test_a_record_of_a_broken_model_is_json_and_does_not_count(
    null_bundle: Path, value: float
) -> None:
    selftest = SelfTest({"latents": value, "asr": 50.12345}, {"latents": 30.0, "asr": 60.0})
    spent_s = dict.fromkeys(INNER_KEYS["phases_ms"] - {"decoding"}, 1.0)
    probe = {"load_ms": {"cold": 2.0, "warm": 1.0}, "first_result_ms": 3.0, "rss_mib": {}}
    measurement = bench_record.Measurement(
        open_bundle(null_bundle), 1, GOOD_MS, spent_s, [1.0, 3.0], probe, selftest
    )
    record = bench_record.make_record(measurement, CONDITIONS)
    json.dumps(record, allow_nan=False)
    assert record["selftest"] == {"passed": False, "sqnr_db": {"latents": None, "asr": 50.1234}}
    assert not record["valid"]
    assert record["overhead_ms"] == {
        "mean": 2.0, "p50": 1.0, "p90": 3.0, "p95": 3.0, "p99": 3.0, "max": 3.0
    }  # fmt: skip
    assert record["time"] == "2026-01-02T00:00:00+00:00"


def test_warm_up_fills_the_window_whatever_the_chunk(null_bundle: Path) -> None:
    manifest = open_bundle(null_bundle).manifest
    long_window = replace(manifest, diarization=replace(manifest.diarization, window_steps=250))
    chunks = bench_measure._warm_up_chunks(long_window)
    assert chunks * manifest.streaming.chunk_steps >= 250


def test_warm_up_is_not_counted(null_bundle: Path) -> None:
    with load(null_bundle) as session:
        lane = bench_measure.Lane(session, None)
        lane.warm_up()
        assert lane.samples_ms == []
        assert set(lane.spent_s.values()) == {0.0}
        lane.push(3)
        assert len(lane.samples_ms) == 3
        assert all(spent_s > 0 for name, spent_s in lane.spent_s.items() if name != "diarization")


def test_configurations_take_turns(null_bundle: Path) -> None:
    with load(null_bundle) as session:
        lanes = [bench_measure.Lane(session, None) for _ in range(2)]
        null = [bench_measure.Lane(bench_measure.null_session(session.bundle), None)]
        bench_measure.measure(lanes, null, 0.01, lambda _: None)
        counts = {len(lane.samples_ms) for lane in (*lanes, *null)}
        assert len(counts) == 1
        assert all(lane.measured_s >= 0.01 for lane in lanes)


def test_a_failing_new_process_is_one_line(null_bundle: Path) -> None:
    bundle = open_bundle(null_bundle)
    (null_bundle / "asr.null").unlink()
    with pytest.raises(bench_measure.EchoError, match=r"asr\.null") as caught:
        bench_measure.probe_afresh(bundle, 1)
    assert len(str(caught.value).splitlines()) == 1


def test_append_lines_takes_a_device_and_keeps_what_was_there(tmp_path: Path) -> None:
    bench.append_lines("/dev/null", ["{}"])
    out = tmp_path / "lines"
    bench.append_lines(str(out), [])
    assert not out.exists()
    bench.append_lines(str(out), ["a"])
    bench.append_lines(str(out), [])
    bench.append_lines(str(out), ["b", "c"])
    assert out.read_text() == "a\nb\nc\n"
