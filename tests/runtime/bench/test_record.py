"""What a record holds, and that its numbers follow from the samples."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo_edge.bench import measurement as record
from echo_edge.bench.measurement import Measurement
from echo_edge.bench.record import to_json
from echo_edge.bench.validity import Conditions
from echo_edge.board.energy import Energy, Sensor
from echo_edge.cli.schemas import schemas
from echo_edge.selftest import SelfTest


@given(st.lists(st.floats(0, 1e6), min_size=1), st.sampled_from([50, 90, 95, 99, 100]))
def test_percentile_is_the_least_sample_that_covers(samples: list[float], percent: int) -> None:
    found = record.percentile(samples, percent)
    assert found in samples
    assert 100 * sum(sample <= found for sample in samples) >= percent * len(samples)
    assert 100 * sum(sample < found for sample in samples) < percent * len(samples)


@pytest.mark.parametrize("n_samples", [1, 2, 10, 20, 100, 200, 1000, 5000])
@pytest.mark.parametrize("percent", [50, 90, 95, 99])
def test_percentile_is_nearest_rank(n_samples: int, percent: int) -> None:
    samples = [float(rank) for rank in range(n_samples, 0, -1)]
    assert record.percentile(samples, percent) == -(-percent * n_samples // 100)


def written(measurement: Measurement, conditions: Conditions) -> Any:
    """The record as it is read by others: JSON."""
    return json.loads(to_json(record.make_record(measurement, conditions)))


def test_numbers_follow_from_samples(measurement: Measurement, conditions: Conditions) -> None:
    made = written(measurement, conditions)
    assert made["valid"]
    assert made["rtf"] == 0.125
    assert made["latency_ms"] == {"p50": 8.0, "p90": 12.0, "p95": 12.0, "p99": 12.0, "max": 12.0}
    assert made["phases_ms"]["encoder"] == 1.5
    assert made["phases_ms"]["decoding"] == 1.0
    # 10 ms for 80 ms of audio against 12 ms for 480 ms
    assert made["reference"]["rtf_ratio"] == 5.0
    assert made["reference"]["gflop_per_s"] == pytest.approx(33.55, abs=0.01)
    assert made["live"]["deadline_misses"] == 1
    assert made["overhead_ms"] == {
        "mean": 2.0, "p50": 1.0, "p90": 3.0, "p95": 3.0, "p99": 3.0, "max": 3.0
    }  # fmt: skip
    assert made["time"] == "2026-01-02T00:00:00+00:00"
    assert made["thermal"]["over_time"][1] == {"t_s": 20, "hottest_c": 50, "clock_mhz": 2400}


def test_one_disturbed_round_does_not_move_the_ratio(
    measurement: Measurement, conditions: Conditions
) -> None:
    disturbed = [50.0] * 25 + list(measurement.samples_ms)[25:]
    reference_ms = [90.0] * 10 + list(measurement.reference_ms)[10:]
    made = written(
        replace(measurement, samples_ms=disturbed, reference_ms=reference_ms), conditions
    )
    assert made["reference"]["rtf_ratio"] == pytest.approx(5.0, rel=0.02)


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), float("inf")])
def test_a_record_of_a_broken_model_is_json_and_does_not_count(
    measurement: Measurement, conditions: Conditions, value: float
) -> None:
    selftest = SelfTest({"latents": value, "asr": 50.12345}, {"latents": 30.0, "asr": 60.0})
    made = written(replace(measurement, selftest=selftest), conditions)
    assert made["selftest"] == {"passed": False, "sqnr_db": {"latents": None, "asr": 50.1234}}
    assert not made["valid"]


def energy(answers: bool) -> Energy:
    measured = Energy(Sensor("RAPL package-0", "the processor only", lambda: None, None))
    measured.joules, measured.window_s, measured.answers = 48.0, 12.0, answers
    return measured


def test_energy_is_per_second_of_audio(measurement: Measurement, conditions: Conditions) -> None:
    made = written(replace(measurement, energy=energy(True)), conditions)
    assert made["energy"] == {
        "sensor": "RAPL package-0",
        "covers": "the processor only",
        "joules": 48.0,
        "window_s": 12.0,
        "watts": 4.0,
        "joules_per_audio_s": 0.5,  # 1200 chunks of 80 ms
    }
    assert made["energy_why"] is None


def test_a_sensor_that_stopped_is_null_with_a_reason(
    measurement: Measurement, conditions: Conditions
) -> None:
    made = written(replace(measurement, energy=energy(False)), conditions)
    assert made["energy"] is None
    assert "RAPL package-0 stopped answering" in made["energy_why"]
    made = written(measurement, conditions)
    assert (made["energy"], made["energy_why"]) == (None, "no sensor")


def test_a_record_fits_the_published_schema(
    measurement: Measurement, conditions: Conditions
) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="needs pip install jsonschema")
    validator = jsonschema.Draft202012Validator(schemas()["bench.schema.json"])
    document = written(replace(measurement, energy=energy(True)), conditions)

    assert list(validator.iter_errors(document)) == []
    assert list(document) == list(validator.schema["properties"])
    assert not validator.is_valid(document | {"rtf": 1e300})
