"""`echo-edge bundle sign`, `verify` and `keygen`."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography", reason="needs echo-edge[sign]")


from echo_edge import cli
from echo_edge.bundle.keys import trusted_keys
from echo_edge.bundle.verify import open_bundle


class TestCommand:
    def test_from_key_to_verified(
        self, tmp_path: Path, null_bundle: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        name, trust = str(tmp_path / "release"), tmp_path / "trust"
        trust.mkdir()

        assert cli.main(["bundle", "keygen", name, "--expires", "2999-01-01"]) == 0
        shutil.copy(f"{name}.pub", trust)
        assert cli.main(["bundle", "sign", str(null_bundle), "--key", f"{name}.key"]) == 0
        capsys.readouterr()
        assert cli.main(["bundle", "verify", str(null_bundle), "--keys", str(trust)]) == 0

        assert "signed by release.pub" in capsys.readouterr().out
        assert open_bundle(null_bundle, trusted_keys(trust)).signer == "release.pub"

    def test_a_damaged_bundle_is_not_signed(
        self, null_bundle: Path, owner: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (null_bundle / "encoder.null").write_text("damaged")

        assert cli.main(["bundle", "sign", str(null_bundle), "--key", str(owner.key)]) == 3

        assert "encoder.null: found" in capsys.readouterr().err
        assert not (null_bundle / "SIGNATURE").exists()

    @pytest.mark.parametrize(
        ("is_signed", "has_keys", "options", "code"),
        [
            pytest.param(True, True, [], 0, id="signed, key known"),
            pytest.param(True, False, [], 3, id="signed, no keys here"),
            pytest.param(True, False, ["--allow-unsigned"], 3, id="signed, still no keys here"),
            pytest.param(False, True, [], 3, id="signature taken away"),
            pytest.param(False, True, ["--allow-unsigned"], 0, id="unsigned and allowed"),
            pytest.param(False, False, [], 0, id="unsigned where nobody is trusted"),
        ],
    )
    def test_verify(
        self,
        signed_bundle: Path,
        owner: Any,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        is_signed: bool,
        has_keys: bool,
        options: list[str],
        code: int,
    ) -> None:
        if not is_signed:
            (signed_bundle / "SIGNATURE").unlink()
        keys = owner.trust if has_keys else tmp_path / "nothing"

        found = cli.main(["bundle", "verify", str(signed_bundle), f"--keys={keys}", *options])

        assert found == code
        assert capsys.readouterr().err.count("\n") == (code != 0)

    def test_wrong_usage(self, null_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["bundle", "sign", str(null_bundle)]) == 2
        assert cli.main(["bundle", "keygen", "x", "--expires", "soon"]) == 2
        assert "found 'soon', expected YYYY-MM-DD" in capsys.readouterr().err


class TestWithoutCryptography:
    """A board without `echo-edge[sign]`."""

    @pytest.fixture(autouse=True)
    def _hidden(self, signed_bundle: Path, owner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """After what is needed to make these."""
        assert signed_bundle.exists()
        assert owner.trust.exists()
        for name in [name for name in sys.modules if name.split(".")[0] == "cryptography"]:
            monkeypatch.setitem(sys.modules, name, None)

    @pytest.mark.parametrize(
        "command",
        [
            "verify {signed} --keys {trust}",
            "verify {signed} --keys {nowhere}",
            "install {signed} --keys {trust} --root {nowhere}",
            "install {signed} --keys {nowhere} --root {nowhere}",
            "keygen {nowhere}",
            "sign {signed} --key {trust}/owner.pub",
        ],
    )
    def test_says_what_to_install(
        self,
        signed_bundle: Path,
        owner: Any,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        command: str,
    ) -> None:
        places = {"signed": signed_bundle, "trust": owner.trust, "nowhere": tmp_path / "no"}

        assert cli.main(["bundle", *command.format(**places).split()]) == 1

        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "cryptography is not installed here: pip install 'echo-edge[sign]'" in error

    def test_unsigned_bundles_need_none(self, signed_bundle: Path, tmp_path: Path) -> None:
        (signed_bundle / "SIGNATURE").unlink()
        options = [f"--keys={tmp_path / 'no'}", "--allow-unsigned"]

        assert cli.main(["bundle", "verify", str(signed_bundle)]) == 0
        root = f"--root={tmp_path / 'root'}"
        assert cli.main(["bundle", "install", str(signed_bundle), root, *options]) == 0
