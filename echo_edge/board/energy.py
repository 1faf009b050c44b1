"""Energy over a window of time, where the board has a sensor for it; else the reason why not.

Reads the processor's own counter (RAPL, x86), the INA3221 monitor of a Jetson, or the power chip
of a Raspberry Pi 5. Knows nothing of what runs inside the window.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from echo_edge.board.heat import ROOT, is_raspberry_pi, vcgencmd
from echo_edge.board.sysfs import ordered, read_int, read_text

AT_THE_PLUG = "measure at the plug"
WHOLE_MODULE = "VDD_IN"
"""The INA3221 channel through which all of a Jetson module's power flows, where there is one."""


@dataclass(frozen=True)
class Sensor:
    """Something that tells energy or power."""

    name: str
    covers: str
    """Which part of the board, in words."""
    read: Callable[[], float | None]
    """Joules since any moment if `every_s` is None, else watts now; None if it does not answer."""
    every_s: float | None
    """How often watts are read: seldom enough not to disturb what is measured."""


def find_sensor(root: Path = ROOT) -> tuple[Sensor | None, str]:
    """The best sensor of this board, or None and the reason, one line."""
    counters = ordered((root / "sys/class/powercap").glob("intel-rapl:?"))
    packages = [zone for zone in counters if read_text(zone / "name").startswith("package")]
    if packages:
        return _rapl(packages)
    channels = _ina3221_channels(root)
    if channels:
        return _ina3221(channels), ""
    if is_raspberry_pi(root):
        if _pmic_watts() is not None:
            covers = "the power chip's outputs: no USB devices, no conversion losses"
            return Sensor("pmic_read_adc", covers, _pmic_watts, every_s=0.5), ""
        return None, f"this Raspberry Pi has no energy sensor that answers: {AT_THE_PLUG}"
    return None, f"found no RAPL counter, INA3221 or Raspberry Pi 5 power chip: {AT_THE_PLUG}"


def _rapl(packages: list[Path]) -> tuple[Sensor | None, str]:
    unreadable = [zone for zone in packages if read_int(zone / "energy_uj") is None]
    if unreadable:
        file = unreadable[0] / "energy_uj"
        return None, f"{file} cannot be read: run as root, or allow reading it"
    names = " + ".join(read_text(zone / "name") for zone in packages)
    return Sensor(f"RAPL {names}", "the processor only", _Counter(packages), every_s=None), ""


class _Counter:
    """Joules since it was made: counters that start again at zero go on."""

    def __init__(self, zones: list[Path]) -> None:
        self._zones = zones
        self._last_uj = [read_int(zone / "energy_uj") or 0 for zone in zones]
        self._range_uj = [read_int(zone / "max_energy_range_uj") or 2**32 for zone in zones]
        self._total_uj = 0

    def __call__(self) -> float | None:
        for index, zone in enumerate(self._zones):
            now_uj = read_int(zone / "energy_uj")
            if now_uj is None:
                return None
            grown_uj = now_uj - self._last_uj[index]
            self._total_uj += grown_uj if grown_uj >= 0 else grown_uj + self._range_uj[index]
            self._last_uj[index] = now_uj
        return self._total_uj / 1e6


def _ina3221_channels(root: Path) -> list[tuple[str, Path, Path]]:
    """Label, millivolts and milliamperes of each connected channel."""
    channels = []
    for monitor in ordered((root / "sys/class/hwmon").glob("hwmon*")):
        if read_text(monitor / "name") != "ina3221":
            continue
        for number in (1, 2, 3):
            files = (monitor / f"in{number}_input", monitor / f"curr{number}_input")
            if label := read_text(monitor / f"in{number}_label"):
                channels.append((label, *files))
    whole = [channel for channel in channels if channel[0] == WHOLE_MODULE]
    return whole or channels


def _ina3221(channels: list[tuple[str, Path, Path]]) -> Sensor:
    def watts() -> float | None:
        milli = [(read_int(volts), read_int(amperes)) for _, volts, amperes in channels]
        if any(value is None for pair in milli for value in pair):
            return None
        return sum((volts or 0) * (amperes or 0) for volts, amperes in milli) / 1e6

    labels = [label for label, _, _ in channels]
    covers = "the whole module" if labels == [WHOLE_MODULE] else "these rails"
    return Sensor(f"INA3221 {' + '.join(labels)}", covers, watts, every_s=0.1)


def _pmic_watts() -> float | None:
    """Volts times amperes over all outputs of a Raspberry Pi 5's power chip."""
    found = re.findall(
        r"(\w+)_([AV]) (?:current|volt)\(\d+\)=([\d.]+)[AV]", vcgencmd("pmic_read_adc")
    )
    values = {(rail, unit): float(value) for rail, unit, value in found}
    rails = [rail for rail, unit in values if unit == "A" and (rail, "V") in values]
    return sum(values[rail, "A"] * values[rail, "V"] for rail in rails) if rails else None


class Energy:
    """Joules and seconds of all windows so far, from one sensor."""

    def __init__(self, sensor: Sensor) -> None:
        self.sensor = sensor
        self.joules = 0.0
        self.window_s = 0.0
        self.answers = True
        """False once the sensor did not answer: then `joules` is too low."""

    @contextmanager
    def window(self) -> Iterator[None]:
        """A context in which energy is counted."""
        every_s, readings, stop = self.sensor.every_s, [self._read()], threading.Event()
        sampler = threading.Thread(target=self._sample, args=(readings, stop, every_s))
        started = time.perf_counter()
        if every_s is not None:
            sampler.start()
        try:
            yield
        finally:
            seconds = time.perf_counter() - started
            stop.set()
            if every_s is not None:
                sampler.join()
        readings.append(self._read())
        if every_s is None:
            self.joules += readings[-1] - readings[0]
        else:
            self.joules += seconds * fmean(readings)
        self.window_s += seconds

    def _sample(self, readings: list[float], stop: threading.Event, every_s: float) -> None:
        while not stop.wait(every_s):
            readings.append(self._read())

    def _read(self) -> float:
        value = self.sensor.read()
        self.answers = self.answers and value is not None
        return value or 0.0
