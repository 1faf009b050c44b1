"""The command `echo-edge doctor`: what works here, what is missing and what to do about it.

Every line is found out by using the thing, not by asking for its version alone.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from echo_edge import habits
from echo_edge.board import info as board
from echo_edge.bundle.find import find_bundle
from echo_edge.cli.check import Check
from echo_edge.cli.doctor_recorder import examine_recording
from echo_edge.cli.options import add_bundle_option
from echo_edge.engines import ENGINES, engine_version
from echo_edge.errors import EchoError

MIN_PYTHON = (3, 11)
INSTALL = "pip install 'echo-edge[onnx]'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `echo-edge doctor`."""
    add_bundle_option(parser)
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")


def run(args: argparse.Namespace) -> int:
    """Print the checks; 0 if `echo-edge run` will work here, else 1."""
    checks = []
    for check in examine(args.bundle):
        checks.append(check)
        if not args.json:
            print(f"{check.status:<8} {check.name:<12} {check.detail}", flush=True)
    works = all(check.status == "ok" for check in checks if check.needed)
    if args.json:
        print(json.dumps({"works": works, "checks": [asdict(check) for check in checks]}))
    else:
        print(
            "echo-edge run works here" if works else "echo-edge run does not work here, see above"
        )
    return 0 if works else 1


def examine(bundle: str | None) -> Iterator[Check]:
    """All checks, each as soon as it is known."""
    available_mib = board.available_mib()  # before this process takes what a run takes
    yield _python()
    for module in ("numpy", "soundfile", "soxr"):
        yield _library(module)
    yield _media()
    for name in ENGINES:
        yield _engine(name)
    yield from _bundle(bundle, available_mib)
    yield _telemetry()
    yield from examine_recording()
    yield _board()
    yield from _speed()


def _python() -> Check:
    found = platform.python_version()
    if sys.version_info[:2] >= MIN_PYTHON:
        return Check("ok", "python", found)
    return Check("problem", "python", f"found {found}, expected 3.11 or later: install it")


def _library(name: str) -> Check:
    try:
        module = import_module(name)
    except ImportError as error:
        return Check("missing", name, f"{error}: {INSTALL}")
    except OSError as error:  # soundfile is there, libsndfile is not
        return Check("missing", name, f"{error}: apt install libsndfile1")
    native = getattr(module, "__libsndfile_version__", None)
    return Check("ok", name, module.__version__ + (f", libsndfile {native}" if native else ""))


def _media() -> Check:
    """Of M4A, MP4, WebM and the like; not needed for other files."""
    try:
        return Check("ok", "media", f"PyAV {import_module('av').__version__}", needed=False)
    except ImportError:
        try:
            text = subprocess.run(["ffmpeg", "-version"], capture_output=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            detail = "no ffmpeg and no PyAV, for M4A, MP4 or WebM: apt install ffmpeg"
            return Check("missing", "media", detail, needed=False)
    return Check("ok", "media", " ".join(text.decode(errors="replace").split()[:3]), needed=False)


def _engine(name: str) -> Check:
    """Not needed in itself: the bundle says which engine it needs."""
    try:
        version = engine_version(name)
    except EchoError as error:
        return Check("missing", "engine", str(error).removeprefix("engine "), needed=False)
    return Check("ok", "engine", f"{name}: {ENGINES[name][1]} {version}", needed=False)


def _telemetry() -> Check:
    """Of the libraries, after they were used."""
    if habits.telemetry_is_off():
        return Check("ok", "telemetry", "of onnxruntime: off", needed=False)
    detail = f"of onnxruntime: on, it was imported before echo_edge: set {habits.TELEMETRY}=1"
    return Check("problem", "telemetry", detail, needed=False)


def _bundle(explicit: str | None, available_mib: int | None) -> Iterator[Check]:
    """The bundle that `run` would take: there, verified, loaded, right, and small enough."""
    from echo_edge.selftest import run_selftest
    from echo_edge.session import load

    try:
        folder = find_bundle(explicit)
    except EchoError as error:
        yield Check("missing", "bundle", str(error))
        return
    try:
        with load(folder) as session:
            manifest = session.bundle.manifest
            detail = f"{manifest.name}, verified, {folder} ({_where(explicit, folder)})"
            yield Check("ok", "bundle", detail)
            outcome = run_selftest(session)
    except EchoError as error:
        yield Check("problem", "bundle", str(error))
        return
    detail = outcome.summary().removeprefix("self-test ")
    if not outcome.passed:
        detail += ": update the engine or use another bundle"
    yield Check("ok" if outcome.passed else "problem", "self-test", detail)
    yield _memory(available_mib, board.memory_mib().peak_rss_mib)


def _where(explicit: str | None, folder: Path) -> str:
    if explicit is not None:
        return "--bundle"
    if os.environ.get("ECHO_EDGE_BUNDLE"):
        return "$ECHO_EDGE_BUNDLE"
    return "shipped" if folder.parent == Path(__file__).parents[1] else "installed"


def _memory(available_mib: int | None, needed_mib: float) -> Check:
    needs = f"this process, which did what a run does, took {needed_mib:.0f} MiB"
    if available_mib is None:
        return Check("ok", "memory", needs, needed=False)
    detail = f"{available_mib} MiB available; {needs}"
    if available_mib < needed_mib:
        return Check("problem", "memory", f"{detail}: end other programs", needed=False)
    return Check("ok", "memory", detail, needed=False)


def _board() -> Check:
    found = board.read_board()
    names = ", ".join(dict.fromkeys((found.model, found.cpu)))
    detail = f"{names}, {found.cores or '?'} cores ({' '.join(found.isa) or 'no int8 features'})"
    if found.emulated:
        return Check("problem", "board", f"{detail}: emulated, timings do not count", needed=False)
    return Check("ok", "board", detail, needed=False)


def _speed() -> Iterator[Check]:
    """Settings that make a board slower than it can be."""
    governor = board.read_board().governor
    if governor is not None:
        note = "" if governor == "performance" else ": for `echo-edge bench` set performance"
        yield Check("ok", "governor", governor + note, needed=False)
    throttling = board.throttled()
    if throttling is not None and throttling.now:
        slowed = ", ".join(throttling.now)
        detail = f"now: {slowed}: cool the board, check its power supply"
        yield Check("problem", "throttling", detail, needed=False)
    elif throttling is not None:
        ever = ", ".join(throttling.ever)
        detail = f"not now; since boot: {ever}" if ever else "none since boot"
        yield Check("ok", "throttling", detail, needed=False)
    temperatures = board.thermal()
    if temperatures:
        zone, celsius = max(temperatures.items(), key=lambda item: item[1])
        yield Check("ok", "temperature", f"{celsius:.0f} degrees Celsius ({zone})", needed=False)
