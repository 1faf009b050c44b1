"""When a measurement counts, after the rules of MLPerf's single stream: warm-up excluded, a least
duration and count, repeatable, the promised model, an undisturbed machine. Measures nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from echo_edge.bench.machine import Moment
from echo_edge.bench.measure import TURN_CHUNKS
from echo_edge.board.info import Board

LEAST_SAMPLES = 100
LEAST_MEASURED_S = 10.0
MOST_DRIFT = 0.05
MOST_BACKGROUND = 0.2
"""Of one processor: an idle desktop takes less."""


@dataclass(frozen=True)
class Conditions:
    """What all configurations of a run share."""

    time: datetime
    commit: str | None
    dirty: bool | None
    board: Board
    moments: Sequence[Moment]
    """The first before, the last after everything that was measured."""
    background: float | None
    """Processors' worth of work that others did meanwhile; None where the kernel does not tell."""


def drift(samples_ms: Sequence[float]) -> float:
    """Relative difference of the typical turn in the first and in the second half.

    A chunk takes one of two times, with and without a window of diarization, about as often, so
    the median of chunks may jump between the two; the means of turns have one mode.
    """
    turns = turn_means(samples_ms)
    if len(turns) < 2:
        return 0.0
    first, second = np.median(turns[: len(turns) // 2]), np.median(turns[len(turns) // 2 :])
    return float(abs(second / first - 1))


def turn_means(samples: Sequence[float], turn: int = TURN_CHUNKS) -> list[float]:
    """Mean of each whole turn; of everything, where there is none."""
    n_turns = len(samples) // turn
    if n_turns == 0:
        return [float(np.mean(samples))]
    return [float(mean) for mean in np.reshape(samples[: n_turns * turn], (n_turns, turn)).mean(1)]


def reasons(samples_ms: Sequence[float], passed: bool, conditions: Conditions) -> list[str]:
    """Why a measurement does not count, a line each; empty if it does."""
    return [*_machine_reasons(conditions), *_run_reasons(samples_ms, passed)]


def _run_reasons(samples_ms: Sequence[float], passed: bool) -> Iterator[str]:
    measured_s, change = sum(samples_ms) / 1000, drift(samples_ms)
    if not passed:
        yield "the self-test failed: what was timed is not the promised model"
    if len(samples_ms) < LEAST_SAMPLES:
        yield f"{len(samples_ms)} samples, at least {LEAST_SAMPLES}: raise --seconds"
    if measured_s < LEAST_MEASURED_S:
        yield (
            f"measured for {measured_s:.1f} s, at least {LEAST_MEASURED_S:.0f} s: raise --seconds"
        )
    if change > MOST_DRIFT:
        yield f"not repeatable: the halves differ by {change:.0%}, at most {MOST_DRIFT:.0%}"


def _machine_reasons(conditions: Conditions) -> Iterator[str]:
    board, background = conditions.board, conditions.background
    if board.emulated:
        yield "emulated: instructions are translated, times say nothing about a board"
    if slowed := _slowed(conditions.moments):
        yield f"throttled: {', '.join(slowed)}: cool the board, check its power supply"
    if background is not None and background > MOST_BACKGROUND:
        yield (
            f"background load: others used {background:.2f} processors, at most "
            f"{MOST_BACKGROUND:.2f}: stop the rest"
        )
    if board.governor not in (None, "performance"):
        yield (
            f"CPU governor {board.governor}: set it to performance "
            "(cpupower frequency-set -g performance)"
        )


def _slowed(moments: Sequence[Moment]) -> list[str]:
    """What slowed the board down at any of these moments or began in between."""
    told = [moment.throttling for moment in moments if moment.throttling]
    slowed = {name for throttling in told for name in throttling.now}
    if told:
        first, last = told[0], told[-1]
        slowed |= {*last.ever} - {*first.ever}
        slowed |= {n for n, count in last.events.items() if count > first.events.get(n, count)}
    return sorted(slowed)
