"""When a measurement counts, after the rules of MLPerf's single stream: warm-up excluded, minimum
duration and count, repeatable, the promised model, an undisturbed machine. Measures nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from echo_edge.bench.machine import MachineSample
from echo_edge.bench.measure import ROUND_CHUNKS
from echo_edge.board.info import Board

MIN_SAMPLES = 100
MIN_MEASURED_S = 10.0
MAX_DRIFT = 0.05
MAX_BACKGROUND = 0.2
"""Of one processor: an idle desktop takes less."""


@dataclass(frozen=True)
class Conditions:
    """Facts that all configurations of a run share."""

    time: datetime
    commit: str | None
    dirty: bool | None
    board: Board
    samples: Sequence[MachineSample]
    """The first before, the last after everything that was measured."""
    background: float | None
    """Processors' worth of work that others did meanwhile; None where the kernel does not tell."""


def drift(samples_ms: Sequence[float]) -> float:
    """Relative difference of the typical round in the first and in the second half.

    A chunk takes one of two times, with and without a window of diarization, about as often, so
    the median of chunks may jump between the two; the means of rounds have one mode.
    """
    means = round_means(samples_ms)
    if len(means) < 2:
        return 0.0
    first, second = np.median(means[: len(means) // 2]), np.median(means[len(means) // 2 :])
    return float(abs(second / first - 1))


def round_means(samples: Sequence[float], length: int = ROUND_CHUNKS) -> list[float]:
    """Mean of each whole round; of everything, where there is none."""
    n_rounds = len(samples) // length
    if n_rounds == 0:
        return [float(np.mean(samples))]
    rounds = np.reshape(samples[: n_rounds * length], (n_rounds, length))
    return [float(mean) for mean in rounds.mean(1)]


def reasons(samples_ms: Sequence[float], passed: bool, conditions: Conditions) -> list[str]:
    """Why a measurement does not count, a line each; empty if it does."""
    return [*_machine_reasons(conditions), *_run_reasons(samples_ms, passed)]


def _run_reasons(samples_ms: Sequence[float], passed: bool) -> Iterator[str]:
    measured_s, change = sum(samples_ms) / 1000, drift(samples_ms)
    if not passed:
        yield "the self-test failed: what was timed is not the promised model"
    if len(samples_ms) < MIN_SAMPLES:
        yield f"{len(samples_ms)} samples, at least {MIN_SAMPLES}: raise --seconds"
    if measured_s < MIN_MEASURED_S:
        yield (f"measured for {measured_s:.1f} s, at least {MIN_MEASURED_S:.0f} s: raise --seconds")
    if change > MAX_DRIFT:
        yield f"not repeatable: the halves differ by {change:.0%}, at most {MAX_DRIFT:.0%}"


def _machine_reasons(conditions: Conditions) -> Iterator[str]:
    board, background = conditions.board, conditions.background
    if board.emulated:
        yield "emulated: instructions are translated, times say nothing about a board"
    if causes := _throttled(conditions.samples):
        yield f"throttled: {', '.join(causes)}: cool the board, check its power supply"
    if background is not None and background > MAX_BACKGROUND:
        yield (
            f"background load: others used {background:.2f} processors, at most "
            f"{MAX_BACKGROUND:.2f}: stop the rest"
        )
    if board.governor not in (None, "performance"):
        yield (
            f"CPU governor {board.governor}: set it to performance "
            "(cpupower frequency-set -g performance)"
        )


def _throttled(samples: Sequence[MachineSample]) -> list[str]:
    """Names of what slowed the board down at any of these samples or began in between."""
    known = [each.throttling for each in samples if each.throttling]
    causes = {name for throttling in known for name in throttling.now}
    if known:
        first, last = known[0], known[-1]
        causes |= {*last.ever} - {*first.ever}
        causes |= {n for n, count in last.events.items() if count > first.events.get(n, count)}
    return sorted(causes)
