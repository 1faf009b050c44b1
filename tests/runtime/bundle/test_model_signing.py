"""Signatures beside those of OpenSSF's own tool."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography", reason="needs echo-edge[sign]")

from cryptography.hazmat.primitives.asymmetric import ec

from echo_edge import cli
from echo_edge.bundle.keys import trusted_keys
from echo_edge.bundle.verify import open_bundle
from echo_edge.errors import BundleError
from tests.runtime.bundle.key_pairs import write_pair

Tool = Callable[..., subprocess.CompletedProcess[str]]


class TestModelSigning:
    """The ecosystem's tool (PyPI model-signing), as its users call it."""

    @pytest.fixture
    def tool(self) -> Tool:
        pytest.importorskip("model_signing", reason="needs pip install model-signing pyopenssl")

        def run(*arguments: object) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "model_signing", *map(str, arguments)]
            return subprocess.run(command, check=False, capture_output=True, text=True)

        return run

    def test_verifies_ours(self, signed_bundle: Path, owner: Any, tool: Tool) -> None:
        done = tool(
            "verify", "key", signed_bundle, "--signature", signed_bundle / "SIGNATURE",
            "--public_key", owner.trust / "owner.pub",
        )  # fmt: skip

        assert (done.returncode, done.stdout) == (0, "Verification succeeded\n"), done.stderr

    @pytest.mark.parametrize(
        "curve", [ec.SECP256R1(), ec.SECP384R1()], ids=lambda curve: curve.name
    )
    def test_is_verified_by_us(
        self, null_bundle: Path, tmp_path: Path, tool: Tool, curve: ec.EllipticCurve
    ) -> None:
        write_pair(tmp_path, curve)
        done = tool(
            "sign", "key", null_bundle, "--signature", null_bundle / "SIGNATURE",
            "--private_key", tmp_path / "other.key",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

        assert cli.main(["bundle", "verify", str(null_bundle), "--keys", str(tmp_path)]) == 0

    def test_both_notice_any_flipped_byte(self, signed_bundle: Path, owner: Any) -> None:
        """One bit of each of a sample of bytes of every file; with ECHO_EDGE_LONG of every byte of
        those below 20 kB, which are all that is read as text."""
        verifying = pytest.importorskip("model_signing.verifying")
        trusted = trusted_keys(owner.trust)
        signature = signed_bundle / "SIGNATURE"

        def theirs() -> None:
            config = verifying.Config()
            config.use_elliptic_key_verifier(public_key=owner.trust / "owner.pub")
            config.verify(signed_bundle, signature)

        theirs()
        n_flipped = 0
        for path in sorted(path for path in signed_bundle.rglob("*") if path.is_file()):
            data = bytearray(path.read_bytes())
            whole = os.environ.get("ECHO_EDGE_LONG") and len(data) < 20_000
            step = 1 if whole else max(29, len(data) // 200)
            for at in range(0, len(data), step):
                data[at] ^= 1 << (at % 8)
                path.write_bytes(data)
                with pytest.raises(BundleError):
                    open_bundle(signed_bundle, trusted)
                with pytest.raises(Exception, match=r".*"):
                    theirs()
                data[at] ^= 1 << (at % 8)
                n_flipped += 1
            path.write_bytes(data)
        theirs()
        assert n_flipped > 300
