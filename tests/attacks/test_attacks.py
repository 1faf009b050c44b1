"""One attack for each rule of docs/reference/bundle.md, as `echo-edge bundle install` meets it.

Unless its name says otherwise the attacker has a trusted key: the signature is good and only the
rule itself can stop the bundle. docs/reference/attacks.md is this table with the messages; after a
change write it anew with `ECHO_EDGE_WRITE_DOCS=1 python -m pytest tests/attacks/test_attacks.py`.
"""

import io
import json
import os
import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from echo_edge import cli
from echo_edge.deploy.install import install
from echo_edge.errors import BundleError

DOCS = Path(__file__).parents[2] / "docs" / "reference"


@dataclass
class Scene:
    """What an attack can use; it returns what the device is told to install."""

    bundle: Path
    owner: Any
    make_owner: Any
    pack: Callable[..., Path]
    tmp: Path
    trust: Path

    def signed(self, **changes: Any) -> Path:
        return self.owner.sign(self.bundle, **{"build": 6} | changes)

    def edited(self, edit: Callable[[dict[str, Any]], object]) -> Path:
        """The manifest after `edit`, signed."""
        manifest = json.loads((self.bundle / "manifest.json").read_bytes())
        manifest["build"] = 6
        edit(manifest)
        (self.bundle / "manifest.json").write_text(json.dumps(manifest))
        return self.owner.sign(self.bundle)

    def manifest_bytes(self, text: bytes) -> Path:
        """Any bytes as the manifest, signed."""
        (self.bundle / "manifest.json").write_bytes(text)
        paths = [path for path in self.bundle.rglob("*") if path.is_file()]
        content = {p.relative_to(self.bundle).as_posix(): p.read_bytes() for p in paths}
        return self.owner.sign_files(self.bundle, content)

    def tar(self, edit: Callable[[list[Any]], list[Any]], **options: Any) -> Path:
        return self.pack(self.signed(), self.tmp / "evil.tar", edit, **options)

    def with_entry(self, name: str, kind: bytes = tarfile.REGTYPE, **fields: Any) -> Path:
        """A tar with one entry more."""
        info = tarfile.TarInfo(name)
        info.type = kind
        for field, value in fields.items():
            setattr(info, field, value)
        return self.tar(lambda entries: [*entries, (info, b"")])


Attack = Callable[[Scene], Path]
ATTACKS: list[tuple[str, str, Attack]] = []
"""Rule, what the attacker does, and how."""


def attack(rule: str, what: str) -> Callable[[Attack], Attack]:
    def add(function: Attack) -> Attack:
        ATTACKS.append((rule, what, function))
        return function

    return add


def manifest_attack(rule: str, what: str, edit: Callable[[dict[str, Any]], object]) -> None:
    ATTACKS.append((rule, what, lambda scene: scene.edited(edit)))


def _set(*path: str | int, to: object) -> Callable[[dict[str, Any]], object]:
    def edit(manifest: Any) -> None:
        for key in path[:-1]:
            manifest = manifest[key]
        manifest[path[-1]] = to

    return edit


# The archive


@attack("folder", "nothing at the path")
def _(scene: Scene) -> Path:
    return scene.tmp / "nothing"


@attack("tar", "a compressed tar")
def _(scene: Scene) -> Path:
    path = scene.tmp / "evil.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(scene.signed(), ".")
    return path


@attack("tar", "a zip bomb")
def _(scene: Scene) -> Path:
    path = scene.tmp / "evil.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", bytes(64 << 20))
    return path


@attack("tar", "a tar that breaks off")
def _(scene: Scene) -> Path:
    path = scene.tar(lambda entries: entries)
    path.write_bytes(path.read_bytes()[:-12_000])
    return path


@attack("tar", "a tar bomb: an entry of 8 GiB in a file of 10 KiB")
def _(scene: Scene) -> Path:
    path = scene.tmp / "evil.tar"
    info = tarfile.TarInfo("encoder.null")
    info.size = (8 << 30) - 1
    path.write_bytes(info.tobuf() + bytes(9 * 1024))
    return path


@attack("tar", "an entry of negative size, on which Python's tarfile hung")
def _(scene: Scene) -> Path:
    info = tarfile.TarInfo("encoder.null")
    info.size = -1024
    path = scene.tmp / "evil.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    return path


@attack("tar-extended", "an extended header that moves a file elsewhere")
def _(scene: Scene) -> Path:
    info = tarfile.TarInfo("tokens2.txt")
    info.pax_headers = {"path": "../../etc/passwd"}
    return scene.tar(lambda entries: [*entries, (info, b"")], tar_format=tarfile.PAX_FORMAT)


@attack("files-count", "ten thousand empty entries")
def _(scene: Scene) -> Path:
    extra = [(tarfile.TarInfo(f"f{n}"), b"") for n in range(10_000)]
    return scene.tar(lambda entries: entries + extra)


@attack("files-size", "entries of more than 2 GiB, holes all of it")
def _(scene: Scene) -> Path:
    path = scene.tmp / "evil.tar"
    with path.open("wb") as file:
        for name in ("a.null", "b.null"):
            info = tarfile.TarInfo(name)
            info.size = (1 << 30) + (2 << 20)
            file.write(info.tobuf())
            file.seek(info.size, os.SEEK_CUR)
        file.write(bytes(1024))
    return path


ARCHIVE_NAMES = [
    ("file-name", "a path that escapes", "../evil"),
    ("file-name", "a path that escapes from inside", "selftest/../../evil"),
    ("file-name", "an absolute path", "/etc/cron.d/evil"),
    ("file-name", "a hidden file", ".bashrc"),
    ("file-name", "a deep path", "a/b/c"),
    ("file-name", "a name with a line break", "a\nb"),
    ("file-name", "a name of letters that look like others", "en\u0441oder.null"),
    ("file-kind", "a name too long for a header", "a" * 150),
    ("name-twice", "a name twice", "encoder.null"),
    ("case", "a name that differs in case only", "Encoder.null"),
    ("file-extra", "a file that nobody lists", "extra.txt"),
]
for _rule, _what, _file in ARCHIVE_NAMES:
    ATTACKS.append((_rule, f"tar: {_what}", lambda scene, name=_file: scene.with_entry(name)))
for _what, _kind, _fields in [
    ("a symbolic link", tarfile.SYMTYPE, {"linkname": "/etc/passwd"}),
    ("a hard link", tarfile.LNKTYPE, {"linkname": "encoder.null"}),
    ("a character device", tarfile.CHRTYPE, {}),
    ("a block device", tarfile.BLKTYPE, {}),
    ("a pipe", tarfile.FIFOTYPE, {}),
    ("a sparse file", tarfile.GNUTYPE_SPARSE, {}),
]:
    ATTACKS.append(
        (
            "file-kind",
            f"tar: {_what}",
            lambda scene, kind=_kind, fields=_fields: scene.with_entry("evil", kind, **fields),
        )
    )


# The folder


@attack("file-kind", "folder: a symbolic link")
def _(scene: Scene) -> Path:
    (scene.signed() / "tokens.txt").unlink()
    (scene.bundle / "tokens.txt").symlink_to("/etc/passwd")
    return scene.bundle


@attack("file-kind", "folder: a pipe that would block for ever")
def _(scene: Scene) -> Path:
    (scene.signed() / "tokens.txt").unlink()
    os.mkfifo(scene.bundle / "tokens.txt")
    return scene.bundle


@attack("file-kind", "folder: a link to a folder")
def _(scene: Scene) -> Path:
    scene.signed()
    (scene.bundle / "selftest").rename(scene.tmp / "elsewhere")
    (scene.bundle / "selftest").symlink_to(scene.tmp / "elsewhere")
    return scene.bundle


@attack("file-extra", "folder: a file that nobody lists")
def _(scene: Scene) -> Path:
    (scene.signed() / "extra.txt").write_text("")
    return scene.bundle


@attack("file-missing", "a file less")
def _(scene: Scene) -> Path:
    (scene.signed() / "encoder.null").unlink()
    return scene.bundle


@attack("file-size", "a truncated file")
def _(scene: Scene) -> Path:
    scene.signed()
    data = (scene.bundle / "encoder.null").read_bytes()
    (scene.bundle / "encoder.null").write_bytes(data[:-1])
    return scene.bundle


@attack("file-hash", "a flipped bit")
def _(scene: Scene) -> Path:
    data = bytearray((scene.signed() / "encoder.null").read_bytes())
    data[3] ^= 1
    (scene.bundle / "encoder.null").write_bytes(data)
    return scene.bundle


@attack("file-hash", "two graphs swapped")
def _(scene: Scene) -> Path:
    first, second = scene.signed() / "encoder.null", scene.bundle / "frontend.null"
    one, other = first.read_bytes(), second.read_bytes()
    (scene.bundle / "frontend.null").write_bytes(one.ljust(len(other)))
    first.write_bytes(other[: len(one)])
    return scene.bundle


# The signature


@attack("unsigned", "no signature, no trusted key")
def _(scene: Scene) -> Path:
    (scene.signed() / "SIGNATURE").unlink()
    return scene.bundle


@attack("key-foreign", "a stranger's key")
def _(scene: Scene) -> Path:
    scene.owner = scene.make_owner()
    return scene.signed()


@attack("signature", "a stranger's signature under a trusted key's name")
def _(scene: Scene) -> Path:
    ours = json.loads((scene.signed() / "SIGNATURE").read_bytes())
    scene.owner = scene.make_owner()
    theirs = json.loads((scene.signed() / "SIGNATURE").read_bytes())
    theirs["verificationMaterial"] = ours["verificationMaterial"]
    (scene.bundle / "SIGNATURE").write_text(json.dumps(theirs))
    return scene.bundle


@attack("key-expired", "an expired key")
def _(scene: Scene) -> Path:
    scene.owner = scene.make_owner(date(2020, 1, 1))
    shutil.copy(scene.owner.trust / "owner.pub", scene.trust / "old.pub")
    return scene.signed()


@attack("key-revoked", "a revoked key")
def _(scene: Scene) -> Path:
    signature = json.loads((scene.signed() / "SIGNATURE").read_bytes())
    key_id = signature["verificationMaterial"]["publicKey"]["hint"]
    (scene.trust / "revoked").write_text(f"# lost with a laptop\n{key_id}\n")
    return scene.bundle


@attack("signature-content", "the signature of another bundle")
def _(scene: Scene) -> Path:
    other = (scene.signed(build=7) / "SIGNATURE").read_bytes()
    (scene.signed() / "SIGNATURE").write_bytes(other)
    return scene.bundle


@attack("signature-content", "a manifest changed after signing, no trusted key")
def _(scene: Scene) -> Path:
    text = (scene.signed() / "manifest.json").read_bytes()
    (scene.bundle / "manifest.json").write_bytes(text.replace(b"float32", b"float64", 1))
    return scene.bundle


@attack("signature-names", "a file signed twice, with two hashes")
def _(scene: Scene) -> Path:
    def twice(statement: Any) -> None:
        resources = statement["predicate"]["resources"]
        resources.append(resources[0] | {"digest": "0" * 64})

    return _statement(scene, twice)


@attack("signature-root", "a list that is not the one of its own summary")
def _(scene: Scene) -> Path:
    return _statement(scene, lambda s: s["predicate"]["resources"].pop())


@attack("value", "a statement of another type, signed by a trusted key")
def _(scene: Scene) -> Path:
    return _statement(scene, lambda s: s.update(predicateType="https://slsa.dev/provenance/v1"))


@attack("value", "the envelope of another type of payload")
def _(scene: Scene) -> Path:
    text = (scene.signed() / "SIGNATURE").read_bytes()
    (scene.bundle / "SIGNATURE").write_bytes(text.replace(b"in-toto+json", b"other+json"))
    return scene.bundle


@attack("type", "a signature in base64 with stray bits")
def _(scene: Scene) -> Path:
    document = json.loads((scene.signed() / "SIGNATURE").read_bytes())
    document["dsseEnvelope"]["signatures"][0]["sig"] = "QR=="
    (scene.bundle / "SIGNATURE").write_text(json.dumps(document))
    return scene.bundle


@attack("key-unknown", "a certificate where only keys are known")
def _(scene: Scene) -> Path:
    document = json.loads((scene.signed() / "SIGNATURE").read_bytes())
    document["verificationMaterial"]["certificate"] = {"rawBytes": ""}
    (scene.bundle / "SIGNATURE").write_text(json.dumps(document))
    return scene.bundle


@attack("signature-size", "a huge SIGNATURE")
def _(scene: Scene) -> Path:
    (scene.signed() / "SIGNATURE").write_bytes(b" " * (300 << 10))
    return scene.bundle


@attack("json-depth", "a SIGNATURE nested without end")
def _(scene: Scene) -> Path:
    (scene.signed() / "SIGNATURE").write_bytes(b"[" * 200_000)
    return scene.bundle


def _statement(scene: Scene, edit: Callable[[Any], object]) -> Path:
    """The statement after `edit`, signed by the owner."""
    import base64

    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    from echo_edge.bundle.keys import read_private_key

    document = json.loads((scene.signed() / "SIGNATURE").read_bytes())
    envelope = document["dsseEnvelope"]
    statement = json.loads(base64.b64decode(envelope["payload"]))
    edit(statement)
    payload = json.dumps(statement).encode()
    kind = envelope["payloadType"]
    signed = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    signature = read_private_key(scene.owner.key).sign(signed, ec.ECDSA(hashes.SHA256()))
    envelope["payload"] = base64.b64encode(payload).decode()
    envelope["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    (scene.bundle / "SIGNATURE").write_text(json.dumps(document))
    return scene.bundle


# The manifest


@attack("manifest-size", "a huge manifest")
def _(scene: Scene) -> Path:
    return scene.manifest_bytes(b" " * ((1 << 20) + 1))


@attack("json-depth", "a manifest nested without end")
def _(scene: Scene) -> Path:
    return scene.manifest_bytes(b'{"a":' * 150_000)


@attack("json", "a manifest that is no JSON")
def _(scene: Scene) -> Path:
    return scene.manifest_bytes(b"hello")


@attack("json", "a number of 5000 digits")
def _(scene: Scene) -> Path:
    return scene.manifest_bytes(b'{"build": ' + b"1" * 5000 + b"}")


@attack("json-duplicate-key", "a key twice, for readers that differ")
def _(scene: Scene) -> Path:
    text = (scene.signed() / "manifest.json").read_bytes()
    return scene.manifest_bytes(text.replace(b"{", b'{"build": 9,', 1))


manifest_attack("schema", "a schema of the future", _set("schema", to="echo-edge.bundle/2"))
manifest_attack("key-unknown", "an unknown key", _set("post_install", to="rm -rf /"))
manifest_attack("key-missing", "a key less", lambda m: m.pop("boards"))
manifest_attack("type", "a wrong type", _set("build", to="6"))
manifest_attack("type", "true for a number", _set("streaming", "chunk_steps", to=True))
manifest_attack("number", "NaN", _set("decoding", "gap_s", to=float("nan")))
manifest_attack("number", "infinity", _set("metrics", "der", to=float("inf")))
manifest_attack("number", "an integer too large for a float", _set("parity", "x", to=10**400))
manifest_attack("value", "a build beyond 31 bits", _set("build", to=2**31))
manifest_attack("file-name", "a path that escapes", lambda m: m["files"].update({"../x": _FILE}))
manifest_attack("file-name", "an absolute path", lambda m: m["files"].update({"/etc/x": _FILE}))
manifest_attack(
    "case", "two names that differ in case", lambda m: m["files"].update(A=_FILE, a=_FILE)
)
manifest_attack(
    "files-count",
    "a list without end",
    lambda m: m["files"].update({f"f{n}": _FILE for n in range(201)}),
)
manifest_attack(
    "files-size",
    "a list of three files of 1 GiB",
    lambda m: m["files"].update({f"f{n}": _FILE | {"size_bytes": 2**30} for n in range(3)}),
)
manifest_attack(
    "unlisted", "a manifest that lists itself", lambda m: m["files"].update({"SIGNATURE": _FILE})
)
manifest_attack(
    "unlisted-use", "a graph in a file that is not listed", _set("graphs", "asr", "file", to="x")
)
manifest_attack("graphs", "a graph less", lambda m: m["graphs"].pop("asr"))
manifest_attack("chunk", "chunk sizes that contradict", _set("audio", "chunk_samples", to=7))
manifest_attack("hop", "a hop longer than its window", _set("diarization", "hop_steps", to=9))
manifest_attack(
    "powerset", "classes without silence", _set("diarization", "powerset", to=[[0], []])
)
manifest_attack(
    "shape", "a tensor of 80 TB", _set("graphs", "asr", "outputs", 0, "shape", to=[10**7, 2])
)
manifest_attack(
    "tensor-names",
    "two inputs of one name",
    _set("graphs", "separation", "inputs", 0, "name", to="voices"),
)
manifest_attack(
    "state-names", "state from nowhere", _set("graphs", "asr", "state", to={"asr_state": "x"})
)
manifest_attack(
    "state-shape",
    "state that changes its shape",
    _set("graphs", "asr", "outputs", 1, "shape", to=[1]),
)
manifest_attack("runtime", "a bundle for a later version", _set("minimum_runtime", to="99.0.0"))
manifest_attack("board", "a bundle for another board", _set("boards", to=["Commodore 64"]))
manifest_attack("downgrade", "an older build, once released and signed", _set("build", to=4))
manifest_attack("key-missing", "thresholds left out", _set("decoding", to={}))
manifest_attack("value", "a beam as wide as memory", _set("decoding", "beam_width", to=10**9))
manifest_attack(
    "graph-tensors",
    "a graph without the input that it needs",
    _set("graphs", "frontend", "inputs", 0, "name", to="audio"),
)

_FILE = {"sha256": "0" * 64, "size_bytes": 0}


@attack("state-size", "states that together do not fit")
def _(scene: Scene) -> Path:
    def grow(manifest: Any) -> None:
        graph = manifest["graphs"]["asr"]
        for n in range(3):
            tensor = {"shape": [4_000_000], "dtype": "float32"}
            graph["inputs"].append({"name": f"s{n}", **tensor})
            graph["outputs"].append({"name": f"t{n}", **tensor})
            graph["state"][f"s{n}"] = f"t{n}"

    return scene.edited(grow)


# Listed files


@attack("tokens", "tokens that are no text")
def _(scene: Scene) -> Path:
    (scene.bundle / "tokens.txt").write_bytes(b"<blank>\n\xff\n")
    return scene.signed()


@attack("tokens-count", "a token less than outputs")
def _(scene: Scene) -> Path:
    (scene.bundle / "tokens.txt").write_text("<blank>\n<space>\na\nb\n")
    return scene.signed()


@attack("archive", "a language model that is a bomb")
def _(scene: Scene) -> Path:
    with zipfile.ZipFile(scene.bundle / "language.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("words.npy", bytes(65 << 20))
    return _with_language_model(scene)


@attack("archive", "a language model that is no archive")
def _(scene: Scene) -> Path:
    (scene.bundle / "language.npz").write_bytes(b"PK\x05\x06")
    return _with_language_model(scene)


@attack("language", "a language model that holds a pickle")
def _(scene: Scene) -> Path:
    import numpy as np

    names = ("phones", "sounds", "words", "unigram", "backoff", "rows", "columns", "bigram")
    arrays = dict.fromkeys(names, np.array([{}], object))
    np.savez(scene.bundle / "language.npz", **arrays)
    return _with_language_model(scene)


@attack("phones-count", "a language model of other sounds")
def _(scene: Scene) -> Path:
    import numpy as np

    from tests.runtime.bundle.test_language import arrays

    np.savez(scene.bundle / "language.npz", **arrays(["a", "b"]))
    return _with_language_model(scene)


def _with_language_model(scene: Scene) -> Path:
    def add(manifest: Any) -> None:
        manifest["files"]["language.npz"] = _FILE
        manifest["asr"]["language_model"] = "language.npz"
        (heard, *_) = manifest["graphs"]["asr"]["outputs"]
        manifest["graphs"]["asr"]["outputs"].append(heard | {"name": "phones"})

    return scene.edited(add)


@attack("selftest", "self-test: other results than on this device")
def _(scene: Scene) -> Path:
    expected = json.loads((scene.bundle / "selftest/expected.json").read_bytes())
    expected["asr"]["least_db"] = 151.0
    (scene.bundle / "selftest/expected.json").write_text(json.dumps(expected))
    return scene.signed()


for _what, _change in [
    ("names a file outside", lambda e: e["asr"].update(file="../../../../etc/passwd")),
    ("names a file that is not listed", lambda e: e["asr"].update(file="other.npy")),
    ("names an unknown output", lambda e: e.update(other=e["asr"])),
    ("is empty", lambda e: e.clear()),
]:

    def _selftest(scene: Scene, change: Callable[[Any], object] = _change) -> Path:
        expected = json.loads((scene.bundle / "selftest/expected.json").read_bytes())
        change(expected)
        (scene.bundle / "selftest/expected.json").write_text(json.dumps(expected))
        return scene.signed()

    _rule = "file-name" if "outside" in _what else "selftest-files"
    ATTACKS.append((_rule, f"self-test: it {_what}", _selftest))


@attack("selftest-files", "self-test: an array whose header asks for 8 GB")
def _(scene: Scene) -> Path:
    import numpy as np

    data = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**9,)}
    np.lib.format.write_array_header_1_0(data, header)
    (scene.bundle / "selftest/asr.npy").write_bytes(data.getvalue())
    return scene.signed()


@attack("selftest-files", "self-test: a clip longer than a minute")
def _(scene: Scene) -> Path:
    import wave

    with wave.open(str(scene.bundle / "selftest/audio.wav"), "wb") as clip:
        clip.setparams((1, 2, 16000, 0, "NONE", ""))
        clip.writeframes(bytes(2 * 61 * 16000))
    return scene.signed()


@attack("selftest-files", "self-test: a clip that is no audio")
def _(scene: Scene) -> Path:
    (scene.bundle / "selftest/audio.wav").write_bytes(b"RIFF\xff\xff\xff\xffWAVE")
    return scene.signed()


ON_THE_ENGINE = {
    "self-test: other results than on this device",
    "self-test: it names an unknown output",
}
"""What only the graphs' results can tell; all else is refused before an engine is called."""


@pytest.fixture
def scene(
    signed_bundle: Path,
    owner: Any,
    make_owner: Any,
    pack: Callable[..., Path],
    tmp_path: Path,
    device: Any,
) -> Scene:
    return Scene(signed_bundle, owner, make_owner, pack, tmp_path, device.trust)


@pytest.mark.parametrize(
    ("rule", "what", "attack"), ATTACKS, ids=[f"{rule}: {what}" for rule, what, _ in ATTACKS]
)
def test_is_refused(
    scene: Scene,
    device: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rule: str,
    what: str,
    attack: Attack,
) -> None:
    source, before = attack(scene), device.tree()
    opened: list[str] = []
    if what not in ON_THE_ENGINE:
        monkeypatch.setattr("echo_edge.session.open_engine", lambda *_: opened.append("engine"))

    with pytest.raises(BundleError) as caught:
        install(source, device.root, device.policy())
    options = [f"--root={device.root}", f"--keys={device.trust}"]
    code = cli.main(["bundle", "install", str(source), *options])

    captured = capsys.readouterr()
    message = str(caught.value)
    assert (caught.value.rule, code, opened) == (rule, 3, [])
    assert (captured.out, captured.err) == ("", f"echo-edge: {message}\n")
    assert message.isprintable()
    assert device.tree() == before
    assert sorted(path.name for path in device.root.iterdir()) == ["a", "current", "lock"]
    MESSAGES[rule, what] = _row(rule, what, message)


MESSAGES: dict[tuple[str, str], str] = {}


def _row(rule: str, what: str, message: str) -> str:
    """One line of docs/reference/attacks.md, without what changes from run to run."""
    message = re.sub(r"/\S*/(trust|nothing)", r"\1", message)
    message = re.sub(r"\b[0-9a-f]{64}\b", "HASH", message)
    said_by_python = (
        r"(no JSON in UTF-8|no .npz file|no WAV file|not UTF-8) \((?:[^()]|\([^()]*\))*\)"
    )
    message = re.sub(said_by_python, r"\1 (...)", message)
    message = re.sub(r"\bkey [0-9a-f]{16}\b", "key ID", message)
    message = re.sub(r"\b[0-9a-f]{16}\b", "ID", message)
    message = re.sub(r"valid on \d{4}-\d\d-\d\d", "valid on TODAY", message)
    message = re.sub(r"expected \S+ or .*, this board", "expected THIS BOARD", message)
    message = re.sub(
        r"found \d+ bytes, expected at least \d+", "found N bytes, expected more", message
    )
    return f"| {what} | `{rule}` | `{message.replace('|', '/')}` |"


def _header() -> str:
    return (
        "# Attacks and what a device says\n\n"
        "Written by `tests/attacks/test_attacks.py`, which makes each of these bundles, tries to "
        "install it on a\ndevice where another runs, and requires: exit code 3, this one line, no "
        "engine called, not a byte\nchanged. Where nothing else is said the attacker holds a "
        "trusted key, so the signature is good. Only\nthe last comparison of the self-test needs "
        "the engine; it comes before the switch.\n\n"
        "| the attacker sends | rule | message |\n|---|---|---|\n"
    )


def test_the_list_is_in_the_docs() -> None:
    """Runs after the attacks, and only says something if all of them ran."""
    if len(MESSAGES) < len(ATTACKS):
        pytest.skip("not all attacks ran")
    text = _header() + "\n".join(MESSAGES[rule, what] for rule, what, _ in ATTACKS) + "\n"
    if os.environ.get("ECHO_EDGE_WRITE_DOCS"):
        (DOCS / "attacks.md").write_text(text, encoding="utf-8")

    assert (DOCS / "attacks.md").read_text(encoding="utf-8") == text


def test_every_rule_is_attacked() -> None:
    """Each rule in docs/reference/bundle.md has its attack here, no attack a rule that is not."""
    _, _, text = (DOCS / "bundle.md").read_text(encoding="utf-8").partition("\n## Rules\n")
    names = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    rules = {rule for cell in names for rule in re.findall(r"`([a-z-]+)`", cell)}

    assert rules - ELSEWHERE == {rule for rule, _, _ in ATTACKS}


ELSEWHERE = {
    "bundle", "readable", "changed",
    *(f"{engine}{rule}" for engine in ("onnx", "tflite") for rule in ("", "-external", "-tensors")),
}  # fmt: skip
"""Rules that need no bundle (tests/runtime/test_bundle.py), a real one (test_onnx_file.py,
test_tflite_file.py) or good timing (test_install.py)."""
