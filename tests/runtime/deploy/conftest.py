"""Bundles of several builds, signed, and a root to install them in."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from echo_edge.bundle.keys import trusted_keys
from echo_edge.deploy.install import Policy


@pytest.fixture
def policy(owner: Any) -> Policy:
    return Policy(trusted_keys(owner.trust))


@pytest.fixture
def build(signed_bundle: Path, owner: Any, tmp_path: Path) -> Callable[[int], Path]:
    """A signed bundle of that build."""

    def make(number: int) -> Path:
        folder = tmp_path / f"build{number}"
        shutil.copytree(signed_bundle, folder)
        (folder / "encoder.null").write_text(f"graph encoder of build {number}\n")
        return owner.sign(folder, build=number)

    return make


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"
