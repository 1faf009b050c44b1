"""A device on which a good bundle runs, so that an attack has something to break."""

import io
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from echo_edge.bundle.keys import trusted_keys
from echo_edge.deploy.install import Policy, install


@dataclass(frozen=True)
class Device:
    root: Path
    trust: Path

    def policy(self) -> Policy:
        return Policy(trusted_keys(self.trust))

    def tree(self) -> dict[str, bytes | str]:
        """Everything below the root: contents of files, targets of links."""
        paths = sorted(self.root.rglob("*"))
        return {
            path.relative_to(self.root).as_posix(): str(path.readlink())
            if path.is_symlink()
            else path.read_bytes()
            for path in paths
            if path.is_symlink() or path.is_file()
        }


@pytest.fixture
def device(tmp_path: Path, owner: Any, signed_bundle: Path) -> Device:
    """Build 5 runs, and its owner is the only one who is trusted."""
    shutil.copytree(owner.trust, tmp_path / "trust")
    device = Device(tmp_path / "root", tmp_path / "trust")
    install(signed_bundle, device.root, device.policy())
    return device


Entry = tuple[tarfile.TarInfo, bytes]


@pytest.fixture
def pack() -> Callable[..., Path]:
    """Write a folder as a tar, its entries changed by `edit`."""

    def write(
        folder: Path,
        out: Path,
        edit: Callable[[list[Entry]], list[Entry]] = lambda entries: entries,
        tar_format: int = tarfile.GNU_FORMAT,
    ) -> Path:
        entries: list[Entry] = []
        for path in sorted(folder.rglob("*")):
            info = tarfile.TarInfo(path.relative_to(folder).as_posix())
            data = b"" if path.is_dir() else path.read_bytes()
            info.type = tarfile.DIRTYPE if path.is_dir() else tarfile.REGTYPE
            info.size = len(data)
            entries.append((info, data))
        with tarfile.open(out, "w", format=tar_format) as archive:
            for info, data in edit(entries):
                archive.addfile(info, io.BytesIO(data))
        return out

    return write
