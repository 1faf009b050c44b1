"""Heat, clocks, throttling and energy of four boards, read from trees in the kernel's formats."""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from echo_edge.board.energy import Energy, Sensor, find_sensor
from echo_edge.board.heat import Throttling, clock_mhz, thermal, throttled
from echo_edge.board.info import read_board

BOARDS = Path(__file__).parents[2] / "fixtures/boards"
Unpack = Callable[[str], Path]


@pytest.fixture
def unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Unpack:
    """The board's tree, and its `vcgencmd` on the path; a board without has none."""

    def write(name: str) -> Path:
        root = tmp_path / name
        text = (BOARDS / f"{name}.txtar").read_text(encoding="utf-8")
        _about, *pieces = re.split(r"^-- (\S+) --\n", text, flags=re.MULTILINE)
        for path, content in zip(pieces[::2], pieces[1::2], strict=True):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(content)
        tool = tmp_path / "bin/vcgencmd"
        tool.parent.mkdir()
        tool.write_text(f'#!/bin/sh\nexec cat "{root}/vcgencmd/$1"\n')
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
        return root

    return write


def test_raspberry_pi_4(unpack: Unpack) -> None:
    root = unpack("raspberry_pi_4")
    board = read_board(root, "aarch64")
    assert (board.model, board.cpu) == ("Raspberry Pi 4 Model B Rev 1.4", "Cortex-A72")
    assert (board.isa, board.cores, board.memory_mib) == (("neon",), 4, 3793)
    assert (board.governor, board.clock_mhz_max, board.power_mode) == ("ondemand", 1800, None)
    assert clock_mhz(root) == 1500
    assert thermal(root) == {"cpu-thermal": 61.836}
    both = ("under_voltage", "throttled")
    assert throttled(root) == Throttling(both, both)
    sensor, why = find_sensor(root)
    assert sensor is None
    assert why == "this Raspberry Pi has no energy sensor that answers: measure at the plug"


def test_raspberry_pi_5(unpack: Unpack) -> None:
    root = unpack("raspberry_pi_5")
    board = read_board(root, "aarch64")
    assert (board.cpu, board.isa, board.emulated) == ("Cortex-A76", ("neon", "dotprod"), False)
    assert (board.governor, board.clock_mhz_max) == ("performance", 2400)
    # the fan is at work, which slows nothing down
    ever = ("frequency_capped", "throttled", "soft_temperature_limit")
    assert throttled(root) == Throttling((), ever)
    sensor, why = find_sensor(root)
    assert sensor is not None
    assert (sensor.name, why) == ("pmic_read_adc", "")
    assert sensor.read() == pytest.approx(0.1 * 3.7 + 2.0 * 0.9)  # EXT5V and BATT have no current


def test_raspberry_pi_with_a_mainline_kernel_asks_the_tool(unpack: Unpack) -> None:
    root = unpack("raspberry_pi_5")
    word = root / "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled"
    word.unlink()
    assert throttled(root) is None
    (root / "vcgencmd/get_throttled").write_text("throttled=0x50004\n")
    assert throttled(root) == Throttling(("throttled",), ("under_voltage", "throttled"))


def test_jetson_orin_nano(unpack: Unpack) -> None:
    root = unpack("jetson_orin_nano")
    board = read_board(root, "aarch64")
    assert (board.model, board.cpu) == ("NVIDIA Jetson Orin Nano Developer Kit", "Cortex-A78AE")
    assert (board.cores, board.governor) == (6, "schedutil + performance")
    assert (board.clock_mhz_max, board.power_mode) == (1510, "15W")
    assert clock_mhz(root) == 1510.4
    assert thermal(root) == {"cpu-thermal": 48.5, "gpu-thermal": 47.125, "tj-thermal": 48.5}
    events = {"oc1_event_cnt": 1, "oc2_event_cnt": 0}
    assert throttled(root) == Throttling(("cpufreq-cpu0",), (), events)
    sensor, _ = find_sensor(root)
    assert sensor is not None
    assert (sensor.name, sensor.covers) == ("INA3221 VDD_IN", "the whole module")
    assert sensor.read() == pytest.approx(5.008 * 1.2)


def test_jetson_without_a_name_for_its_mode(unpack: Unpack) -> None:
    root = unpack("jetson_orin_nano")
    (root / "var/lib/nvpmodel/status").write_text("pmode:0002")
    assert read_board(root, "aarch64").power_mode == "mode 2"


def test_jetson_without_a_channel_for_all_adds_up_the_rails(unpack: Unpack) -> None:
    root = unpack("jetson_orin_nano")
    (root / "sys/class/hwmon/hwmon1/in1_label").unlink()
    sensor, _ = find_sensor(root)
    assert sensor is not None
    assert (sensor.name, sensor.covers) == ("INA3221 VDD_CPU_GPU_CV + VDD_SOC", "these rails")
    assert sensor.read() == pytest.approx(5.0 * 0.32 + 5.0 * 0.28)


def test_laptop(unpack: Unpack) -> None:
    root = unpack("laptop")
    board = read_board(root, "x86_64")
    assert (board.model, board.isa) == ("LENOVO 21CBCTO1WW", ("avx2", "avx_vnni"))
    assert (board.governor, board.clock_mhz_max) == ("powersave", 4700)
    assert clock_mhz(root) == 3900
    assert thermal(root) == {"acpitz": 27.8, "x86_pkg_temp": 71.0, "coretemp": 71.0}
    events = {"core_throttle_count": 3, "package_throttle_count": 17}
    assert throttled(root) == Throttling((), (), events)


def test_energy_counter_goes_on_when_it_starts_again(unpack: Unpack) -> None:
    root = unpack("laptop")
    sensor, _ = find_sensor(root)
    assert sensor is not None
    assert (sensor.name, sensor.every_s) == ("RAPL package-0", None)
    energy, counter = Energy(sensor), root / "sys/class/powercap/intel-rapl:0/energy_uj"
    with energy.window():
        counter.write_text("1671150\n")  # 0.32885 J to the end of its range, then this
    counter.write_text("99000000\n")  # outside of any window
    with energy.window():
        counter.write_text("100000000\n")
    assert energy.joules == pytest.approx(0.32885 + 1.67115 + 1.0)
    assert energy.window_s > 0
    assert energy.answers


def test_energy_counter_for_root_only(unpack: Unpack) -> None:
    root = unpack("laptop")
    counter = root / "sys/class/powercap/intel-rapl:0/energy_uj"
    counter.unlink()  # as it is for others than root: it cannot be read
    sensor, why = find_sensor(root)
    assert sensor is None
    assert why == f"{counter} cannot be read: run as root, or allow reading it"


def test_energy_from_power_is_mean_times_time() -> None:
    values = iter([2.0, *[4.0] * 1000])
    energy = Energy(Sensor("meter", "all", lambda: next(values), every_s=0.01))
    with energy.window():
        time.sleep(0.1)
    assert 0.1 <= energy.window_s < 1.0
    assert 2.0 < energy.joules / energy.window_s < 4.0


def test_a_sensor_that_stops_answering_is_noticed(unpack: Unpack) -> None:
    root = unpack("jetson_orin_nano")
    sensor, _ = find_sensor(root)
    assert sensor is not None
    energy = Energy(sensor)
    with energy.window():
        pass
    assert energy.answers
    (root / "sys/class/hwmon/hwmon1/curr1_input").write_text("")
    with energy.window():
        pass
    assert not energy.answers


def test_a_failing_window_stops_its_thread() -> None:
    energy = Energy(Sensor("meter", "all", lambda: 1.0, every_s=0.001))
    with pytest.raises(KeyError), energy.window():
        raise KeyError
    assert energy.joules == 0.0


def test_nothing_there(tmp_path: Path) -> None:
    assert clock_mhz(tmp_path) is None
    sensor, why = find_sensor(tmp_path)
    assert sensor is None
    assert why.startswith("found no RAPL counter, INA3221 or Raspberry Pi 5 power chip")


@pytest.mark.parametrize("text", ["", "x", "1_000", "1.5", "٣", "-"])
def test_numbers_that_are_none(unpack: Unpack, text: str) -> None:
    root = unpack("jetson_orin_nano")
    (root / "sys/class/thermal/thermal_zone0/temp").write_text(text)
    assert "cpu-thermal" not in thermal(root)
