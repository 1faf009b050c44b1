"""A small Debian for arm64 with Python and one engine, and how a program runs in it on an emulated
processor. Made once; knows nothing of bundles.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from echo_edge.engines import engine_version
from echo_edge.engines.executorch_library import PARTS, WHEEL
from echo_edge.errors import EchoError

CHECKOUT = Path(__file__).parents[2]
BUILD_EXECUTORCH = CHECKOUT / "packages/echo_edge_executorch/build.py"
COUNTER = Path(__file__).with_name("count_instructions.c")
QEMU, QEMU_STATIC = "qemu-aarch64", "qemu-aarch64-static"
"""The first takes plug-ins, so it can count; the second is enough without counts."""
QEMU_VERSIONS = range(5, 9)
"""Those with version 1 of the interface to plug-ins; Debian 12 has 7.2."""
APT = "apt-get install qemu-user mmdebstrap gcc"
GUEST_LIMIT_S = 1200

CPUS = {
    "cortex-a53": ("0xd03", "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"),
    "cortex-a72": ("0xd08", "fp asimd evtstrm crc32 cpuid"),
    "cortex-a76": ("0xd0b", "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp "
                            "cpuid asimdrdm lrcpc dcpop asimddp"),
}  # fmt: skip
"""qemu's processor to its part number and features: Pi 3, Pi 4, Pi 5 (with dot product)."""
CORES = 4

LIBRARIES = {"onnx": "onnxruntime", "tflite": "ai-edge-litert", "executorch": "executorch"}
"""Engine to its package: more than that and numpy no engine imports."""
EXECUTORCH_FILES = ("executorch/version.py", *(f"executorch/lib/lib{part}.so" for part in PARTS))
"""What of the package a graph needs; the rest is tools for workstations, four times as large."""


def prepare(work: Path, engine: str) -> list[Path]:
    """The Debian in `work/root`, made if need be; the folders to put on Python's path."""
    version = engine_version(engine).partition("+")[0]
    numpy = work / f"numpy-{np.__version__}"
    library = work / f"{engine}-{version}"
    _once(work / "root", _debian)
    _once(numpy, lambda folder: _install(folder, f"numpy=={np.__version__}"))
    package = f"{LIBRARIES[engine]}=={version}"
    install = _install_executorch if engine == "executorch" else _install
    _once(library, lambda folder: install(folder, package))
    return [numpy, library]


def _once(folder: Path, make: Callable[[Path], None]) -> None:
    if (folder / ".complete").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted run left
    folder.mkdir(parents=True)
    make(folder)
    (folder / ".complete").touch()


def _debian(root: Path) -> None:
    packages = "python3,libstdc++6,libgomp1"
    _command(
        *("mmdebstrap", "--quiet", "--variant=extract", "--architectures=arm64"),
        *(f"--include={packages}", "bookworm", str(root), *_mirror()),
    )
    # Libraries ask here how many processors there are.
    processors = root / "sys/devices/system/cpu"
    processors.mkdir(parents=True, exist_ok=True)
    for name in ("possible", "present"):
        (processors / name).write_text(f"0-{CORES - 1}\n")
    (root / "proc").mkdir(exist_ok=True)


def _mirror() -> list[str]:
    """This Debian's source of packages; mmdebstrap's own default elsewhere."""
    sources = Path("/etc/apt/sources.list.d/debian.sources")
    lines = sources.read_text().splitlines() if sources.exists() else []
    return [line.split()[1] for line in lines if line.startswith("URIs:")][:1]


def _install(folder: Path, package: str) -> None:
    _pip("install", "--target", str(folder), package)


def _install_executorch(folder: Path, package: str) -> None:
    """The libraries of the package, and our C library around them, cross-compiled."""
    with tempfile.TemporaryDirectory() as wheels:
        _pip("download", "--dest", wheels, package)
        _command(sys.executable, str(BUILD_EXECUTORCH), "--machine", "aarch64", "--out", wheels)
        for wheel in Path(wheels).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                names = archive.namelist()
                ours = [name for name in names if name.startswith(f"{WHEEL}/")]
                kept = ours or [name for name in names if name in EXECUTORCH_FILES]
                archive.extractall(folder, kept)


def _pip(verb: str, *words: str) -> None:
    """pip for the Python of that Debian, run by this one."""
    platforms = [f"manylinux_2_{n}_aarch64" for n in (28, 27, 17)]
    _command(
        *(sys.executable, "-m", "pip", verb, "-q", "--disable-pip-version-check"),
        *("--only-binary=:all:", "--no-deps", "--python-version", "3.11", "--implementation", "cp"),
        *(word for name in (*platforms, "any") for word in ("--platform", name)),
        *words,
    )


def _command(*words: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    try:
        subprocess.run(words, check=True, capture_output=True, text=True, env=environment)
    except FileNotFoundError as error:
        raise EchoError(f"emulated_board: {words[0]} is not installed here: {APT}") from error
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:] or ["without a word"]
        raise EchoError(
            f"emulated_board: {Path(words[0]).name} failed ({last[0]}): see that it works"
        ) from error


def cpuinfo(cpu: str) -> str:
    """/proc/cpuinfo of the board: libraries choose their kernels by it."""
    part, features = CPUS[cpu]
    block = (
        f"Features\t: {features}\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
        f"CPU variant\t: 0x0\nCPU part\t: {part}\nCPU revision\t: 3\n"
    )
    return "\n".join(f"processor\t: {core}\nBogoMIPS\t: 108.00\n{block}" for core in range(CORES))


def can_count() -> bool:
    """True if there is a qemu that takes our plug-in: some builds take none, newer ones others."""

    def said(option: str) -> str:
        return subprocess.run((QEMU, option), capture_output=True, text=True, check=False).stdout

    if shutil.which(QEMU) is None:
        return False
    version = re.search(r"version (\d+)", said("-version"))
    return "-plugin" in said("-help") and version is not None and int(version[1]) in QEMU_VERSIONS


def make_counter(work: Path) -> Path:
    """The plug-in that counts, compiled."""
    plugin = work / COUNTER.with_suffix(".so").name
    work.mkdir(parents=True, exist_ok=True)
    _command("cc", "-std=gnu11", "-O2", "-shared", "-fPIC", "-o", str(plugin), str(COUNTER))
    return plugin


def read_counts(path: Path) -> list[int]:
    """Instructions of each part, as the plug-in wrote them."""
    try:
        return [int(line) for line in path.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise EchoError(
            f"emulated_board: {path.name}: found no counts ({error}), expected what "
            f"{COUNTER.name} writes: see that {QEMU} takes plug-ins"
        ) from error


def run_emulated(
    work: Path, cpu: str, python_path: Sequence[Path], words: Sequence[str], counts: Path | None
) -> None:
    """Run Python with `words` on that processor; the plug-in writes to `counts`, if given."""
    root = work / "root"
    (root / "proc/cpuinfo").write_text(cpuinfo(cpu))  # qemu opens files below its root first
    emulator = QEMU if shutil.which(QEMU) else QEMU_STATIC
    plugin = ["-plugin", f"{make_counter(work)},out={counts}"] if counts else []
    command = [emulator, *plugin, "-cpu", cpu, "-L", str(root), str(root / "usr/bin/python3.11")]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": ":".join(map(str, (*python_path, CHECKOUT))),
        "PYTHONHASHSEED": "0",  # the same instructions every time
        "OPENBLAS_NUM_THREADS": "1",
    }
    try:
        subprocess.run(
            (*command, *words),
            env=environment, check=True, capture_output=True, text=True, timeout=GUEST_LIMIT_S,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise EchoError(f"emulated_board: {emulator} is not installed here: {APT}") from error
    except subprocess.SubprocessError as error:
        text = getattr(error, "stderr", None) or str(error)
        last = str(text).strip().splitlines()[-1]
        raise EchoError(f"emulated_board: {cpu}: {last}: see that the bundle runs here") from error
