"""How hot a board is, how fast it clocks, and what slows it down. Knows nothing of measurements.

Every function takes the `root` below which it reads, so recorded trees of other boards can be read
too. What a board does not tell is None or absent, never an error.
"""

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from echo_edge.board.sysfs import ordered, read_int, read_text

ROOT = Path("/")
THROTTLE_BITS = ("under_voltage", "frequency_capped", "throttled", "soft_temperature_limit")
"""Bits 0 to 3 of the Raspberry Pi's word; bits 16 to 19 are the same, "has happened"."""

SLOWING_DEVICES = ("thermal-cpufreq", "cpufreq-cpu", "cpu-throttle", "Processor")
"""How the types of cooling devices begin that cool by slowing the processor down; fans do not."""

CPU_SENSORS = ("coretemp", "k10temp")
"""Drivers whose first temperature is the processor's and that are no thermal zone."""

VCGENCMD_LIMIT_S = 5.0


@dataclass(frozen=True)
class Throttling:
    """Causes that slow a board down."""

    now: tuple[str, ...]
    """Of `THROTTLE_BITS` on a Raspberry Pi, else types of cooling devices at work."""
    ever: tuple[str, ...] = ()
    """The same since boot, or since the firmware's word was last cleared; Raspberry Pi only."""
    events: Mapping[str, int] = field(default_factory=dict)
    """Counters since boot of a processor that slowed itself down (x86, Jetson)."""


def thermal(root: Path = ROOT) -> dict[str, float]:
    """Temperature in degrees Celsius of each zone that answers; a repeated name gets its zone."""
    temperatures: dict[str, float] = {}
    for place, file, name in _thermometers(root):
        millidegrees = read_int(place / file)
        # A zone that is switched off refuses to be read, or says -256 degrees.
        if millidegrees is None or millidegrees <= -100_000:
            continue
        unique = f"{name} ({place.name})" if name in temperatures else name
        temperatures[unique] = millidegrees / 1000
    return temperatures


def _thermometers(root: Path) -> Iterator[tuple[Path, str, str]]:
    """Folder, file and name of each thermometer."""
    for zone in ordered((root / "sys/class/thermal").glob("thermal_zone*")):
        yield zone, "temp", read_text(zone / "type") or zone.name
    for sensor in ordered((root / "sys/class/hwmon").glob("hwmon*")):
        if (name := read_text(sensor / "name")) in CPU_SENSORS:
            yield sensor, "temp1_input", name


def throttled(root: Path = ROOT) -> Throttling | None:
    """Causes that slow the board down now, and did since boot; None where it does not tell."""
    word = _firmware_word(root)
    slowing = _slowing_devices(root)
    events = dict(_event_counters(root))
    if word is None and slowing is None and not events:
        return None
    now = (*_bits(word or 0), *(slowing or ()))
    return Throttling(now, _bits((word or 0) >> 16), events)


def clock_mhz(root: Path = ROOT) -> float | None:
    """The fastest core's clock now; None where the kernel does not tell."""
    policies = (root / "sys/devices/system/cpu/cpufreq").glob("policy*/scaling_cur_freq")
    khz = [value for path in policies if (value := read_int(path)) is not None]
    return max(khz) / 1000 if khz else None


def vcgencmd(*arguments: str) -> str:
    """The answer of the Raspberry Pi's firmware tool; empty where it is absent or refuses."""
    try:
        done = subprocess.run(
            ("vcgencmd", *arguments),
            capture_output=True,
            text=True,
            check=True,
            timeout=VCGENCMD_LIMIT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def is_raspberry_pi(root: Path = ROOT) -> bool:
    """Whether the device tree says so."""
    return read_text(root / "proc/device-tree/model").startswith("Raspberry Pi")


def _firmware_word(root: Path) -> int | None:
    """The Raspberry Pi firmware's own word on throttling."""
    # "soc" up to the Pi 4, "soc@107c000000" on the Pi 5; only the tool where the kernel is mainline
    texts = [
        read_text(path)
        for path in (root / "sys/devices/platform").glob("soc*/soc*:firmware/get_throttled")
    ]
    if not texts and is_raspberry_pi(root):
        texts = [vcgencmd("get_throttled").strip().removeprefix("throttled=")]
    for text in texts:
        try:
            return int(text, 16)
        except ValueError:
            continue
    return None


def _slowing_devices(root: Path) -> tuple[str, ...] | None:
    """Types of the cooling devices that slow the processor now; None where there are none."""
    found, active = False, []
    for device in ordered((root / "sys/class/thermal").glob("cooling_device*")):
        kind, state = read_text(device / "type"), read_int(device / "cur_state")
        if kind.startswith(SLOWING_DEVICES) and state is not None:
            found = True
            active += [kind] if state > 0 else []
    return tuple(dict.fromkeys(active)) if found else None


def _event_counters(root: Path) -> Iterator[tuple[str, int]]:
    """Name and count of what each processor counts; the package's count repeats per core."""
    cpus = root / "sys/devices/system/cpu"
    for name in ("core_throttle_count", "package_throttle_count"):
        counts = [read_int(path) for path in cpus.glob(f"cpu[0-9]*/thermal_throttle/{name}")]
        if known := [count for count in counts if count is not None]:
            yield name, max(known)
    for path in ordered((root / "sys/class/hwmon").glob("hwmon*/oc*_event_cnt")):  # Jetson
        if (count := read_int(path)) is not None:
            yield path.name, count


def _bits(word: int) -> tuple[str, ...]:
    return tuple(name for bit, name in enumerate(THROTTLE_BITS) if word >> bit & 1)
