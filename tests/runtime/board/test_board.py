"""The board's facts, read from small recorded trees of /proc and /sys."""

from dataclasses import asdict
from pathlib import Path

import pytest

from echo_edge.board.info import (
    Board,
    Throttling,
    available_mib,
    is_emulated,
    load_average,
    memory_mib,
    read_board,
    thermal,
    throttled,
)
from echo_edge.errors import EchoError

A72_FEATURES = "fp asimd evtstrm crc32 cpuid"
A76_FEATURES = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp lrcpc dcpop asimddp"
LAPTOP_FLAGS = "fpu sse2 avx avx2 bmi2 avx_vnni rdpid"


def write_tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def arm_cpuinfo(parts: list[str], features: str) -> str:
    block = (
        "processor\t: {index}\nBogoMIPS\t: 108.00\nFeatures\t: {features}\n"
        "CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {part}\n"
    )
    blocks = [
        block.format(index=index, features=features, part=part) for index, part in enumerate(parts)
    ]
    return "\n".join((*blocks, "Revision\t: c03114\nSerial\t\t: 1000000000000000\n"))


def x86_cpuinfo(model_name: str, flags: str, cores: int) -> str:
    return "\n".join(
        f"processor\t: {core}\nvendor_id\t: GenuineIntel\nmodel name\t: {model_name}\n"
        f"flags\t\t: {flags}\n"
        for core in range(cores)
    )


@pytest.fixture
def pi4(tmp_path: Path) -> Path:
    files = {
        "proc/cpuinfo": arm_cpuinfo(["0xd08"] * 4, A72_FEATURES),
        "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
        "proc/meminfo": "MemTotal:        3884376 kB\nMemFree:  100 kB\n",
        "proc/sys/kernel/osrelease": "6.6.31+rpt-rpi-v8\n",
        "proc/sys/kernel/arch": "aarch64\n",
        "proc/loadavg": "0.25 0.50 1.00 2/180 4242\n",
        "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
        "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "ondemand\n",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone0/temp": "61836\n",
    }
    return write_tree(tmp_path, files)


def test_pi_4(pi4: Path) -> None:
    assert read_board(pi4, "aarch64") == Board(
        model="Raspberry Pi 4 Model B Rev 1.4",
        cpu="Cortex-A72",
        isa=("neon",),
        cores=4,
        governor="ondemand",
        memory_mib=3793,
        os="Debian GNU/Linux 12 (bookworm)",
        kernel="6.6.31+rpt-rpi-v8",
        emulated=False,
    )
    assert thermal(pi4) == {"cpu-thermal": 61.836}
    assert load_average(pi4) == (0.25, 0.5, 1.0)


def test_pi_4_with_a_weak_power_supply(pi4: Path) -> None:
    assert throttled(pi4) == Throttling(
        now=("under_voltage", "throttled"), ever=("under_voltage", "throttled")
    )


def test_pi_5(tmp_path: Path) -> None:
    firmware = "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled"
    files = {
        "proc/cpuinfo": arm_cpuinfo(["0xd0b"] * 4, A76_FEATURES),
        "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
        firmware: "e0000\n",
    }
    root = write_tree(tmp_path, files)

    board = read_board(root, "aarch64")

    assert (board.cpu, board.isa, board.emulated) == ("Cortex-A76", ("neon", "dotprod"), False)
    assert throttled(root) == Throttling(
        now=(), ever=("frequency_capped", "throttled", "soft_temperature_limit")
    )


def test_jetson_orin_nano(tmp_path: Path) -> None:
    files = {
        "proc/cpuinfo": arm_cpuinfo(["0xd42"] * 6, A76_FEATURES),
        "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "schedutil\n",
        "sys/devices/system/cpu/cpufreq/policy4/scaling_governor": "performance\n",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone0/temp": "48500\n",
        "sys/class/thermal/thermal_zone2/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone2/temp": "47000\n",
        "sys/class/thermal/thermal_zone3/type": "cv0-thermal\n",
        "sys/class/thermal/thermal_zone3/temp": "-256000\n",
        "sys/class/thermal/thermal_zone10/type": "gpu-thermal\n",
    }
    root = write_tree(tmp_path, files)

    board = read_board(root, "aarch64")

    assert (board.model, board.cpu) == ("NVIDIA Jetson Orin Nano Developer Kit", "Cortex-A78AE")
    assert (board.isa, board.cores) == (("neon", "dotprod"), 6)
    assert board.governor == "schedutil + performance"
    assert thermal(root) == {"cpu-thermal": 48.5, "cpu-thermal (thermal_zone2)": 47.0}
    assert throttled(root) is None


def test_laptop(tmp_path: Path) -> None:
    files = {
        "proc/cpuinfo": x86_cpuinfo("12th Gen Intel(R) Core(TM) i7-1260P", LAPTOP_FLAGS, 16),
        "sys/class/dmi/id/sys_vendor": "LENOVO\n",
        "sys/class/dmi/id/product_name": "21CBCTO1WW\n",
        "usr/lib/os-release": "PRETTY_NAME=Void\n",
    }
    board = read_board(write_tree(tmp_path, files), "x86_64")

    assert board.model == "LENOVO 21CBCTO1WW"
    assert board.cpu == "12th Gen Intel(R) Core(TM) i7-1260P"
    assert (board.isa, board.cores, board.os) == (("avx2", "avx_vnni"), 16, "Void")
    assert not board.emulated


def test_big_little_has_the_features_of_its_least_core(tmp_path: Path) -> None:
    text = arm_cpuinfo(["0xd05"], A72_FEATURES) + "\n" + arm_cpuinfo(["0xd0b"], A76_FEATURES)

    board = read_board(write_tree(tmp_path, {"proc/cpuinfo": text}), "aarch64")

    assert (board.cpu, board.isa) == ("Cortex-A55 + Cortex-A76", ("neon",))
    assert board.model == board.cpu


def test_unknown_core_keeps_its_numbers(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"proc/cpuinfo": arm_cpuinfo(["0xfff"], A76_FEATURES)})

    assert read_board(root, "aarch64").cpu == "ARM implementer 0x41 part 0xfff"


def test_unfilled_product_name_falls_back_to_the_cpu(tmp_path: Path) -> None:
    files = {
        "proc/cpuinfo": x86_cpuinfo("Some CPU", "avx2", 1),
        "sys/class/dmi/id/sys_vendor": "To Be Filled By O.E.M.\n",
        "sys/class/dmi/id/product_name": "To Be Filled By O.E.M.\n",
    }

    assert read_board(write_tree(tmp_path, files), "x86_64").model == "Some CPU"


def test_empty_tree(tmp_path: Path) -> None:
    assert asdict(read_board(tmp_path, "aarch64")) == {
        "model": "unknown",
        "cpu": "unknown",
        "isa": (),
        "cores": None,
        "governor": None,
        "memory_mib": None,
        "os": "unknown",
        "kernel": "unknown",
        "emulated": False,
        "clock_mhz_max": None,
        "power_mode": None,
    }
    assert thermal(tmp_path) == {}
    assert throttled(tmp_path) is None
    assert load_average(tmp_path) is None


@pytest.mark.parametrize(
    ("files", "machine", "expected"),
    [
        pytest.param({"proc/cpuinfo": x86_cpuinfo("x", "avx2", 1)}, "aarch64", True, id="cpuinfo"),
        pytest.param({"proc/sys/kernel/arch": "x86_64\n"}, "aarch64", True, id="kernel"),
        pytest.param({"proc/self/status": "Name:\tqemu-aarch64\n"}, "aarch64", True, id="process"),
        pytest.param({"proc/device-tree/model": "linux,dummy-virt\0"}, "aarch64", True, id="virt"),
        pytest.param(
            {"sys/class/dmi/id/product_name": "QEMU Virtual Machine\n"}, "aarch64", True, id="dmi"
        ),
        pytest.param(
            {"proc/cpuinfo": x86_cpuinfo("QEMU TCG CPU version 2.5+", "avx2", 1)},
            "x86_64",
            True,
            id="translator",
        ),
        pytest.param(
            {"proc/cpuinfo": x86_cpuinfo("AMD EPYC", "avx2 hypervisor", 1)},
            "x86_64",
            False,
            id="hypervisor",
        ),
        pytest.param(
            {
                "sys/class/dmi/id/sys_vendor": "QEMU\n",
                "sys/class/dmi/id/product_name": "Standard\n",
            },
            "x86_64",
            False,
            id="virtual-machine",
        ),
        pytest.param({"proc/sys/kernel/arch": "aarch64\n"}, "armv7l", False, id="32-bit-on-64"),
    ],
)
def test_emulation(tmp_path: Path, files: dict[str, str], machine: str, expected: bool) -> None:
    assert is_emulated(write_tree(tmp_path, files), machine) is expected


def test_memory_prefers_the_exact_roll_up(tmp_path: Path) -> None:
    files = {
        "proc/self/status": "VmHWM:\t   40960 kB\nVmRSS:\t   30000 kB\nRssAnon:\t 1000 kB\n",
        "proc/self/smaps_rollup": "Rss:  30720 kB\nPss:  20480 kB\nAnonymous:  10240 kB\n",
    }
    use = memory_mib(write_tree(tmp_path, files))

    assert (use.rss_mib, use.pss_mib, use.peak_rss_mib, use.anonymous_mib) == (30, 20, 40, 10)


def test_memory_without_roll_up(tmp_path: Path) -> None:
    status = "VmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\nRssAnon:\t 512 kB\n"
    use = memory_mib(write_tree(tmp_path, {"proc/self/status": status}))

    assert (use.rss_mib, use.pss_mib, use.peak_rss_mib, use.anonymous_mib) == (1, None, 2, 0.5)


def test_memory_without_proc_says_so(tmp_path: Path) -> None:
    with pytest.raises(EchoError, match="found no VmRSS"):
        memory_mib(tmp_path)


def test_this_machine() -> None:
    board = read_board()
    use = memory_mib()

    assert board.cores is not None
    assert 0 < use.anonymous_mib <= use.rss_mib <= use.peak_rss_mib


def test_available_memory(tmp_path: Path) -> None:
    assert available_mib(tmp_path) is None
    meminfo = "MemTotal:        4000000 kB\nMemAvailable:    2048000 kB\n"
    assert available_mib(write_tree(tmp_path, {"proc/meminfo": meminfo})) == 2000
