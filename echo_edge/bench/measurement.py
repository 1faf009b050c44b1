"""The record `echo-edge.bench/1`: what was measured, whether it counts and why not.

Measures nothing. docs/bench.md says what every key means.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean, median
from typing import Any

from echo_edge.bench import reference as reference_work
from echo_edge.bench.accuracy import Accuracy
from echo_edge.bench.live import Live
from echo_edge.bench.measure import TURN_CALLS
from echo_edge.bench.validity import Conditions, reasons, turn_means
from echo_edge.board.energy import Energy
from echo_edge.bundle.manifest import GRAPH_NAMES
from echo_edge.bundle.verify import Bundle
from echo_edge.engines import engine_version
from echo_edge.selftest import SelfTest

SCHEMA = "echo-edge.bench/1"

Record = dict[str, Any]
"""JSON: the values are what `json` makes of them."""


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
    reference_ms: Sequence[float]
    """One per call of the reference work."""
    probe: Mapping[str, Any]
    """`load_ms`, `first_result_ms`, `rss_mib` and so on, as they go into the record."""
    selftest: SelfTest
    tasks: Mapping[str, float | None] = field(default_factory=dict)
    """What it decides on the self-test's clip, beside what float decided there."""
    accuracy: Accuracy | None = None
    """How right it is about the bundle's labelled recording."""
    accuracy_why: str = ""
    """Why `accuracy` is None."""
    live: Live | None = None
    """None where it was not asked for."""
    pace: float = 1.0
    """Of `live`: how many times as fast as from a microphone the chunks arrived."""
    energy: Energy | None = None
    energy_why: str = ""
    """Why `energy` is None."""


def make_record(measurement: Measurement, conditions: Conditions) -> Record:
    """The record of one configuration, with every key of the schema."""
    samples_ms, manifest = measurement.samples_ms, measurement.bundle.manifest
    chunk_s = manifest.audio.chunk_samples / manifest.audio.sample_rate
    selftest, probe = measurement.selftest, measurement.probe
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
        "samples_ms": _rounded(samples_ms),
        "reference": _reference(samples_ms, chunk_s, measurement.reference_ms),
        "live": _live(measurement.live, measurement.pace),
        "phases_ms": _phases(measurement),
        "load_ms": rounded(probe["load_ms"]),
        "first_result_ms": round(probe["first_result_ms"], 4),
        "rss_mib": rounded(probe["rss_mib"]),
        "pss_mib": probe["pss_mib"],
        "anonymous_mib": probe["anonymous_mib"],
        "rss_mib_over_time": _rounded(probe["rss_mib_over_time"]),
        "overhead_ms": overhead_ms | distribution(measurement.overhead_ms),
        "selftest": _selftest(selftest),
        "tasks": {n: v if v is None else round(v, 4) for n, v in measurement.tasks.items()},
        **_accuracy(measurement),
        "thermal": _thermal(conditions),
        "load_average": [conditions.moments[0].load, conditions.moments[-1].load],
        "background_processors": conditions.background and round(conditions.background, 4),
        **_energy(measurement, chunk_s),
        "valid": not why,
        "why": why,
    }


def _selftest(selftest: SelfTest) -> Record:
    """SQNR in dB by output; None where the output is not finite, which JSON cannot say."""
    sqnr_db = {n: round(db, 4) if math.isfinite(db) else None for n, db in selftest.sqnr_db.items()}
    return {"passed": selftest.passed, "sqnr_db": sqnr_db}


def _accuracy(measurement: Measurement) -> Record:
    """`accuracy`, or null and the reason."""
    if measurement.accuracy is None:
        return {"accuracy": None, "accuracy_why": measurement.accuracy_why}
    return {"accuracy": rounded(asdict(measurement.accuracy)), "accuracy_why": None}


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


def _reference(samples_ms: Sequence[float], chunk_s: float, calls_ms: Sequence[float]) -> Record:
    """The reference work of the same run, and how many times its RTF this configuration takes.

    Medians over turns: a disturbance of one turn counts for neither side.
    """
    call_ms = median(turn_means(calls_ms, TURN_CALLS))
    chunk_ms = median(turn_means(samples_ms))
    ratio = (chunk_ms / chunk_s) / (call_ms / reference_work.AUDIO_S)
    return {
        "what": reference_work.WHAT,
        "ms": round(call_ms, 4),
        "gflop_per_s": round(reference_work.FLOP / call_ms / 1e6, 2),
        "rtf_ratio": round(ratio, 4),
    }


def _live(live: Live | None, pace: float) -> Record | None:
    if live is None:
        return None
    return {
        "pace": pace,
        "period_ms": round(1000 * live.period_s, 4),
        "chunks": len(live.latency_ms),
        "deadline_misses": live.deadline_misses,
        "latency_ms": distribution(live.latency_ms),
        "lag_ms": rounded({"max": max(live.lag_ms), "last": live.lag_ms[-1]}),
        "lag_growth_ms_per_s": round(live.lag_growth_ms_per_s, 4),
        "samples_ms": _rounded(live.latency_ms),
    }


def _energy(measurement: Measurement, chunk_s: float) -> Record:
    """`energy`, or null and the reason: all that the sensor covers, while chunks were pushed."""
    energy = measurement.energy
    if energy is None:
        return {"energy": None, "energy_why": measurement.energy_why}
    if not energy.answers:
        why = f"{energy.sensor.name} stopped answering while it was read"
        return {"energy": None, "energy_why": why}
    audio_s = len(measurement.samples_ms) * chunk_s
    values = {
        "sensor": energy.sensor.name,
        "covers": energy.sensor.covers,
        "joules": round(energy.joules, 4),
        "window_s": round(energy.window_s, 4),
        "watts": round(energy.joules / energy.window_s, 4),
        "joules_per_audio_s": round(energy.joules / audio_s, 6),
    }
    return {"energy": values, "energy_why": None}


def _phases(measurement: Measurement) -> dict[str, float]:
    """Mean milliseconds per chunk in each graph's engine, and outside of all engines."""
    n_samples = len(measurement.samples_ms)
    spent = {name: 1000 * measurement.spent_s[name] / n_samples for name in GRAPH_NAMES}
    spent["decoding"] = fmean(measurement.samples_ms) - sum(spent.values())
    return rounded(spent)


def _thermal(conditions: Conditions) -> Record:
    moments = conditions.moments
    named = {"before": moments[0], "after": moments[-1]}
    states: Record = {
        name: {
            "temperature_c": dict(moment.temperature_c),
            "throttling": asdict(moment.throttling) if moment.throttling else None,
        }
        for name, moment in named.items()
    }
    return states | {
        "over_time": [
            {
                "t_s": round(moment.t_s, 2),
                "hottest_c": max(moment.temperature_c.values(), default=None),
                "clock_mhz": moment.clock_mhz,
            }
            for moment in moments
        ]
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


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in values]
