"""The record `echo-edge.bench/1`: what was measured, whether it counts and why not.

Measures nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from statistics import fmean
from typing import Any

import numpy as np

from echo_edge.board import Board, Throttling
from echo_edge.bundle import Bundle
from echo_edge.engines import engine_version
from echo_edge.manifest import GRAPH_NAMES
from echo_edge.selftest import SelfTest

SCHEMA = "echo-edge.bench/1"
LEAST_SAMPLES = 100
LEAST_MEASURED_S = 10.0
MOST_DRIFT = 0.05
TURN_CHUNKS = 25
"""Chunks that one configuration is pushed before the next one's turn; a whole number of hops of the
diarization window (12 s in 1 s hops), so that every turn is the same work."""

Record = dict[str, Any]
"""JSON: the values are what `json` makes of them."""


@dataclass(frozen=True)
class Moment:
    """What the machine was like at one time."""

    load: float | None
    """Runnable processes over the last minute."""
    temperature_c: Mapping[str, float]
    throttling: Throttling | None


@dataclass(frozen=True)
class Conditions:
    """What all configurations of a run share."""

    time: datetime
    commit: str | None
    dirty: bool | None
    board: Board
    threads: int
    """Most engine threads of any configuration."""
    before: Moment
    after: Moment


@dataclass(frozen=True)
class Measurement:
    """What one configuration was found to take."""

    bundle: Bundle
    threads: int
    samples_ms: Sequence[float]
    """One per pushed chunk."""
    spent_s: Mapping[str, float]
    """Seconds in the engine of each graph, over all samples."""
    overhead_ms: Sequence[float]
    """Samples of the same stream with engines that do nothing."""
    probe: Mapping[str, Any]
    """`load_ms`, `first_result_ms` and `rss_mib` as they go into the record."""
    selftest: SelfTest


def make_record(measurement: Measurement, conditions: Conditions) -> Record:
    """The record of one configuration, with every key of the schema."""
    samples_ms, manifest = measurement.samples_ms, measurement.bundle.manifest
    chunk_s = manifest.audio.chunk_samples / manifest.audio.sample_rate
    selftest = measurement.selftest
    overhead_ms = rounded({"mean": fmean(measurement.overhead_ms)})
    why = reasons(samples_ms, selftest.passed, conditions)
    return {
        "schema": SCHEMA,
        "commit": conditions.commit,
        "dirty": conditions.dirty,
        "time": conditions.time.isoformat(timespec="seconds"),
        "board": asdict(conditions.board),
        "bundle": _bundle(measurement.bundle),
        "threads": measurement.threads,
        "chunk_s": chunk_s,
        "rtf": round(fmean(samples_ms) / 1000 / chunk_s, 6),
        "latency_ms": distribution(samples_ms),
        "samples_ms": [round(sample, 4) for sample in samples_ms],
        "phases_ms": _phases(measurement),
        "load_ms": rounded(measurement.probe["load_ms"]),
        "first_result_ms": round(measurement.probe["first_result_ms"], 4),
        "rss_mib": rounded(measurement.probe["rss_mib"]),
        "overhead_ms": overhead_ms | distribution(measurement.overhead_ms),
        "selftest": _selftest(selftest),
        "thermal": _thermal(conditions),
        "load_average": [conditions.before.load, conditions.after.load],
        "energy": None,
        "energy_why": "this version reads no energy sensor",
        "valid": not why,
        "why": why,
    }


def _selftest(selftest: SelfTest) -> Record:
    """SQNR in dB by output; None where the output is not finite, which JSON cannot say."""
    sqnr_db = {n: round(db, 4) if math.isfinite(db) else None for n, db in selftest.sqnr_db.items()}
    return {"passed": selftest.passed, "sqnr_db": sqnr_db}


def _bundle(bundle: Bundle) -> Record:
    manifest = bundle.manifest
    return {
        "name": manifest.name,
        "version": manifest.version,
        "engine": manifest.engine.name,
        "engine_version": engine_version(manifest.engine.name),
        "recipe": manifest.recipe,
        "sha256": bundle.sha256,
        "size_mib": round(bundle.size_bytes / 2**20, 3),
    }


def _phases(measurement: Measurement) -> dict[str, float]:
    """Mean milliseconds per chunk in each graph's engine, and outside of all engines."""
    n_samples = len(measurement.samples_ms)
    spent = {name: 1000 * measurement.spent_s[name] / n_samples for name in GRAPH_NAMES}
    spent["decoding"] = fmean(measurement.samples_ms) - sum(spent.values())
    return rounded(spent)


def _thermal(conditions: Conditions) -> Record:
    moments = {"before": conditions.before, "after": conditions.after}
    return {
        name: {
            "temperature_c": dict(moment.temperature_c),
            "throttling": asdict(moment.throttling) if moment.throttling else None,
        }
        for name, moment in moments.items()
    }


def percentile(samples: Sequence[float], percent: float) -> float:
    """Nearest rank: the least sample that at least `percent` % of all do not exceed."""
    return sorted(samples)[max(1, math.ceil(percent / 100 * len(samples))) - 1]


def distribution(samples_ms: Sequence[float]) -> dict[str, float]:
    """Percentiles of raw samples in milliseconds."""
    named = {f"p{percent}": percentile(samples_ms, percent) for percent in (50, 90, 95, 99)}
    return rounded(named | {"max": max(samples_ms)})


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """To four decimals: in milliseconds a tenth of a microsecond, finer than any clock here."""
    return {name: round(value, 4) for name, value in values.items()}


def drift(samples_ms: Sequence[float]) -> float:
    """Relative difference of the typical turn in the first and in the second half.

    A chunk takes one of two times, with and without a window of diarization, about as often, so
    the median of chunks may jump between the two; the means of turns have one mode.
    """
    n_turns = len(samples_ms) // TURN_CHUNKS
    if n_turns < 2:
        return 0.0
    turns = np.reshape(samples_ms[: n_turns * TURN_CHUNKS], (n_turns, TURN_CHUNKS)).mean(axis=1)
    first, second = np.median(turns[: n_turns // 2]), np.median(turns[n_turns // 2 :])
    return float(abs(second / first - 1))


def reasons(samples_ms: Sequence[float], passed: bool, conditions: Conditions) -> list[str]:
    """Why a measurement does not count; empty if it does."""
    measured_s, change = sum(samples_ms) / 1000, drift(samples_ms)
    return _machine_reasons(conditions) + [
        reason
        for wrong, reason in (
            (not passed, "the self-test failed: what was timed is not the promised model"),
            (
                len(samples_ms) < LEAST_SAMPLES,
                f"{len(samples_ms)} samples, at least {LEAST_SAMPLES}: raise --seconds",
            ),
            (
                measured_s < LEAST_MEASURED_S,
                f"measured for {measured_s:.1f} s, at least {LEAST_MEASURED_S:.0f} s: "
                "raise --seconds",
            ),
            (
                change > MOST_DRIFT,
                f"not repeatable: the halves differ by {change:.0%}, at most {MOST_DRIFT:.0%}",
            ),
        )
        if wrong
    ]


def _machine_reasons(conditions: Conditions) -> list[str]:
    board = conditions.board
    found = []
    if board.emulated:
        found.append("emulated: instructions are translated, times say nothing about a board")
    slowed = _slowed(conditions.before.throttling, conditions.after.throttling)
    if slowed:
        found.append(f"throttled: {', '.join(slowed)}: cool the board, check its power supply")
    load = max(conditions.before.load or 0.0, conditions.after.load or 0.0)
    most = (board.cores or 1) * 0.5 + conditions.threads
    if load > most:
        found.append(f"background load: load average {load:.2f}, at most {most:.2f}: stop the rest")
    if board.governor not in (None, "performance"):
        found.append(f"CPU governor {board.governor}: set it to performance")
    return found


def _slowed(before: Throttling | None, after: Throttling | None) -> list[str]:
    """What slowed the board down at either end of the measurement or began in between."""
    slowed = {*(before.now if before else ()), *(after.now if after else ())}
    if before and after:
        slowed |= {*after.ever} - {*before.ever}
    return sorted(slowed)
