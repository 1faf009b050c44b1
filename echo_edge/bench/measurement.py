"""From what was measured to its record: rounded figures, whether it counts and why not.

Measures nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean, median

from echo_edge.bench import reference as reference_work
from echo_edge.bench.accuracy import Accuracy
from echo_edge.bench.live import Live
from echo_edge.bench.machine import MachineSample
from echo_edge.bench.measure import ROUND_CALLS
from echo_edge.bench.probe import Probe
from echo_edge.bench.record import (
    SCHEMA,
    AccuracyFacts,
    BundleFacts,
    EnergyFacts,
    Lag,
    LiveRun,
    LoadTimes,
    MachineState,
    Overhead,
    Percentiles,
    Phases,
    Record,
    ReferenceWork,
    ResidentMemory,
    SelfTestFacts,
    Thermal,
    ThermalSample,
)
from echo_edge.bench.validity import Conditions, reasons, round_means
from echo_edge.board.energy import Energy
from echo_edge.bundle.manifest import GRAPH_NAMES, SECOND_PASS_GRAPHS
from echo_edge.bundle.verify import Bundle
from echo_edge.engines import engine_version
from echo_edge.selftest import SelfTest


@dataclass(frozen=True)
class Measurement:
    """Everything measured of one configuration."""

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
    probe: Probe
    selftest: SelfTest
    tasks: Mapping[str, float | None] = field(default_factory=dict)
    """Decisions on the self-test's clip that differ from float's."""
    accuracy: Accuracy | None = None
    """Of the bundle's labelled recording."""
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
    """The record of one configuration."""
    samples_ms, manifest = measurement.samples_ms, measurement.bundle.manifest
    chunk_s = manifest.audio.chunk_samples / manifest.audio.sample_rate
    selftest, probe, samples = measurement.selftest, measurement.probe, conditions.samples
    why = reasons(samples_ms, selftest.passed, conditions)
    energy, energy_why = _energy(measurement, chunk_s)
    return Record(
        schema=SCHEMA,
        commit=conditions.commit,
        dirty=conditions.dirty,
        time=conditions.time.isoformat(timespec="seconds"),
        board=conditions.board,
        bundle=_bundle(measurement.bundle),
        threads=measurement.threads,
        chunk_s=chunk_s,
        rtf=round(fmean(samples_ms) / 1000 / chunk_s, 6),
        latency_ms=distribution(samples_ms),
        samples_ms=_rounded(samples_ms),
        reference=_reference(samples_ms, chunk_s, measurement.reference_ms),
        live=_live(measurement.live, measurement.pace),
        phases_ms=_phases(measurement),
        load_ms=LoadTimes(**rounded(asdict(probe.load_ms))),
        first_result_ms=round(probe.first_result_ms, 4),
        rss_mib=ResidentMemory(**rounded(asdict(probe.rss_mib))),
        pss_mib=probe.pss_mib,
        anonymous_mib=probe.anonymous_mib,
        rss_mib_over_time=_rounded(probe.rss_mib_over_time),
        overhead_ms=_overhead(measurement.overhead_ms),
        selftest=_selftest(selftest),
        tasks={n: v if v is None else round(v, 4) for n, v in measurement.tasks.items()},
        accuracy=_accuracy(measurement.accuracy),
        accuracy_why=None if measurement.accuracy else measurement.accuracy_why,
        thermal=_thermal(samples),
        load_average=(samples[0].load, samples[-1].load),
        background_processors=conditions.background and round(conditions.background, 4),
        energy=energy,
        energy_why=energy_why,
        valid=not why,
        why=tuple(why),
    )


def _selftest(selftest: SelfTest) -> SelfTestFacts:
    """SQNR in dB by output; None where the output is not finite, which JSON cannot say."""
    sqnr_db = {n: round(db, 4) if math.isfinite(db) else None for n, db in selftest.sqnr_db.items()}
    return SelfTestFacts(selftest.passed, sqnr_db)


def _accuracy(accuracy: Accuracy | None) -> AccuracyFacts | None:
    if accuracy is None:
        return None
    return AccuracyFacts(
        der_percent=round(accuracy.der_percent, 4),
        wer_percent=round(accuracy.wer_percent, 4),
        speakers=accuracy.speakers,
        true_speakers=accuracy.true_speakers,
        words=accuracy.words,
        audio_s=round(accuracy.audio_s, 4),
    )


def _bundle(bundle: Bundle) -> BundleFacts:
    manifest = bundle.manifest
    return BundleFacts(
        name=manifest.name,
        version=manifest.version,
        engine=manifest.engine.name,
        engine_version=engine_version(manifest.engine.name),
        recipe=manifest.recipe,
        sha256=bundle.sha256,
        size_mib=round(bundle.size_bytes / 2**20, 3),
    )


def _reference(
    samples_ms: Sequence[float], chunk_s: float, calls_ms: Sequence[float]
) -> ReferenceWork:
    """The reference work of the same run, and how many times its RTF this configuration takes.

    Medians over rounds: a disturbance of one round counts for neither side.
    """
    call_ms = median(round_means(calls_ms, ROUND_CALLS))
    chunk_ms = median(round_means(samples_ms))
    ratio = (chunk_ms / chunk_s) / (call_ms / reference_work.AUDIO_S)
    return ReferenceWork(
        what=reference_work.WHAT,
        ms=round(call_ms, 4),
        gflop_per_s=round(reference_work.FLOP / call_ms / 1e6, 2),
        rtf_ratio=round(ratio, 4),
    )


def _live(live: Live | None, pace: float) -> LiveRun | None:
    if live is None:
        return None
    return LiveRun(
        pace=pace,
        period_ms=round(1000 * live.period_s, 4),
        chunks=len(live.latency_ms),
        deadline_misses=live.deadline_misses,
        latency_ms=distribution(live.latency_ms),
        lag_ms=Lag(**rounded({"max": max(live.lag_ms), "last": live.lag_ms[-1]})),
        lag_growth_ms_per_s=round(live.lag_growth_ms_per_s, 4),
        samples_ms=_rounded(live.latency_ms),
    )


def _energy(measurement: Measurement, chunk_s: float) -> tuple[EnergyFacts | None, str | None]:
    """The energy, or None and the reason: all that the sensor covers, while chunks were pushed."""
    energy = measurement.energy
    if energy is None:
        return None, measurement.energy_why
    if not energy.answers:
        return None, f"{energy.sensor.name} stopped answering while it was read"
    audio_s = len(measurement.samples_ms) * chunk_s
    facts = EnergyFacts(
        sensor=energy.sensor.name,
        covers=energy.sensor.covers,
        joules=round(energy.joules, 4),
        window_s=round(energy.window_s, 4),
        watts=round(energy.joules / energy.window_s, 4),
        joules_per_audio_s=round(energy.joules / audio_s, 6),
    )
    return facts, None


def _phases(measurement: Measurement) -> Phases:
    """Mean milliseconds per chunk in each graph's engine, and outside of all engines."""
    n_samples = len(measurement.samples_ms)
    mean_ms = {name: 1000 * spent_s / n_samples for name, spent_s in measurement.spent_s.items()}
    spent = {name: mean_ms[name] for name in GRAPH_NAMES}
    spent["second_pass"] = sum(mean_ms.get(name, 0.0) for name in SECOND_PASS_GRAPHS)
    spent["decoding"] = fmean(measurement.samples_ms) - sum(spent.values())
    return Phases(**rounded(spent))


def _thermal(samples: Sequence[MachineSample]) -> Thermal:
    before, after = (
        MachineState(dict(each.temperature_c), each.throttling)
        for each in (samples[0], samples[-1])
    )
    over_time = (
        ThermalSample(
            round(each.t_s, 2), max(each.temperature_c.values(), default=None), each.clock_mhz
        )
        for each in samples
    )
    return Thermal(before, after, tuple(over_time))


def percentile(samples: Sequence[float], percent: float) -> float:
    """Nearest rank: the least sample that at least `percent` % of all do not exceed."""
    return sorted(samples)[max(1, math.ceil(percent / 100 * len(samples))) - 1]


def distribution(samples_ms: Sequence[float]) -> Percentiles:
    """Percentiles of raw samples in milliseconds."""
    named = {f"p{percent}": percentile(samples_ms, percent) for percent in (50, 90, 95, 99)}
    return Percentiles(**rounded(named | {"max": max(samples_ms)}))


def _overhead(samples_ms: Sequence[float]) -> Overhead:
    mean = round(fmean(samples_ms), 4)
    return Overhead(mean=mean, **asdict(distribution(samples_ms)))


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """To four decimals: in milliseconds a tenth of a microsecond, finer than any clock here."""
    return {name: round(value, 4) for name, value in values.items()}


def _rounded(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(round(value, 4) for value in values)
