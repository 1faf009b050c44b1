"""Keys that sign bundles, and the folder of those that a device trusts. Needs `cryptography`.

A key is an elliptic-curve key in PEM. Its name everywhere is the SHA-256 of its public PEM, as in
the signatures of OpenSSF Model Signing. Knows nothing of bundles.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from echo_edge.disk import write_new
from echo_edge.errors import BundleError, EchoError, OutputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

REVOKED = "revoked"
"""The file of a trust folder that lists ids of keys not to be trusted, one per line."""

CURVES = ("secp256r1", "secp384r1", "secp521r1")
"""P-256 (what `generate` makes), P-384, P-521: what the standard's key mode allows."""

_MAX_KEY_BYTES = 64 << 10
_EXPIRES = re.compile(rb"^expires: *(\S+)[ \r]*$", re.MULTILINE)


@dataclass(frozen=True)
class PublicKey:
    """A key that may have signed a bundle."""

    file: str
    key_id: str
    expires: date | None
    """The last day (UTC) on which signatures of this key are accepted."""
    ec_key: "ec.EllipticCurvePublicKey"


@dataclass(frozen=True)
class TrustedKeys:
    """Trusted public keys by id, and revoked ids, which override them."""

    folder: Path
    keys: dict[str, PublicKey]
    revoked: frozenset[str]

    def find(self, key_id: str) -> PublicKey:
        """The trusted key of that id; BundleError if it is foreign, revoked or expired."""
        if key_id in self.revoked:
            raise BundleError(
                f"SIGNATURE: found a signature by the revoked key {key_id[:16]}, expected one by "
                f"a trusted key: get a bundle signed anew ({self.folder / REVOKED} lists the key)",
                "key-revoked",
            )
        if key_id not in self.keys:
            raise BundleError(
                f"SIGNATURE: found a signature by key {key_id[:16]}, expected one by one of "
                f"{len(self.keys)} keys in {self.folder}: if you trust its owner, put the public "
                "key (NAME.pub) there",
                "key-foreign",
            )
        key = self.keys[key_id]
        today = datetime.now(UTC).date()
        if key.expires is not None and key.expires < today:
            raise BundleError(
                f"SIGNATURE: found a signature by {key.file}, which expired on {key.expires}, "
                f"expected a key valid on {today}: get a bundle signed with a newer key, or set "
                "the clock",
                "key-expired",
            )
        return key


def need_cryptography() -> None:
    """EchoError unless the one library that signatures need is there."""
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise EchoError(
            "signatures: cryptography is not installed here: pip install 'echo-edge[sign]'"
        ) from error


def generate(name: Path, expires: date | None) -> PublicKey:
    """Write a new P-256 pair, `name`.key (for its owner only) and `name`.pub; the public one.

    `$ECHO_EDGE_KEY_PASSWORD`, if set, encrypts the private key. OutputError if either exists.
    """
    need_cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    for path in (Path(f"{name}.key"), Path(f"{name}.pub")):
        if path.exists():
            raise OutputError(f"{path}: exists already, expected a new name: choose another")
    private = ec.generate_private_key(ec.SECP256R1())
    password = _password()
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption(),
    )
    public = _public_pem(private.public_key())
    head = f"expires: {expires}\n".encode() if expires else b""
    write_new(f"{name}.key", pem, 0o600)
    write_new(f"{name}.pub", head + public, 0o644)
    return PublicKey(f"{name}.pub", _key_id(public), expires, private.public_key())


def read_private_key(path: Path) -> "ec.EllipticCurvePrivateKey":
    """The private key in a PEM file. EchoError if there is none, or its password is another."""
    need_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    password = _password()
    try:
        key = serialization.load_pem_private_key(_read(path), password)
    except TypeError as error:  # a password where none is needed, or the other way round
        cure = "unset" if password else "set"
        raise EchoError(f"{path}: {error}: {cure} $ECHO_EDGE_KEY_PASSWORD") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise EchoError(
            f"{path}: found no private key that opens with this password, expected PEM: "
            "make one with echo-edge bundle keygen"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        raise _other_kind(path)
    return key


def key_id(key: "ec.EllipticCurvePublicKey") -> str:
    """64 hexadecimal digits."""
    return _key_id(_public_pem(key))


def trusted_keys(folder: Path) -> TrustedKeys:
    """The keys (`*.pub`) and the revocations in a folder; none if the folder does not exist.

    EchoError for any file that cannot be read as what it is: a mistyped revocation must not be
    silently ignored.
    """
    try:
        names = sorted(path for path in folder.iterdir() if path.suffix == ".pub")
        listed = _read(folder / REVOKED) if (folder / REVOKED).exists() else b""
    except FileNotFoundError:
        return TrustedKeys(folder, {}, frozenset())
    except OSError as error:
        raise EchoError(f"{folder}: cannot be read ({error.strerror}): check the path") from error
    keys: dict[str, PublicKey] = {}
    for key in map(_read_public_key, names):
        if other := keys.get(key.key_id):
            raise EchoError(
                f"{folder / key.file}: found the same key as in {other.file}, expected each once, "
                "lest they expire on different days: remove one"
            )
        keys[key.key_id] = key
    lines = [line.split("#")[0].strip() for line in listed.decode("utf-8", "replace").splitlines()]
    revoked = frozenset(line for line in lines if line)
    for line in revoked:
        if not re.fullmatch(r"[0-9a-f]{64}", line):
            raise EchoError(
                f"{folder / REVOKED}: found {line[:70]!r}, expected key ids of 64 hexadecimal "
                "digits, one per line: correct it, nothing is trusted until then"
            )
    return TrustedKeys(folder, keys, revoked)


def _read_public_key(path: Path) -> PublicKey:
    need_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    text = _read(path)
    try:
        found = serialization.load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise EchoError(
            f"{path}: found no public key, expected PEM: copy it again or remove it"
        ) from error
    if not isinstance(found, ec.EllipticCurvePublicKey) or found.curve.name not in CURVES:
        raise _other_kind(path)
    return PublicKey(path.name, key_id(found), _expiry(text, path), found)


def _expiry(text: bytes, path: Path) -> date | None:
    """The date in a line `expires: YYYY-MM-DD` above the PEM block, where PEM allows text."""
    found = _EXPIRES.findall(text)
    if not found and b"expires" not in text.lower():
        return None
    try:
        (only,) = found
        return date.fromisoformat(only.decode("ascii"))
    except ValueError as error:
        raise EchoError(
            f"{path}: found no date after expires, expected one line such as "
            "expires: 2027-12-31: correct it"
        ) from error


def _other_kind(path: Path) -> EchoError:
    return EchoError(
        f"{path}: found another kind of key, expected an elliptic-curve key on P-256, P-384 or "
        "P-521: make one with echo-edge bundle keygen"
    )


def _public_pem(key: "ec.EllipticCurvePublicKey") -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _key_id(public_pem: bytes) -> str:
    return hashlib.sha256(public_pem).hexdigest()


def _password() -> bytes | None:
    return os.environ.get("ECHO_EDGE_KEY_PASSWORD", "").encode() or None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_KEY_BYTES)
    except OSError as error:
        raise EchoError(f"{path}: cannot be read ({error.strerror}): check the path") from error
