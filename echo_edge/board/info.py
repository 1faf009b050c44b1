"""The board that a number is measured on: processor, memory, system. Reads /proc and /sys only.

Every function takes the `root` below which it reads, so recorded trees of other boards can be
read too. What a board does not tell is "unknown" or None, never an error. Knows nothing about
engines, bundles or energy.
"""

import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from echo_edge.board.heat import Throttling as Throttling  # as one module to the others
from echo_edge.board.heat import thermal as thermal
from echo_edge.board.heat import throttled as throttled
from echo_edge.board.sysfs import ordered, read_int, read_text
from echo_edge.errors import EchoError

UNKNOWN = "unknown"
ROOT = Path("/")
DEVICE_TREE_MODEL = "proc/device-tree/model"
DMI = "sys/class/dmi/id"

ARM_PARTS = {
    "0xd03": "Cortex-A53",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd41": "Cortex-A78",
    "0xd42": "Cortex-A78AE",
}
"""`CPU part` of /proc/cpuinfo for implementer 0x41 (Arm) to the core's name."""

ISA_NAMES = {
    "neon": "neon",  # 32-bit kernels
    "asimd": "neon",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
    "sve": "sve",
    "avx2": "avx2",
    "avx512f": "avx512f",
    "avx512_vnni": "avx512_vnni",
    "avx_vnni": "avx_vnni",
    "amx_int8": "amx_int8",
}
"""Kernel feature flag to the name in the record: only what changes the speed of int8."""

DMI_PLACEHOLDERS = ("To Be Filled", "System Product Name", "Default string")
"""Product names that a board maker never filled in."""


@dataclass(frozen=True)
class Board:
    """The machine; fields as in the record `echo-edge.bench/1`."""

    model: str
    """Device-tree model, else DMI vendor and product, else the CPU's name."""
    cpu: str
    """Core names, joined by " + " where they differ."""
    isa: tuple[str, ...]
    """Features that matter for int8, values of `ISA_NAMES`."""
    cores: int | None
    """Processors online."""
    governor: str | None
    """CPU frequency governor, joined by " + " where the cores differ."""
    memory_mib: int | None
    os: str
    kernel: str
    emulated: bool
    """Timings say nothing about this board: see `is_emulated`."""
    clock_mhz_max: int | None = None
    """The highest clock of the fastest core under the present limits."""
    power_mode: str | None = None
    """A Jetson's `nvpmodel` mode, such as 15W."""


@dataclass(frozen=True)
class MemoryUse:
    """Memory of this process in MiB."""

    rss_mib: float
    pss_mib: float | None
    """RSS with shared pages divided by their users; None before Linux 4.14."""
    peak_rss_mib: float
    anonymous_mib: float
    """Memory that no file backs: the part the kernel cannot drop without swap."""


def read_board(root: Path = ROOT, machine: str | None = None) -> Board:
    """Facts about the board; `machine` (this process's architecture) is for recorded trees."""
    cpuinfo = _processors(root)
    cpu = _joined(_cpu_name(processor) for processor in cpuinfo) or UNKNOWN
    memory = _fields(read_text(root / "proc/meminfo")).get("MemTotal", "").removesuffix(" kB")
    return Board(
        model=_model(root) or cpu,
        cpu=cpu,
        isa=_isa(cpuinfo),
        cores=len(cpuinfo) or None,
        governor=_governor(root),
        memory_mib=int(memory) // 1024 if memory.isdigit() else None,
        os=_os_name(root),
        kernel=read_text(root / "proc/sys/kernel/osrelease") or UNKNOWN,
        emulated=is_emulated(root, machine or platform.machine()),
        clock_mhz_max=_clock_mhz_max(root),
        power_mode=_power_mode(root),
    )


def is_emulated(root: Path, machine: str) -> bool:
    """Whether instructions are translated, so that no timing counts.

    One machine inside another process: the process is for ARM while /proc/cpuinfo or the kernel
    is x86, or the process is itself called qemu-*. A whole emulated machine: the device tree or
    the DMI product says QEMU, the device tree is the nameless one of QEMU's ARM machine
    ("dummy-virt"), or the processor is QEMU's translator ("TCG"). The hypervisor flag and QEMU
    as the DMI vendor are no signs: a virtual machine runs the processor's own instructions.
    """
    processors = _processors(root)
    if machine.startswith(("aarch64", "arm")):
        kernel_machine = read_text(root / "proc/sys/kernel/arch")
        if kernel_machine.startswith("x86") or any("flags" in cpu for cpu in processors):
            return True
    process = _fields(read_text(root / "proc/self/status")).get("Name", "")
    tree, product = read_text(root / DEVICE_TREE_MODEL), read_text(root / DMI / "product_name")
    return (
        process.startswith("qemu-")
        or "QEMU" in tree + product
        or "dummy-virt" in tree
        or any("QEMU TCG" in _cpu_name(cpu) for cpu in processors)
    )


def memory_mib(root: Path = ROOT) -> MemoryUse:
    """Memory of this process now; the peak is since it started."""
    status = _fields(read_text(root / "proc/self/status"))
    rollup = _fields(read_text(root / "proc/self/smaps_rollup"))

    def mib(fields: dict[str, str], name: str) -> float | None:
        value = fields.get(name, "").removesuffix(" kB")
        return int(value) / 1024 if value.isdigit() else None

    # The kernel counts VmRSS lazily per thread; the roll-up walks the pages and is exact.
    rss = mib(rollup, "Rss") or mib(status, "VmRSS")
    if rss is None:
        raise EchoError(
            f"{root / 'proc/self/status'}: found no VmRSS, expected Linux with /proc: mount /proc"
        )
    return MemoryUse(
        rss_mib=rss,
        pss_mib=mib(rollup, "Pss"),
        peak_rss_mib=max(rss, mib(status, "VmHWM") or 0.0),
        anonymous_mib=mib(rollup, "Anonymous") or mib(status, "RssAnon") or 0.0,
    )


def available_mib(root: Path = ROOT) -> int | None:
    """Memory that a new process can have without swapping, as the kernel estimates it."""
    available = (
        _fields(read_text(root / "proc/meminfo")).get("MemAvailable", "").removesuffix(" kB")
    )
    return int(available) // 1024 if available.isdigit() else None


def load_average(root: Path = ROOT) -> tuple[float, float, float] | None:
    """Runnable processes over the last 1, 5 and 15 minutes."""
    fields = read_text(root / "proc/loadavg").split()
    try:
        return float(fields[0]), float(fields[1]), float(fields[2])
    except (IndexError, ValueError):
        return None


def _fields(text: str) -> dict[str, str]:
    """`name: value` lines; the first of a repeated name wins."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.partition(":")
        if separator:
            fields.setdefault(name.strip(), value.strip())
    return fields


def _processors(root: Path) -> list[dict[str, str]]:
    """One dictionary per processor of /proc/cpuinfo, without the block about the board."""
    blocks = read_text(root / "proc/cpuinfo").split("\n\n")
    return [fields for fields in map(_fields, blocks) if "processor" in fields]


def _cpu_name(processor: dict[str, str]) -> str:
    implementer, part = processor.get("CPU implementer"), processor.get("CPU part")
    if implementer == "0x41" and part in ARM_PARTS:
        return ARM_PARTS[part]
    if implementer and part:
        return f"ARM implementer {implementer} part {part}"
    return processor.get("model name", "")


def _isa(processors: list[dict[str, str]]) -> tuple[str, ...]:
    """Features of all processors: a thread may run on the least of them."""
    flags = [set((cpu.get("Features") or cpu.get("flags", "")).split()) for cpu in processors]
    common = set.intersection(*flags) if flags else set()
    return tuple(dict.fromkeys(name for flag, name in ISA_NAMES.items() if flag in common))


def _model(root: Path) -> str:
    device_tree = read_text(root / DEVICE_TREE_MODEL)
    if device_tree:
        return device_tree
    vendor, product = read_text(root / DMI / "sys_vendor"), read_text(root / DMI / "product_name")
    if product.startswith(DMI_PLACEHOLDERS):
        return ""
    return product if product.startswith(vendor) else f"{vendor} {product}".strip()


def _governor(root: Path) -> str | None:
    policies = (root / "sys/devices/system/cpu/cpufreq").glob("policy*/scaling_governor")
    return _joined(map(read_text, ordered(policies))) or None


def _clock_mhz_max(root: Path) -> int | None:
    policies = (root / "sys/devices/system/cpu/cpufreq").glob("policy*/scaling_max_freq")
    khz = [value for path in policies if (value := read_int(path)) is not None]
    return max(khz) // 1000 if khz else None


def _power_mode(root: Path) -> str | None:
    """The name that `nvpmodel -q` shows, else the number of the mode."""
    status = read_text(root / "var/lib/nvpmodel/status")
    if not (found := re.search(r"pmode:0*(\d+)", status)):
        return None
    number = found[1]
    modes = read_text(root / "etc/nvpmodel.conf")
    name = re.search(rf"^<\s*POWER_MODEL\s+ID=0*{number}\s+NAME=(\S+)\s*>", modes, re.MULTILINE)
    return name[1] if name else f"mode {number}"


def _os_name(root: Path) -> str:
    text = read_text(root / "etc/os-release") or read_text(root / "usr/lib/os-release")
    for line in text.splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.removeprefix("PRETTY_NAME=").strip("\"'")
    return UNKNOWN


def _joined(names: Iterable[str]) -> str:
    """Different names in order of appearance."""
    return " + ".join(dict.fromkeys(name for name in names if name))
