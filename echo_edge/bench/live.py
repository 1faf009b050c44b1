"""The scenario *live*: chunks arrive at a steady pace, as from a microphone.

Chunk n has arrived n periods after the start. It must be done before the next one has arrived: that
is its deadline. Its latency runs from its arrival, so waiting for the chunk before counts. Its lag
is how long after its arrival the work on it begins; a lag that grows means that the board does not
keep up. Knows nothing of streams or records.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Live:
    """Times of a paced run, one value per chunk."""

    period_s: float
    latency_ms: list[float]
    """From arrival to result."""
    lag_ms: list[float]
    """From arrival to the beginning of the work."""

    @property
    def deadline_misses(self) -> int:
        """Chunks that were not done when the next one had arrived."""
        return sum(latency > 1000 * self.period_s for latency in self.latency_ms)

    @property
    def lag_growth_ms_per_s(self) -> float:
        """Slope of the lag over time, least squares; 0 where it keeps up."""
        if len(self.lag_ms) < 2:
            return 0.0
        arrivals_s = self.period_s * np.arange(len(self.lag_ms))
        return float(np.polyfit(arrivals_s, self.lag_ms, 1)[0])


def listen(
    push: Callable[[], object],
    period_s: float,
    n_chunks: int,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], object] = time.sleep,
) -> Live:
    """Call `push` for each of `n_chunks` when it has arrived, or later where it is behind."""
    live = Live(period_s, [], [])
    begun = clock()
    for number in range(1, n_chunks + 1):
        arrival = begun + number * period_s
        early_s = arrival - clock()
        if early_s > 0:
            sleep(early_s)
        live.lag_ms.append(1000 * max(0.0, clock() - arrival))
        push()
        live.latency_ms.append(1000 * (clock() - arrival))
    return live
