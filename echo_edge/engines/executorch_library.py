"""Where `executorch_shim.cpp` comes from, compiled: a wheel, or the compiler of this machine.

The wheel `echo-edge-executorch` holds it for boards. Without that wheel it is compiled once,
against the headers in the installed executorch, and kept in the user's cache. Nothing here imports
torch.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from echo_edge.engines.stderr import quiet_stderr
from echo_edge.errors import EngineError

WHEEL = "echo_edge_executorch"
INTERFACE = 1
"""Counts the changes of the C functions, so that no older wheel is called in a new way."""
SOURCE = Path(__file__).with_name("executorch_shim.cpp")
DEFINITIONS = (
    "C10_USING_CUSTOM_GENERATED_MACROS", "ET_EVENT_TRACER_ENABLED", "ET_USE_THREADPOOL",
)  # fmt: skip
"""Definitions of executorch's own libraries, as their CMake configuration has them."""
PARTS = ("executorch", "executorch_threadpool", "executorch_kernels_optimized",
         "executorch_backend_xnnpack")  # fmt: skip
"""The libraries of the wheel that a graph needs, in the order in which they need each other."""
COMPILERS = ("c++", "g++", "clang++")
COMPILE_LIMIT_S = 300
CURE = "pip install echo-edge-executorch, or install a C++ compiler (apt install g++)"


@cache
def library() -> ctypes.CDLL:
    """The C library, loaded. EngineError says what was tried and what to do."""
    root, version = installed()
    path = _from_wheel(version) or _compiled(root, version)
    try:
        with quiet_stderr():  # the first words of cpuinfo, on boards and in emulation
            for part in PARTS:
                found = ctypes.CDLL(str(root / f"lib/lib{part}.so"))
                if part == "executorch_threadpool":
                    found.cpuinfo_initialize()
            return _declared(ctypes.CDLL(str(path)))
    except (OSError, AttributeError) as error:
        raise EngineError(
            f"engine executorch: {path.name} does not load with executorch {version}: {error}: "
            "pip install --force-reinstall --no-deps executorch echo-edge-executorch"
        ) from error


def installed() -> tuple[Path, str]:
    """Folder and version of the installed executorch. EngineError if it is not there."""
    spec = find_spec("executorch")
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    for folder in map(Path, folders):
        if (folder / "lib/libexecutorch.so").is_file():
            return folder, str(import_module("executorch.version").__version__).partition("+")[0]
    raise EngineError(
        "engine executorch: found no executorch with C++ libraries, expected 1.5.1 or newer: "
        "pip install --no-deps executorch"
    )


def _from_wheel(version: str) -> Path | None:
    """The library of the wheel, if that is installed and made for this executorch."""
    if find_spec(WHEEL) is None:
        return None
    wheel = import_module(WHEEL)
    made_for = (wheel.EXECUTORCH, wheel.INTERFACE)
    return Path(wheel.LIBRARY) if made_for == (version, INTERFACE) else None


def _compiled(root: Path, version: str) -> Path:
    """The library in the user's cache, compiled first if it is not there."""
    compiler = os.environ.get("CXX") or next(filter(shutil.which, COMPILERS), None)
    made_for = f"{version} {platform.machine()} {DEFINITIONS}"
    key = hashlib.sha256(SOURCE.read_bytes() + made_for.encode())
    cache_home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(cache_home).expanduser() / "echo-edge"
    path = folder / f"executorch-{version}-{key.hexdigest()[:16]}.so"
    if path.is_file():
        return path
    if compiler is None:
        raise EngineError(
            f"engine executorch: found neither echo-edge-executorch for executorch {version} nor "
            f"a C++ compiler: {CURE}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Under a name of its own, then moved: two processes may do this at once.
        with tempfile.TemporaryDirectory(dir=folder) as partial:
            made = Path(partial) / path.name
            compile_library(compiler, root, made)
            made.replace(path)
    except OSError as error:
        raise EngineError(
            f"engine executorch: {folder} cannot be written ({error.strerror}): set "
            "XDG_CACHE_HOME, or pip install echo-edge-executorch"
        ) from error
    return path


def compile_library(compiler: str, root: Path, out: Path) -> None:
    """Compile the C library to `out` for the executorch in the folder `root`. EngineError if the
    compiler refuses."""
    includes = (root / "include", root / "include/executorch/runtime/core/portable_type/c10")
    command = (
        *(compiler, "-shared", "-fPIC", "-std=c++17", "-O2", "-fvisibility=hidden"),
        *(f"-D{definition}" for definition in DEFINITIONS),
        *(word for folder in includes for word in ("-isystem", str(folder))),
        # Messages name source files: not where they are on this machine.
        *(f"-ffile-prefix-map={folder}=." for folder in (root, SOURCE.parent)),
        *(str(SOURCE), "-o", str(out), f"-L{root / 'lib'}"),
        *(f"-l{part}" for part in PARTS[:2]),
        "-Wl,--allow-shlib-undefined", "-s",
    )  # fmt: skip
    try:
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            timeout=COMPILE_LIMIT_S,
            env=os.environ | {"TMPDIR": str(out.parent)},  # nothing is written anywhere else
        )
    except (OSError, subprocess.SubprocessError) as error:
        text = str(getattr(error, "stderr", None) or error)
        errors = [line for line in text.splitlines() if "error" in line] or text.splitlines()
        raise EngineError(
            f"engine executorch: {compiler} cannot compile {SOURCE.name}: {errors[0].strip()}: "
            "pip install echo-edge-executorch"
        ) from error


def _declared(found: ctypes.CDLL) -> ctypes.CDLL:
    """With the types of its functions."""
    pointer, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    for name, result, arguments in (
        ("ee_error", text, []),
        ("ee_open", pointer, [text, number]),
        ("ee_count", number, [pointer, number]),
        ("ee_shape", number, [pointer, number, number, pointer, number]),
        ("ee_run", number, [pointer, pointer, pointer]),
        ("ee_close", None, [pointer]),
    ):
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    return found
