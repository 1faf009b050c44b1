"""The SIGNATURE of a bundle, in the form of OpenSSF Model Signing v1 with a key.

A Sigstore bundle (JSON) holds a DSSE envelope, which holds an in-toto statement, which lists the
SHA-256 of every file. docs/reference/bundle.md is the specification. Knows nothing of what the
files are: `verify.py` compares the list with the folder.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from echo_edge.bundle.keys import PublicKey, TrustedKeys, key_id, need_cryptography
from echo_edge.bundle.manifest import MAX_FILES
from echo_edge.bundle.types import FileName, Sha256, as_bundle_error, refusal
from echo_edge.errors import BundleError
from echo_edge.strict_json import Rule, convert, one_of, read_json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

MAX_SIGNATURE_BYTES = 256 << 10
_FILE = "SIGNATURE: "
_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_PREDICATE_TYPE = "https://model_signing/signature/v1.0"


def _just(n_items: int) -> Rule:
    return Rule(f"a list of {n_items}", lambda items: len(items) == n_items)


# The names of these fields are the standard's; what it leaves open is fixed to what its own tool
# writes with a key. Anything else (certificates, transparency logs) is refused as an unknown key.
@dataclass(frozen=True)
class _KeyHint:
    hint: Sha256


@dataclass(frozen=True)
class _Material:
    publicKey: _KeyHint  # noqa: N815
    tlogEntries: Annotated[tuple[str, ...], _just(0)]  # noqa: N815


@dataclass(frozen=True)
class _Signature:
    sig: bytes
    keyid: Annotated[str, one_of("")]


@dataclass(frozen=True)
class _Envelope:
    payload: bytes
    payloadType: Annotated[str, one_of(_PAYLOAD_TYPE)]  # noqa: N815
    signatures: Annotated[tuple[_Signature, ...], _just(1)]


@dataclass(frozen=True)
class _Sigstore:
    mediaType: Annotated[str, one_of(_MEDIA_TYPE)]  # noqa: N815
    verificationMaterial: _Material  # noqa: N815
    dsseEnvelope: _Envelope  # noqa: N815


@dataclass(frozen=True)
class _Digest:
    sha256: Sha256


@dataclass(frozen=True)
class _Subject:
    name: str
    digest: _Digest


@dataclass(frozen=True)
class _Resource:
    name: FileName
    algorithm: Annotated[str, one_of("sha256")]
    digest: Sha256


@dataclass(frozen=True)
class _Serialization:
    method: Annotated[str, one_of("files")]
    hash_type: Annotated[str, one_of("sha256")]
    allow_symlinks: Annotated[bool, one_of(False)]
    ignore_paths: tuple[str, ...]
    """Files that the signer left out; of no effect here, where every file must be signed."""


@dataclass(frozen=True)
class _Predicate:
    serialization: _Serialization
    resources: tuple[_Resource, ...]


@dataclass(frozen=True)
class _Statement:
    _type: Annotated[str, one_of(_STATEMENT_TYPE)]
    subject: Annotated[tuple[_Subject, ...], _just(1)]
    predicateType: Annotated[str, one_of(_PREDICATE_TYPE)]  # noqa: N815
    predicate: _Predicate


@dataclass(frozen=True)
class Signed:
    """The content of a good signature."""

    key: PublicKey
    sha256: dict[str, str]
    """File name -> hash, of every file but SIGNATURE."""


def sign(name: str, sha256: Mapping[str, str], key: "ec.EllipticCurvePrivateKey") -> bytes:
    """The bytes of the SIGNATURE of a bundle `name` with these files (name -> hash).

    The same bytes for the same input and key: ECDSA is used in its deterministic form (RFC 6979).
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    resources = [
        {"name": file, "algorithm": "sha256", "digest": sha256[file]} for file in sorted(sha256)
    ]
    serialization = {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": ["SIGNATURE"],
    }
    statement = {
        "_type": _STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": _root(sha256[f] for f in sorted(sha256))}}],
        "predicateType": _PREDICATE_TYPE,
        "predicate": {"serialization": serialization, "resources": resources},
    }
    payload = json.dumps(statement, separators=(",", ":")).encode()
    payload += b" " * (-len(payload) % 3)
    # Base64 of a length that 3 does not divide has spare bits, in which a flipped bit would not be
    # noticed by readers less strict than this one. A DER signature has 70 to 72 bytes as chance
    # will have it: three more blanks in the payload make another one.
    while True:
        algorithm = ec.ECDSA(_hash_of(key), deterministic_signing=True)
        signature = key.sign(_pae(payload), algorithm)
        if len(signature) % 3 == 0:
            break
        payload += b"   "
    document = {
        "mediaType": _MEDIA_TYPE,
        "verificationMaterial": {
            "publicKey": {"hint": key_id(key.public_key())},
            "tlogEntries": [],
        },
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": _PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }
    return json.dumps(document, separators=(",", ":")).encode()


def verify(text: bytes, trusted: TrustedKeys) -> Signed:
    """The content of a SIGNATURE, if one of the trusted keys has signed it.

    Raises BundleError, or EchoError if cryptography is not installed. Nothing inside the envelope
    is read before the key has vouched for it.
    """
    need_cryptography()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec

    if len(text) > MAX_SIGNATURE_BYTES:
        expected = f"at most {MAX_SIGNATURE_BYTES}"
        raise refusal(_FILE, f"more than {MAX_SIGNATURE_BYTES} bytes", expected, "signature-size")
    with as_bundle_error():
        sigstore: _Sigstore = convert(read_json(text, "SIGNATURE"), _Sigstore, _FILE)
    envelope = sigstore.dsseEnvelope
    key = trusted.find(sigstore.verificationMaterial.publicKey.hint)
    try:
        algorithm = ec.ECDSA(_hash_of(key.ec_key))
        key.ec_key.verify(envelope.signatures[0].sig, _pae(envelope.payload), algorithm)
    except InvalidSignature as error:
        raise BundleError(
            f"SIGNATURE: found a signature that {key.file} did not make, expected its own: the "
            "bundle is damaged or forged, get it again",
            "signature",
        ) from error
    return Signed(key, read_statement(envelope.payload))


def read_statement(payload: bytes) -> dict[str, str]:
    """File name -> hash, as the bytes of a statement say. Raises BundleError."""
    with as_bundle_error():
        document = read_json(payload, "SIGNATURE: payload")
        statement: _Statement = convert(document, _Statement, f"{_FILE}payload")
    resources = statement.predicate.resources
    where = f"{_FILE}payload.predicate.resources"
    if len(resources) > MAX_FILES + 1:
        raise refusal(where, f"{len(resources)} files", f"at most {MAX_FILES + 1}", "files-count")
    table = {resource.name: resource.digest for resource in resources}
    if len(table) < len(resources):
        raise refusal(where, "a file twice", "each file once", "signature-names")
    root, digest = _root(r.digest for r in resources), statement.subject[0].digest.sha256
    if root != digest:
        raise refusal(f"{_FILE}payload.subject[0].digest", digest[:16], root[:16], "signature-root")
    return table


def _root(digests: Iterable[str]) -> str:
    """The hash over all hashes, in the order of the list."""
    return hashlib.sha256(b"".join(map(bytes.fromhex, digests))).hexdigest()


def _pae(payload: bytes) -> bytes:
    """The bytes that are signed: DSSE's pre-authentication encoding of the payload and its type."""
    head = f"DSSEv1 {len(_PAYLOAD_TYPE)} {_PAYLOAD_TYPE} {len(payload)} "
    return head.encode() + payload


def _hash_of(key: "ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey") -> "HashAlgorithm":
    """The hash that goes with the curve, as Sigstore pairs them."""
    from cryptography.hazmat.primitives import hashes

    return {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}[key.curve.key_size]
