"""The machine while something is measured: heat, clocks, what else runs."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from echo_edge.board.heat import Throttling, clock_mhz, thermal, throttled
from echo_edge.board.info import ROOT, load_average
from echo_edge.board.sysfs import read_text

SAMPLE_EVERY_S = 2.0
MAX_SAMPLES = 500


@dataclass(frozen=True)
class MachineSample:
    """The state of the machine at one time."""

    t_s: float
    """Since monitoring began."""
    load: float | None
    """Runnable processes over the last minute."""
    temperature_c: Mapping[str, float]
    clock_mhz: float | None
    throttling: Throttling | None


class MachineMonitor:
    """Samples the machine's state from time to time, and counts the work of other processes."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._begun = time.monotonic()
        self._busy_s, self._own_s = busy_s(root), _own_s()
        self._every_s = SAMPLE_EVERY_S
        self.samples: list[MachineSample] = [self._sample()]

    def sample(self) -> None:
        """Note the machine's state, if the last sample is long ago."""
        if time.monotonic() - self._begun - self.samples[-1].t_s >= self._every_s:
            self._note()

    def finish(self, helpers_s: float = 0.0) -> float | None:
        """Sample once more; the processors' worth of work that others did since the beginning.

        `helpers_s` is the processor time of our own other processes. None where the kernel does not
        tell.
        """
        self._note()
        busy = busy_s(self._root)
        if busy is None or self._busy_s is None:
            return None
        others_s = (busy - self._busy_s) - (_own_s() - self._own_s) - helpers_s
        return max(0.0, others_s) / max(self.samples[-1].t_s, 1e-3)

    def _note(self) -> None:
        self.samples.append(self._sample())
        if len(self.samples) > MAX_SAMPLES:  # half as many, and from now on half as often
            self.samples[1:-1] = self.samples[1:-1:2]
            self._every_s *= 2

    def _sample(self) -> MachineSample:
        load = load_average(self._root)
        return MachineSample(
            time.monotonic() - self._begun,
            load[0] if load else None,
            thermal(self._root),
            clock_mhz(self._root),
            throttled(self._root),
        )


def busy_s(root: Path = ROOT) -> float | None:
    """Seconds that all processors together have worked since boot, for any process; None: unknown.

    What a host took away from a virtual machine counts as work for others.
    """
    line = read_text(root / "proc/stat").partition("\n")[0].split()
    ticks = line[1:]
    if len(ticks) < 8 or line[0] != "cpu" or not all(tick.isdecimal() for tick in ticks):
        return None
    user, nice, system, _idle, _wait, irq, soft_irq, steal = map(int, ticks[:8])
    return (user + nice + system + irq + soft_irq + steal) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
