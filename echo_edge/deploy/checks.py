"""Checks of a bundle and of this device before anything is written.

Each check raises; none changes anything. `install.py` calls them in turn.
"""

import platform
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from echo_edge.board import info as board
from echo_edge.bundle.manifest import Manifest
from echo_edge.deploy.source import Source
from echo_edge.errors import BundleError, OutputError

_ARCHITECTURES = {"x86_64": "x86-64", "amd64": "x86-64", "arm64": "aarch64"}
_SPARE_BYTES = 4 << 20
"""Room for the file system's own use when it stores a bundle."""


def check_fits(manifest: Manifest, manifest_bytes: int, source: Source) -> None:
    """The files that are there are those that the manifest lists, so far as sizes can tell."""
    expected = {name: spec.size_bytes for name, spec in manifest.files.items()}
    expected["manifest.json"] = manifest_bytes
    found = {name: size for name, size in source.sizes.items() if name != "SIGNATURE"}
    for name in sorted(found.keys() - expected):
        raise BundleError(
            f"{name!r}: found in the bundle, expected only what manifest.json lists: remove it",
            "file-extra",
        )
    for name, size_bytes in sorted(expected.items()):
        if found.get(name) != size_bytes:
            there = f"{found[name]} bytes" if name in found else "nothing"
            raise BundleError(
                f"{name}: found {there}, expected {size_bytes} bytes: get the bundle again",
                "file-size" if name in found else "file-missing",
            )


def check_board(boards: tuple[str, ...]) -> None:
    """Refuse a bundle for other boards; one that names none is for all."""
    machine = platform.machine()
    architecture = _ARCHITECTURES.get(machine.lower(), machine)
    model = board.read_board().model
    fits = any(
        name == architecture or re.match(rf"{re.escape(name)}\b", model, re.IGNORECASE)
        for name in boards
    )
    if boards and not fits:
        raise BundleError(
            f"manifest.json: boards: found {', '.join(boards)[:200]}, expected {architecture} or "
            f"{model}, this board: get the bundle for this board",
            "board",
        )


def check_build(build: int, installed: Iterable[Manifest]) -> None:
    """Refuse a build older than any in the slots: going back is for `rollback`."""
    newest = max((manifest.build for manifest in installed), default=build)
    if build < newest:
        raise BundleError(
            f"manifest.json: build: found {build}, expected at least {newest}, which is installed: "
            "get a newer bundle, or say --allow-downgrade",
            "downgrade",
        )


def check_space(root: Path, size_bytes: int) -> None:
    """OutputError unless the disk has room for the new bundle beside both that are there."""
    free, needed = shutil.disk_usage(root).free, size_bytes + _SPARE_BYTES
    if free < needed:
        raise OutputError(
            f"{root}: found {free >> 20} MiB free, expected {(needed >> 20) + 1} for the new "
            "bundle beside the installed ones: make room there"
        )
