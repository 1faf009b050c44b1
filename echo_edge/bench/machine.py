"""What the machine was like while something was measured: heat, clocks, what else was running."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from echo_edge.board.heat import Throttling, clock_mhz, thermal, throttled
from echo_edge.board.info import ROOT, load_average
from echo_edge.board.sysfs import read_text

LOOK_EVERY_S = 2.0
MOST_LOOKS = 500


@dataclass(frozen=True)
class Moment:
    """What the machine was like at one time."""

    t_s: float
    """Since the watch began."""
    load: float | None
    """Runnable processes over the last minute."""
    temperature_c: Mapping[str, float]
    clock_mhz: float | None
    throttling: Throttling | None


class Watch:
    """Looks at the machine from time to time, and counts who else used its processors."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._begun = time.monotonic()
        self._busy_s, self._own_s = busy_s(root), _own_s()
        self._every_s = LOOK_EVERY_S
        self.moments: list[Moment] = [self._moment()]

    def look(self) -> None:
        """Note the machine's state, if the last look is long ago."""
        if time.monotonic() - self._begun - self.moments[-1].t_s >= self._every_s:
            self._note()

    def finish(self, helpers_s: float = 0.0) -> float | None:
        """Look once more; the processors' worth of work that others did since the beginning.

        `helpers_s` is the processor time of our own other processes. None where the kernel does not
        tell.
        """
        self._note()
        busy = busy_s(self._root)
        if busy is None or self._busy_s is None:
            return None
        others_s = (busy - self._busy_s) - (_own_s() - self._own_s) - helpers_s
        return max(0.0, others_s) / max(self.moments[-1].t_s, 1e-3)

    def _note(self) -> None:
        self.moments.append(self._moment())
        if len(self.moments) > MOST_LOOKS:  # half as many, and from now on half as often
            self.moments[1:-1] = self.moments[1:-1:2]
            self._every_s *= 2

    def _moment(self) -> Moment:
        load = load_average(self._root)
        return Moment(
            time.monotonic() - self._begun,
            load[0] if load else None,
            thermal(self._root),
            clock_mhz(self._root),
            throttled(self._root),
        )


def busy_s(root: Path = ROOT) -> float | None:
    """Seconds that all processors together have worked since boot, for whomever; None if untold.

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
