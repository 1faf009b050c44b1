"""The wheel `echo-edge-executorch` for boards: our C library around ExecuTorch's, compiled.

    python packages/echo_edge_executorch/build.py [--machine aarch64 x86_64] [--out dist]

Needs pip, a C++ compiler (`apt install g++`) and, for the other processor, a cross compiler
(`apt install g++-aarch64-linux-gnu`). Headers and libraries to compile against come from the
executorch wheel for that processor. Same tools, same bytes.
"""

import argparse
import base64
import hashlib
import platform
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from echo_edge.engines.executorch_library import INTERFACE, WHEEL, compile_library
from echo_edge.errors import EchoError

EXECUTORCH = "1.5.1"
"""The library's C++ interface is promised for this version only, so the wheel is for this one."""
MACHINES = ("x86_64", "aarch64")
LIBRARY = "libecho_edge_executorch.so"
NAME = "echo-edge-executorch"

INIT = f'''"""The C library of echo-edge around ExecuTorch {EXECUTORCH}: see echo-edge."""

from pathlib import Path

LIBRARY = Path(__file__).with_name("{LIBRARY}")
EXECUTORCH = "{EXECUTORCH}"
INTERFACE = {INTERFACE}
'''

METADATA = f"""Metadata-Version: 2.4
Name: {NAME}
Version: {EXECUTORCH}.{INTERFACE}
Summary: ExecuTorch's C++ runtime for echo-edge, without torch
License-Expression: Apache-2.0
Requires-Python: >=3.11
Description-Content-Type: text/markdown

Needs `pip install --no-deps executorch=={EXECUTORCH}`: without `--no-deps` that would bring a
desktop's worth of libraries that a board does not need.
"""


def build(machine: str, out: Path) -> Path:
    """Compile and pack for one processor; the wheel's path."""
    with tempfile.TemporaryDirectory() as folder:
        root = _executorch(machine, Path(folder))
        library = Path(folder) / LIBRARY
        compile_library(_compiler(machine), root, library)
        binary = library.read_bytes()
    # No older C library than its symbols ask for.
    found = re.findall(rb"GLIBC_2\.(\d+)", binary)
    tag = f"py3-none-manylinux_2_{max(28, *map(int, found))}_{machine}"
    distribution = f"{WHEEL}-{EXECUTORCH}.{INTERFACE}"
    info = f"{distribution}.dist-info"
    files = {
        f"{WHEEL}/__init__.py": INIT.encode(),
        f"{WHEEL}/{LIBRARY}": binary,
        f"{info}/METADATA": METADATA.encode(),
        f"{info}/WHEEL": (
            f"Wheel-Version: 1.0\nGenerator: echo-edge\nRoot-Is-Purelib: false\nTag: {tag}\n"
        ).encode(),
    }
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD")
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{distribution}-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = (0o755 if name.endswith(".so") else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, data)
    return path


def _compiler(machine: str) -> str:
    return "c++" if machine == platform.machine() else f"{machine}-linux-gnu-g++"


def _executorch(machine: str, folder: Path) -> Path:
    """The executorch wheel for a processor, unpacked."""
    command = (
        *(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"),
        *("--platform", f"manylinux_2_28_{machine}", "--python-version", "3.11"),
        *("--implementation", "cp", "--dest", str(folder), f"executorch=={EXECUTORCH}"),
    )
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:] or ["without a word"]
        raise EchoError(
            f"build: pip cannot download executorch {EXECUTORCH} for {machine} ({last[0]}): "
            "see that it works"
        ) from error
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder / "executorch"


def _record(files: dict[str, bytes], own_name: str) -> bytes:
    """The list of a wheel's files and hashes."""
    rows = []
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.append(f"{name},sha256={digest},{len(data)}")
    return "\n".join([*rows, f"{own_name},,", ""]).encode()


def main() -> int:
    """Build the wheels; 1 if one cannot be built."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--machine", nargs="+", choices=MACHINES, default=MACHINES)
    parser.add_argument("--out", type=Path, default=Path("dist"), metavar="DIR")
    args = parser.parse_args()
    try:
        for machine in args.machine:
            path = build(machine, args.out)
            print(f"{path}  {path.stat().st_size / 1024:.0f} KiB")
    except EchoError as error:
        print(f"build: {str(error).removeprefix('build: ')}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
