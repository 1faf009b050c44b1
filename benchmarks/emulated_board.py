"""Does a bundle compute on ARM what it computes here? Boards' processors, emulated: never a time.

    python -m benchmarks.emulated_board [--bundle DIR] [--cpu cortex-a72 ...] [--work DIR]

Runs the bundle's self-test, and its clip through every graph, with aarch64 Python and ONNX Runtime
under qemu's user-mode emulation, and compares each output with what this machine makes of the same
bytes. Times are not printed: instructions are translated, so they say nothing of any board.
The first run makes a small Debian for arm64 in `--work`; it needs Debian or Ubuntu, the network,
pip and `apt-get install qemu-user-static mmdebstrap`. The last line of stdout is JSON.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echo_edge.bench.table import markdown
from echo_edge.bundle import find_bundle
from echo_edge.engines import engine_version
from echo_edge.errors import EchoError
from echo_edge.selftest import read_clip, sqnr_db, trace
from echo_edge.session import Session, load

CHECKOUT = Path(__file__).parents[1]
WORK = CHECKOUT / ".cache/aarch64"
QEMU = "qemu-aarch64-static"
GUEST_LIMIT_S = 1200

CPUS = {
    "cortex-a53": ("0xd03", "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"),
    "cortex-a72": ("0xd08", "fp asimd evtstrm crc32 cpuid"),
    "cortex-a76": ("0xd0b", "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp "
                            "cpuid asimdrdm lrcpc dcpop asimddp"),
}  # fmt: skip
"""qemu's processor to its part number and features: Pi 3, Pi 4, Pi 5 (with dot product)."""

GUEST = """
import sys, numpy as np
from echo_edge import selftest
from echo_edge.session import load
outputs, trace = {}, selftest.trace
def keep(session, pcm):
    outputs.update(trace(session, pcm))
    return outputs
selftest.trace = keep  # the self-test computes everything: once is enough
with load(sys.argv[1]) as session:
    passed = selftest.run_selftest(session).passed
np.savez(sys.argv[2], passed=passed, **outputs)
"""


def prepare(work: Path) -> None:
    """A Debian for arm64 with Python and the runtime's libraries, made once."""
    if (work / "complete").exists():
        return
    work.mkdir(parents=True, exist_ok=True)
    packages = "python3,libstdc++6,libgomp1"
    _command(
        *("mmdebstrap", "--quiet", "--variant=extract", "--architectures=arm64"),
        *(f"--include={packages}", "bookworm", str(work / "root")),
        *_mirror(),
    )
    platforms = [f"manylinux_2_{n}_aarch64" for n in (28, 27, 17)]
    _command(
        *(sys.executable, "-m", "pip", "install", "-q", "--target", str(work / "site")),
        *("--only-binary=:all:", "--no-deps", "--python-version", "3.11", "--implementation", "cp"),
        *(word for name in (*platforms, "any") for word in ("--platform", name)),
        *(f"numpy=={np.__version__}", f"onnxruntime=={engine_version('onnx')}"),
    )
    (work / "complete").touch()


def _mirror() -> list[str]:
    """Where this Debian has its packages from; mmdebstrap's own default elsewhere."""
    sources = Path("/etc/apt/sources.list.d/debian.sources")
    lines = sources.read_text().splitlines() if sources.exists() else []
    return [line.split()[1] for line in lines if line.startswith("URIs:")][:1]


def _command(*words: str) -> None:
    try:
        subprocess.run(words, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise EchoError(
            f"emulated_board: {words[0]} is not installed here: "
            "apt-get install qemu-user-static mmdebstrap"
        ) from error
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:] or ["without a word"]
        raise EchoError(
            f"emulated_board: {words[0]} failed ({last[0]}): see that it works"
        ) from error


def cpuinfo(cpu: str, cores: int = 4) -> str:
    """/proc/cpuinfo of the board: libraries choose their kernels by it."""
    part, features = CPUS[cpu]
    block = (
        f"Features\t: {features}\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
        f"CPU variant\t: 0x0\nCPU part\t: {part}\nCPU revision\t: 3\n"
    )
    return "\n".join(f"processor\t: {core}\nBogoMIPS\t: 108.00\n{block}" for core in range(cores))


def emulated_trace(bundle: Path, cpu: str, work: Path) -> dict[str, NDArray[Any]]:
    """Every output of the self-test's clip, and `passed`, as that processor computes them."""
    proc, out = work / "root/proc", work / f"{cpu}.npz"
    proc.mkdir(exist_ok=True)
    (proc / "cpuinfo").write_text(cpuinfo(cpu))  # qemu opens files below its root first
    out.unlink(missing_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{work / 'site'}:{CHECKOUT}",
        "OPENBLAS_NUM_THREADS": "1",
    }
    python = work / "root/usr/bin/python3.11"
    command = (QEMU, "-cpu", cpu, "-L", str(work / "root"), str(python), "-c", GUEST)
    try:
        subprocess.run(
            (*command, str(bundle), str(out)),
            env=environment, check=True, capture_output=True, text=True, timeout=GUEST_LIMIT_S,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise EchoError(f"emulated_board: {QEMU} is not installed here: apt-get install "
                        "qemu-user-static") from error  # fmt: skip
    except subprocess.SubprocessError as error:
        text = getattr(error, "stderr", None) or str(error)
        raise EchoError(f"emulated_board: {cpu}: {str(text).strip().splitlines()[-1]}") from error
    with np.load(out) as arrays:
        return dict(arrays)


def compare(cpu: str, here: dict[str, Any], there: dict[str, Any]) -> dict[str, Any]:
    """How far apart the outputs are."""
    return {
        "cpu": cpu,
        "selftest_passed": bool(there["passed"]),
        "outputs": {
            name: {
                "equal_bits": bool(np.array_equal(here[name], there[name])),
                "sqnr_db": round(sqnr_db(here[name], there[name]), 2),
                "most_difference": float(np.abs(here[name] - there[name]).max()),
            }
            for name in here
        },
    }


def table(results: Sequence[dict[str, Any]]) -> str:
    """The comparison for people."""
    rows = [
        (
            result["cpu"],
            "passed" if result["selftest_passed"] else "FAILED",
            name,
            "yes" if found["equal_bits"] else "no",
            f"{found['sqnr_db']:.1f}",
            f"{found['most_difference']:.2g}",
        )
        for result in results
        for name, found in result["outputs"].items()
    ]
    columns = ("processor", "self-test", "output", "same bits", "SQNR dB", "most difference")
    return markdown(columns, rows)


def main(argv: list[str] | None = None) -> int:
    """Print the comparison; 1 if a self-test failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle", metavar="DIR")
    parser.add_argument(
        "--cpu", nargs="+", choices=sorted(CPUS), default=["cortex-a72", "cortex-a76"]
    )
    parser.add_argument("--work", metavar="DIR", type=Path, default=WORK)
    args = parser.parse_args(argv)
    try:
        with load(find_bundle(args.bundle)) as session:
            results = _run(session, args.cpu, args.work.resolve())
    except EchoError as error:
        print(f"emulated_board: {str(error).removeprefix('emulated_board: ')}", file=sys.stderr)
        return error.exit_code
    print(table(results))
    print(json.dumps(results))
    return 0 if all(result["selftest_passed"] for result in results) else 1


def _run(session: Session, cpus: Sequence[str], work: Path) -> list[dict[str, Any]]:
    if (engine := session.bundle.manifest.engine.name) != "onnx":
        raise EchoError(f"{session.bundle.path}: found engine {engine}, expected onnx")
    prepare(work)
    here = trace(session, read_clip(session.bundle))
    bundle = session.bundle.path.resolve()
    return [compare(cpu, here, emulated_trace(bundle, cpu, work)) for cpu in cpus]


if __name__ == "__main__":
    sys.exit(main())
