"""Time that really passed, whatever the clock says: what `--keep-days` counts in.

A board without a battery starts in 1970, one with a bad time server is years ahead for a minute. So
the age of a recording is not the difference of two readings of the clock. `PassedTime` counts

* while a machine is up, by its boot clock, which nobody sets: exact, also over restarts of the
  recorder;
* for each time between two boots by how much the clock is later than it ever was, at most
  `OFF_MAX_S`, and at most `OFF_PER_RUN` times what was counted in the boot before, so that no
  series of restarts with a clock that is wrong can count months in minutes.

It may run late, never early by more than that. The sum, and its value when each recording was last
written to, are in `OUT/.clock.json`; a recording that is not there begins to age when it is seen.
"""

import json
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from echo_edge import files
from echo_edge.errors import JsonError, OutputError
from echo_edge.strict_json import convert, read_json

STATE = ".clock.json"
DAY_S = 86400.0
OFF_MAX_S = DAY_S
OFF_PER_RUN = 24.0
JUMP_S = 5.0
"""A clock that moves this much against the boot clock was set; drift is far less."""
AHEAD_S = DAY_S
"""A recording that began with a clock this far ahead has a name that says nothing."""

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
    """`passed_s` when a recording was last written to."""


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
            max_s = min(OFF_MAX_S, OFF_PER_RUN * before.run_s)
            self._state.off = (before.latest_s, up_s, max_s)
            if utc_s < before.utc_s or utc_s > before.utc_s + 365 * DAY_S:
                self._jump(utc_s - before.utc_s)
        self.advance(utc_s)

    @property
    def passed_s(self) -> float:
        """Seconds that passed, up to the last `advance`."""
        return self._state.passed_s

    def age_s(self, recording: str) -> float:
        """Time that passed since a recording was last written to; 0 for one never seen before."""
        return self.passed_s - self._state.sessions.get(recording, self.passed_s)

    def advance(self, utc_s: float) -> None:
        """Count up to now."""
        state, up_s = self._state, uptime_s()
        gone_s = max(0.0, up_s - state.uptime_s)
        state.passed_s += gone_s
        state.run_s += gone_s
        state.uptime_s, state.utc_s = up_s, utc_s
        if state.off is not None:
            latest_s, first_s, max_s = state.off
            off_s = utc_s - latest_s - (up_s - first_s)
            if off_s > 0.0:
                state.passed_s += min(off_s, max_s)
                state.off = None
        state.behind_s = 0.0 if utc_s >= state.latest_s else state.behind_s + gone_s
        if utc_s >= state.latest_s or state.behind_s > DAY_S:
            state.latest_s, state.behind_s = utc_s, 0.0

    def save(self, recordings: Iterable[str], current: str) -> None:
        """Note which recordings there are and that `current` is written to, for the next recorder.
        Where that cannot be written, recordings are kept longer."""
        known = self._state.sessions
        self._state.sessions = {name: known.get(name, self.passed_s) for name in recordings}
        self._state.sessions[current] = self.passed_s
        with suppress(OutputError):
            files.save(json.dumps(asdict(self._state), indent=1) + "\n", self._path)

    def _jump(self, by_s: float) -> None:
        self.jumped_s = by_s if abs(by_s) >= JUMP_S else 0.0

    def _read(self) -> _State | None:
        """The state of an earlier recorder, if it is whole."""
        try:
            document = read_json(self._path.read_bytes(), STATE)
            state: _State = convert(document, _State, f"{STATE}: ", lenient=True)
        except (OSError, JsonError):
            return None
        return state


class ClockMonitor:
    """Finds that the clock was set while a recording is made."""

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
