"""Switches off what libraries do by themselves, before they are imported.

onnxruntime 1.29 and later reports to its maker: `import onnxruntime` alone writes a device id and
an event database below ~/.cache, and seconds later looks up events.data.microsoft.com. What every
other library does is in docs/decisions.

`import echo_edge` calls `switch_off`, so it holds for the API, every command, and the processes
that they start, which inherit the environment.
"""

import os
import sys
import warnings

TELEMETRY = "ORT_DISABLE_TELEMETRY"
"""A variable that onnxruntime reads once, while it is imported. disable_telemetry_events() comes
too late: the id is written and the name looked up all the same (tried with 1.32)."""
YES = frozenset({"1", "true", "yes", "on", "y"})
"""Values that onnxruntime takes for a yes, in any case of letters."""
FIRST_REPORTING = (1, 29)
"""The first version of onnxruntime that reports on Linux."""

_came_in_time: bool | None = None
"""Whether the switch was set before onnxruntime was imported; None before the first look."""


def switch_off() -> None:
    """Set the switch in the environment of this process and those it will start. A value of the
    user's that is a yes stays; any other gives way: nothing that echo-edge runs may report.

    RuntimeWarning, once, if onnxruntime was imported without it, by another part of the program.
    """
    global _came_in_time
    is_set = os.environ.get(TELEMETRY, "").strip().lower() in YES
    if not is_set:
        os.environ[TELEMETRY] = "1"
    if _came_in_time is None:
        version = getattr(sys.modules.get("onnxruntime"), "__version__", "0")
        _came_in_time = is_set or not _reports(version)
        if not _came_in_time:
            warnings.warn(
                "onnxruntime was imported before echo_edge and may report to its maker: import "
                f"echo_edge first, or set {TELEMETRY}=1",
                RuntimeWarning,
                stacklevel=3,
            )


def telemetry_is_off() -> bool:
    """Whether onnxruntime was kept from reporting."""
    return _came_in_time is True


def _reports(version: str) -> bool:
    numbers = [int(number) for number in version.split(".")[:2] if number.isdecimal()]
    return tuple(numbers) >= FIRST_REPORTING
