"""Time that really passed, whatever the clock says: what `--keep-days` counts in.

A board without a battery starts in 1970, one with a bad time server is years ahead for a minute. So
the age of a session is not the difference of two readings of the clock. `PassedTime` counts

* while a machine is up, by its boot clock, which nobody sets: exact, also over restarts of the
  recorder;
* for each time between two boots by how much the clock is later than it ever was, at most
  `OFF_MAX_S`, and at most `OFF_PER_RUN` times what was counted in the boot before, so that no
  series of restarts with a clock that is wrong can count months in minutes.

It may run late, never early by more than that. The sum, and its value when each session was last
recorded to, are in `OUT/.clock.json`; a session that is not in there begins to age when it is seen.
"""

import json
import math
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from echo_edge import files
from echo_edge.errors import OutputError

STATE = ".clock.json"
DAY_S = 86400.0
OFF_MAX_S = DAY_S
OFF_PER_RUN = 24.0
JUMP_S = 5.0
"""A clock that moves this much against the boot clock was set; drift is far less."""
AHEAD_S = DAY_S
"""A session that began with a clock this far ahead has a name that says nothing."""

_UPTIME = Path("/proc/uptime")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def uptime_s() -> float:
    """Seconds since the machine was started, suspension included: nobody can set it."""
    try:
        return float(_UPTIME.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Differs from boot to boot; empty where the kernel does not say."""
    with suppress(OSError):
        return _BOOT_ID.read_text(encoding="ascii").strip()
    return ""


@dataclass
class _State:
    boot_id: str
    uptime_s: float
    utc_s: float
    passed_s: float = 0.0
    run_s: float = 0.0
    """Counted in this boot."""
    latest_s: float = 0.0
    """The latest that the clock ever said, forgotten after a day that was counted without it."""
    behind_s: float = 0.0
    """Counted while the clock was behind that."""
    off: tuple[float, float, float] | None = None
    """`latest_s` of the boot before, uptime when this one was first seen, most to count."""
    sessions: dict[str, float] = field(default_factory=dict)
    """`passed_s` when a session was last recorded to."""


class PassedTime:
    """Counts from what an earlier recorder of the folder `out` left; `utc_s` is the clock."""

    def __init__(self, out: Path, utc_s: float) -> None:
        self._path = out / STATE
        boot, up_s = boot_id(), uptime_s()
        before = self._read()
        self.jumped_s = 0.0
        """How far the clock is from where it should be, if that is known; 0 if it is right."""
        self._state = _State(boot, up_s, utc_s, latest_s=utc_s)
        if before is None:
            return
        self._state.passed_s, self._state.sessions = before.passed_s, before.sessions
        self._state.latest_s, self._state.behind_s = before.latest_s, before.behind_s
        if boot and boot == before.boot_id and up_s >= before.uptime_s:
            self._state.run_s, self._state.off = before.run_s, before.off
            self._state.uptime_s = before.uptime_s
            since_s = up_s - before.uptime_s
            self._jump(utc_s - before.utc_s - since_s)
        elif boot:
            most_s = min(OFF_MAX_S, OFF_PER_RUN * before.run_s)
            self._state.off = (before.latest_s, up_s, most_s)
            if utc_s < before.utc_s or utc_s > before.utc_s + 365 * DAY_S:
                self._jump(utc_s - before.utc_s)
        self.advance(utc_s)

    @property
    def passed_s(self) -> float:
        """Seconds that passed, up to the last `advance`."""
        return self._state.passed_s

    def age_s(self, session: str) -> float:
        """Time that passed since a session was last recorded to; 0 for one never seen before."""
        return self.passed_s - self._state.sessions.get(session, self.passed_s)

    def advance(self, utc_s: float) -> None:
        """Count up to now."""
        state, up_s = self._state, uptime_s()
        gone_s = max(0.0, up_s - state.uptime_s)
        state.passed_s += gone_s
        state.run_s += gone_s
        state.uptime_s, state.utc_s = up_s, utc_s
        if state.off is not None:
            latest_s, first_s, most_s = state.off
            off_s = utc_s - latest_s - (up_s - first_s)
            if off_s > 0.0:
                state.passed_s += min(off_s, most_s)
                state.off = None
        state.behind_s = 0.0 if utc_s >= state.latest_s else state.behind_s + gone_s
        if utc_s >= state.latest_s or state.behind_s > DAY_S:
            state.latest_s, state.behind_s = utc_s, 0.0

    def save(self, sessions: Iterable[str], current: str) -> None:
        """Note which sessions there are and that `current` is recorded to, for the next recorder.
        Where that cannot be written, recordings are kept longer."""
        known = self._state.sessions
        self._state.sessions = {name: known.get(name, self.passed_s) for name in sessions}
        self._state.sessions[current] = self.passed_s
        with suppress(OutputError):
            files.save(json.dumps(asdict(self._state), indent=1) + "\n", self._path)

    def _jump(self, by_s: float) -> None:
        self.jumped_s = by_s if abs(by_s) >= JUMP_S else 0.0

    def _read(self) -> _State | None:
        """What is there, if it is whole."""
        try:
            found = json.loads(self._path.read_bytes())
            names = ("uptime_s", "utc_s", "passed_s", "run_s", "latest_s", "behind_s")
            up_s, utc_s, passed_s, run_s, latest_s, behind_s = (_finite(found[n]) for n in names)
            off = found["off"] and tuple(map(_finite, found["off"]))
            known = {str(name): _finite(at_s) for name, at_s in found["sessions"].items()}
            times = (up_s, utc_s, passed_s, run_s, latest_s, behind_s)
            return _State(str(found["boot_id"]), *times, off, known)
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            return None


def _finite(value: object) -> float:
    """A number that can be counted with; ValueError or TypeError for another."""
    number = float(value)  # type: ignore[arg-type]
    if not math.isfinite(number):
        raise ValueError(value)
    return number


class ClockWatch:
    """Finds that the clock was set while a session is recorded."""

    def __init__(self, utc_s: float) -> None:
        self._offset_s = utc_s - uptime_s()

    def jumped_s(self, utc_s: float) -> float:
        """By how much the clock was set since the last call; 0 if it was not."""
        offset_s = utc_s - uptime_s()
        by_s = offset_s - self._offset_s
        if abs(by_s) < JUMP_S:
            return 0.0
        self._offset_s = offset_s
        return by_s
