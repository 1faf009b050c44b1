"""Signatures: ours for the ecosystem's tool, the tool's for us, and nothing altered for either."""

import base64
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography", reason="needs echo-edge[sign]")

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from echo_edge.bundle.keys import generate, key_id, read_private_key, trusted_keys
from echo_edge.bundle.signature import sign, verify
from echo_edge.errors import BundleError, EchoError, OutputError
from tests.runtime.bundle.key_pairs import write_pair

CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]


HASHES = {"manifest.json": "ab" * 32, "selftest/audio.wav": "cd" * 32}


class TestSign:
    def test_is_what_was_signed(self, owner: Any) -> None:
        signature = sign("x", HASHES, read_private_key(owner.key))

        signed = verify(signature, trusted_keys(owner.trust))

        assert (signed.sha256, signed.key.file) == (HASHES, "owner.pub")

    def test_same_input_same_bytes(self, owner: Any) -> None:
        key = read_private_key(owner.key)

        assert sign("x", HASHES, key) == sign("x", dict(reversed(HASHES.items())), key)

    @pytest.mark.parametrize(
        "curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name
    )
    def test_curves(self, tmp_path: Path, curve: ec.EllipticCurve) -> None:
        write_pair(tmp_path, curve)

        signature = sign("x", HASHES, read_private_key(tmp_path / "other.key"))

        assert verify(signature, trusted_keys(tmp_path)).sha256 == HASHES

    def test_is_a_dsse_envelope_of_an_in_toto_statement(self, owner: Any) -> None:
        """The layout, spelled out: the tool may not be there to say so."""
        document = json.loads(sign("x", HASHES, read_private_key(owner.key)))

        envelope = document["dsseEnvelope"]
        statement = json.loads(base64.b64decode(envelope["payload"]))
        (known,) = trusted_keys(owner.trust).keys
        assert document["verificationMaterial"]["publicKey"]["hint"] == known
        assert envelope["payloadType"] == "application/vnd.in-toto+json"
        assert statement["_type"] == "https://in-toto.io/Statement/v1"
        assert statement["predicateType"] == "https://model_signing/signature/v1.0"
        assert [each["name"] for each in statement["predicate"]["resources"]] == sorted(HASHES)

    def test_any_flipped_bit_is_noticed(self, owner: Any) -> None:
        signature, trusted = (
            sign("x", HASHES, read_private_key(owner.key)),
            trusted_keys(owner.trust),
        )
        for at in range(len(signature)):
            for bit in (0, 5):
                flipped = bytearray(signature)
                flipped[at] ^= 1 << bit
                with pytest.raises(BundleError) as caught:
                    verify(bytes(flipped), trusted)
                assert str(caught.value).isprintable()


class TestKeys:
    def test_files(self, tmp_path: Path) -> None:
        key = generate(tmp_path / "new", date(2030, 1, 2))

        assert (tmp_path / "new.key").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "new.pub").read_text().startswith("expires: 2030-01-02\n-----BEGIN")
        assert trusted_keys(tmp_path).keys == {key.key_id: trusted_keys(tmp_path).find(key.key_id)}
        assert trusted_keys(tmp_path).keys[key.key_id].expires == date(2030, 1, 2)

    def test_id_is_the_hash_of_the_pem(self, tmp_path: Path) -> None:
        import hashlib

        key = write_pair(tmp_path, ec.SECP256R1())

        expected = hashlib.sha256((tmp_path / "other.pub").read_bytes()).hexdigest()
        assert key_id(key.public_key()) == expected

    @pytest.mark.parametrize("there", ["new.key", "new.pub"])
    def test_nothing_is_overwritten(self, tmp_path: Path, there: str) -> None:
        (tmp_path / there).write_text("precious")

        with pytest.raises(OutputError, match="exists already"):
            generate(tmp_path / "new", None)

        assert [path.name for path in tmp_path.iterdir()] == [there]
        assert (tmp_path / there).read_text() == "precious"

    def test_where_there_is_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match=r"new\.key: cannot be written \(No such file"):
            generate(tmp_path / "nothing" / "new", None)

    def test_password(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ECHO_EDGE_KEY_PASSWORD", "secret")
        generate(tmp_path / "new", None)

        assert b"ENCRYPTED" in (tmp_path / "new.key").read_bytes()
        read_private_key(tmp_path / "new.key")
        monkeypatch.setenv("ECHO_EDGE_KEY_PASSWORD", "wrong")
        with pytest.raises(EchoError, match="no private key that opens with this password"):
            read_private_key(tmp_path / "new.key")
        monkeypatch.delenv("ECHO_EDGE_KEY_PASSWORD")
        with pytest.raises(EchoError, match=r"set \$ECHO_EDGE_KEY_PASSWORD"):
            read_private_key(tmp_path / "new.key")

    @pytest.mark.parametrize("days", [-1, 0, 1])
    def test_expires_after_its_last_day(self, tmp_path: Path, days: int) -> None:
        last_day = datetime.now(UTC).date() + timedelta(days)
        key = generate(tmp_path / "new", last_day)

        if days < 0:
            with pytest.raises(BundleError, match=f"new.pub, which expired on {last_day}"):
                trusted_keys(tmp_path).find(key.key_id)
        else:
            assert trusted_keys(tmp_path).find(key.key_id).file == "new.pub"

    def test_several(self, tmp_path: Path) -> None:
        ids = {generate(tmp_path / name, None).key_id for name in ("one", "two")}

        assert set(trusted_keys(tmp_path).keys) == ids

    def test_one_twice(self, tmp_path: Path) -> None:
        generate(tmp_path / "a", date(2020, 1, 1))
        text = (tmp_path / "a.pub").read_text()
        (tmp_path / "b.pub").write_text(text.partition("\n")[2])  # without its expiry

        with pytest.raises(EchoError, match=r"b\.pub: found the same key as in a\.pub"):
            trusted_keys(tmp_path)

    def test_none(self, tmp_path: Path) -> None:
        assert trusted_keys(tmp_path / "nothing").keys == {}

    @pytest.mark.parametrize(
        ("file", "text", "message"),
        [
            ("a.pub", "hello", "found no public key"),
            ("a.pub", "", "found no public key"),
            ("revoked", "abc\n", "found 'abc', expected key ids of 64"),
            ("revoked", "# fine\n\n" + "A" * 64, "expected key ids of 64"),
        ],
    )
    def test_a_file_that_is_wrong_stops_everything(
        self, tmp_path: Path, file: str, text: str, message: str
    ) -> None:
        generate(tmp_path / "good", None)
        (tmp_path / file).write_text(text)

        with pytest.raises(EchoError, match=message):
            trusted_keys(tmp_path)

    @pytest.mark.parametrize("line", ["expires: soon", "expires: 2027-13-01", "Expires 2027-01-01"])
    def test_an_expiry_that_cannot_be_read_is_not_passed_over(
        self, tmp_path: Path, line: str
    ) -> None:
        generate(tmp_path / "new", None)
        text = (tmp_path / "new.pub").read_text()
        (tmp_path / "new.pub").write_text(f"{line}\n{text}")

        with pytest.raises(EchoError, match="found no date after expires"):
            trusted_keys(tmp_path)

    def test_of_another_kind(self, tmp_path: Path) -> None:
        key = ed25519.Ed25519PrivateKey.generate().public_key()
        pem = key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (tmp_path / "ed.pub").write_bytes(pem)

        with pytest.raises(EchoError, match="another kind of key, expected an elliptic-curve key"):
            trusted_keys(tmp_path)
