"""One run of `echo-edge bench`: which configurations, in which order, into which records.

Loading and memory first, in a fresh process each; then all configurations offline in rounds; then
each of them live.
"""

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio import SAMPLE_RATE, read_blocks
from echo_edge.bench.accuracy import Accuracy, measure_accuracy
from echo_edge.bench.decisions import compare_tasks
from echo_edge.bench.live import Live
from echo_edge.bench.machine import MachineMonitor
from echo_edge.bench.measure import Contender, checkout, measure_offline, null_contender
from echo_edge.bench.measurement import Measurement, make_record
from echo_edge.bench.probe import probe_afresh
from echo_edge.bench.record import Record
from echo_edge.bench.reference import Reference
from echo_edge.bench.report.table import setup_of
from echo_edge.bench.validity import Conditions
from echo_edge.board.energy import find_sensor
from echo_edge.board.info import read_board
from echo_edge.bundle.find import find_bundle
from echo_edge.bundle.verify import Bundle, open_bundle
from echo_edge.engines import check_engine
from echo_edge.errors import AudioError, UsageError
from echo_edge.selftest import SelfTest, judge, read_selftest, trace
from echo_edge.session import Session, load

Array = NDArray[np.float32]

MAX_AUDIO_S = 60.0


Tested = tuple[SelfTest, dict[str, float | None], tuple[Accuracy | None, str]]


@dataclass(frozen=True)
class Plan:
    """Which configurations to measure, and for how long."""

    bundles: Sequence[Bundle]
    threads: Sequence[int]
    seconds: float
    """At least, per configuration, as fast as it goes."""
    live_s: float = 0.0
    """At a steady pace after that; 0 for not at all."""
    pace: float = 1.0
    """How many times as fast as from a microphone the chunks arrive then."""
    audio: Array | None = None
    """float32 `[samples]` at 16 kHz; None for each bundle's own clip."""

    @property
    def setups(self) -> list[tuple[Bundle, int]]:
        """Every configuration: bundle and thread count."""
        return [(bundle, n) for bundle in self.bundles for n in self.threads]

    @property
    def names(self) -> list[str]:
        """Of all configurations, as reports call them."""
        return [
            setup_of(
                bundle.manifest.recipe,
                bundle.manifest.engine.name,
                bundle.manifest.audio.chunk_samples / SAMPLE_RATE,
                n,
            )
            for bundle, n in self.setups
        ]


def measure(plan: Plan) -> list[Record]:
    """The records of all bundles with all thread counts."""
    setups, probes = plan.setups, []
    for number, setup in enumerate(setups, 1):
        _progress(f"loading: {number} of {len(setups)} configurations")
        probes.append(probe_afresh(*setup))
    sensor, no_sensor = find_sensor()
    with ExitStack() as stack:
        sessions = [stack.enter_context(load(bundle.path, n)) for bundle, n in setups]
        tested = []
        for number, session in enumerate(sessions, 1):
            _progress(f"checking what it hears: {number} of {len(setups)} configurations")
            tested.append(_test(session))
        contenders = [Contender(session, plan.audio, sensor) for session in sessions]
        null = {bundle.sha256: null_contender(bundle, plan.audio) for bundle in plan.bundles}
        monitor = MachineMonitor()
        reference = stack.enter_context(Reference())
        measure_offline(contenders, [*null.values()], reference, monitor, plan.seconds, _progress)
        lives = [_live(contender, plan, monitor) for contender in contenders]
        background = monitor.finish(reference.cpu_s)
    _progress("")
    conditions = Conditions(
        datetime.now(UTC), *checkout(), read_board(), monitor.samples, background
    )
    measurements = [
        Measurement(
            bundle,
            n,
            samples_ms=contender.samples_ms,
            spent_s=contender.spent_s,
            overhead_ms=null[bundle.sha256].samples_ms,
            reference_ms=reference.samples_ms,
            probe=probe,
            selftest=selftest,
            tasks=tasks,
            accuracy=accuracy,
            accuracy_why=no_accuracy,
            live=live,
            pace=plan.pace,
            energy=contender.energy,
            energy_why=no_sensor,
        )
        for (bundle, n), contender, live, probe, (selftest, tasks, (accuracy, no_accuracy)) in zip(
            setups, contenders, lives, probes, tested, strict=True
        )
    ]
    return [make_record(measurement, conditions) for measurement in measurements]


def _test(session: Session) -> Tested:
    """Whether the bundle is still itself here: in numbers, in what it decides, and in how right
    that is."""
    expected = read_selftest(session.bundle)
    measured = trace(session, expected.clip)
    tasks = compare_tasks(expected.arrays, measured)
    return judge(expected, measured), tasks, measure_accuracy(session)


def _live(contender: Contender, plan: Plan, monitor: MachineMonitor) -> Live | None:
    if plan.live_s == 0:
        return None
    _progress(f"live: {plan.live_s:.0f} s at {plan.pace:g} x real time")
    live = contender.listen(plan.live_s, plan.pace)
    monitor.sample()
    return live


def open_bundles(
    folders: Sequence[str], chunks_s: Sequence[float] | None = None
) -> Sequence[Bundle]:
    """The bundles in these folders, or the default one, each once; those with `chunks_s` only.

    UsageError if no bundle has one of these chunks, BundleError and EngineError as from `load`.
    """
    found = [_open(folder) for folder in folders] or [_open(None)]
    bundles = [*{bundle.sha256: bundle for bundle in found}.values()]
    if chunks_s is None:
        return bundles
    had_s = [bundle.manifest.audio.chunk_samples / SAMPLE_RATE for bundle in bundles]
    for wanted_s in chunks_s:
        if not any(math.isclose(wanted_s, each) for each in had_s):
            raise UsageError(
                f"--chunk-s {wanted_s:g}: found bundles with chunks of "
                f"{', '.join(f'{each:g}' for each in sorted(set(had_s)))} s: export one with "
                "`echo-edge export --chunk-steps N` (steps of 0.04 s) and give it with --bundle"
            )
    return [
        bundle
        for bundle, had in zip(bundles, had_s, strict=True)
        if any(math.isclose(had, wanted_s) for wanted_s in chunks_s)
    ]


def _open(folder: str | None) -> Bundle:
    bundle = open_bundle(find_bundle(folder))
    check_engine(bundle.manifest.engine)  # an absent engine is reported before anything runs
    return bundle


def first_minute(path: str) -> Array:
    """Its samples, float32 `[n]` at 16 kHz. AudioError if there are none."""
    blocks: Iterator[Array] = read_blocks(path, MAX_AUDIO_S)
    audio = next(blocks, None)
    if audio is None:
        raise AudioError(f"{path}: holds no samples, expected speech")
    return audio


def _progress(text: str) -> None:
    """One line on a terminal's stderr; nothing clears it."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
