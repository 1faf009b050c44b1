"""Bundles in a tar, from a file or from stdin."""

import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from echo_edge.deploy.install import Policy, install
from echo_edge.errors import BundleError
from tests.runtime.deploy.installs import listing, running

TAR_FORMATS = [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT]


class TestTar:
    @pytest.mark.parametrize("tar_format", TAR_FORMATS, ids=["gnu", "ustar", "pax"])
    def test_of_python(
        self, root: Path, build: Callable[[int], Path], policy: Policy, tar_format: int
    ) -> None:
        path = root.with_name("bundle.tar")
        with tarfile.open(path, "w", format=tar_format) as archive:
            archive.add(build(1), ".")  # with times as fractions, which pax keeps in headers

        install(path, root, policy)

        assert (running(root), listing(root)) == (1, ["a", "current", "lock"])

    @pytest.mark.skipif(shutil.which("tar") is None, reason="needs tar")
    @pytest.mark.parametrize("options", [[], ["--format=pax"], ["--format=ustar"]], ids=str)
    def test_of_the_system_through_a_pipe(
        self,
        root: Path,
        build: Callable[[int], Path],
        policy: Policy,
        monkeypatch: pytest.MonkeyPatch,
        options: list[str],
    ) -> None:
        command = ["tar", *options, "-C", str(build(1)), "-cf", "-", "."]
        data = subprocess.run(command, check=True, capture_output=True).stdout
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

        outcome = install(None, root, policy)

        assert (outcome.slot, running(root)) == ("a", 1)
        assert listing(root) == ["a", "current", "lock"]

    def test_of_a_name_as_long_as_allowed(
        self, root: Path, signed_bundle: Path, owner: Any, policy: Policy
    ) -> None:
        name = f"{'d' * 100}/{'f' * 99}"
        (signed_bundle / name).parent.mkdir()
        (signed_bundle / name).write_text("long")
        manifest = json.loads((signed_bundle / "manifest.json").read_bytes())
        files = manifest["files"] | {name: {"sha256": "0" * 64, "size_bytes": 0}}
        owner.sign(signed_bundle, files=files)
        path = root.with_name("bundle.tar")
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
            archive.add(signed_bundle, "")

        install(path, root, policy)

        assert (root / "current" / name).read_text() == "long"

    def test_in_a_folder_says_how_to_pack(
        self, root: Path, build: Callable[[int], Path], policy: Policy
    ) -> None:
        path = root.with_name("bundle.tar")
        source = build(1)
        with tarfile.open(path, "w") as archive:
            archive.add(source, "bundle")
        with pytest.raises(BundleError, match=r"this name.*tar -C BUNDLE -cf"):
            install(path, root, policy)
        with tarfile.open(path, "w") as archive:
            archive.add(source / "tokens.txt", "bundle/tokens.txt")

        with pytest.raises(BundleError, match=r"manifest.json: found nothing.*tar -C BUNDLE -cf"):
            install(path, root, policy)
