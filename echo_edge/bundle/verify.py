"""Opening a bundle: everything its manifest promises is verified before an engine sees a byte.

docs/reference/bundle.md is the specification. Of the graphs it knows what their files declare, of
engines nothing.
"""

import hashlib
import os
import re
import stat
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from echo_edge.bundle.language_model import LanguageModel, load_language_model
from echo_edge.bundle.manifest import MAX_MANIFEST_BYTES, UNLISTED_FILES, FileSpec, Manifest, parse
from echo_edge.bundle.onnx_file import check_onnx
from echo_edge.bundle.tflite_file import check_tflite
from echo_edge.bundle.tokens import MAX_TOKENS_BYTES, read_subwords, read_tokens
from echo_edge.errors import BundleError

if TYPE_CHECKING:  # needed for signatures only, and slow to import
    from echo_edge.bundle.keys import TrustedKeys

_HASH_BLOCK_BYTES = 1 << 20
_MAX_UNPACKED_BYTES = 64 << 20
_RENEW = "the file is damaged or was changed: copy or export the bundle again"

_FORMATS = {"onnx": check_onnx, "tflite": check_tflite}
"""Formats that can make an engine open other files, or that declare tensors, and their readers."""


@dataclass(frozen=True)
class Bundle:
    """A verified bundle."""

    path: Path
    """The folder, links resolved, so that a switch to another slot does not change it."""
    manifest: Manifest
    manifest_sha256: str
    tokens: tuple[str, ...]
    """The text of each output of the asr graph; `tokens[0]` is `<blank>`, the space is " "."""
    language: LanguageModel | None
    signer: str | None = None
    """File name of the trusted key that signed it, if that was asked for."""
    subwords: tuple[str, ...] = ()
    """The text of each output of the second pass of words, a space where a word begins."""

    def graph_path(self, name: str) -> Path:
        """Path of the graph of that name; KeyError if the manifest has no such name."""
        return self.path / self.manifest.graphs[name].file

    @property
    def sha256(self) -> str:
        """Identity of the whole bundle: the hash of manifest.json, which holds all the others."""
        return self.manifest_sha256

    @property
    def size_bytes(self) -> int:
        """Bytes of all listed files together."""
        return sum(spec.size_bytes for spec in self.manifest.files.values())


def open_bundle(path: str | PathLike[str], trusted: "TrustedKeys | None" = None) -> Bundle:
    """Return the bundle in the folder `path` after verifying it.

    With `trusted` keys one of them must have signed it. Raises BundleError, naming the file, for
    anything that docs/reference/bundle.md does not allow.
    """
    try:
        if not Path(path).is_dir():
            raise BundleError(
                f"{path}: found no folder, expected a bundle: check the path", "folder"
            )
        folder = Path(path).resolve()
        manifest, text, signer = read_manifest(lambda *which: _read(folder, *which), trusted)
        _check_listing(folder, {*manifest.files, *UNLISTED_FILES})
        for name, spec in sorted(manifest.files.items()):
            _check_file(folder, name, spec)
        text_of_tokens = _read(folder, manifest.asr.tokens, MAX_TOKENS_BYTES + 1)
        tokens = read_tokens(text_of_tokens, manifest)
        if check_graph := _FORMATS.get(manifest.engine.name):
            for graph in manifest.graphs.values():
                check_graph(folder / graph.file, graph.file, graph)
        subwords: tuple[str, ...] = ()
        if (second := manifest.asr.second_pass) is not None:
            text_of_subwords = _read(folder, second.subwords, MAX_TOKENS_BYTES + 1)
            subwords = read_subwords(text_of_subwords, manifest)
        language = None
        if spelling := manifest.asr.language_model:
            _check_archive(folder / spelling, spelling)
            language = load_language_model(folder / spelling)
            _check_phones(language, manifest)
    except OSError as error:
        raise BundleError(
            f"{path}: cannot be read ({error.strerror}): check its permissions", "readable"
        ) from error
    sha256 = hashlib.sha256(text).hexdigest()
    return Bundle(folder, manifest, sha256, tokens, language, signer, subwords)


def read_manifest(
    read: Callable[[str, int], bytes], trusted: "TrustedKeys | None"
) -> tuple[Manifest, bytes, str | None]:
    """The manifest, its bytes and the key that signed them, before any other file is looked at.

    `read(name, size_bytes)` gives at most so many bytes of a file of the bundle, or raises
    BundleError if that is not there. Without `trusted` keys the signature is not looked at.
    """
    signed = None
    if trusted is not None:
        from echo_edge.bundle.signature import MAX_SIGNATURE_BYTES, verify

        try:
            text = read("SIGNATURE", MAX_SIGNATURE_BYTES + 1)
        except BundleError as error:
            raise (_unsigned(trusted) if error.rule == "file-missing" else error) from None
        signed = verify(text, trusted)
    text = read("manifest.json", MAX_MANIFEST_BYTES + 1)
    if signed is not None:  # before it is parsed: of a forged one not even the syntax matters
        _check_signed("manifest.json", hashlib.sha256(text).hexdigest(), signed.sha256)
    manifest = parse(text)
    _check_runtime(manifest.minimum_runtime)
    if signed is not None:
        for name in sorted(manifest.files.keys() | signed.sha256.keys() - {"manifest.json"}):
            spec = manifest.files.get(name)
            _check_signed(name, spec.sha256 if spec else "no such file", signed.sha256)
    return manifest, text, signed.key.file if signed else None


def _unsigned(trusted: "TrustedKeys") -> BundleError:
    return BundleError(
        f"SIGNATURE: found nothing, expected the signature of a key in {trusted.folder}: get a "
        "signed bundle, or say --allow-unsigned",
        "unsigned",
    )


def _check_signed(name: str, found: str, signed: Mapping[str, str]) -> None:
    expected = signed.get(name, "no such file")
    if found != expected:
        raise BundleError(
            f"{name}: found {found}, expected {expected}, what SIGNATURE says: the bundle was "
            "changed after it was signed, get it again",
            "signature-content",
        )


def _open(folder: Path, name: str) -> BinaryIO:
    _check_regular(folder, name)
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.fdopen(os.open(folder / name, flags), "rb")


def _check_regular(folder: Path, name: str) -> None:
    """Refuse a link, a folder, a pipe or nothing at all."""
    try:
        mode = (folder / name).lstat().st_mode
    except FileNotFoundError:
        raise BundleError(
            f"{name}: found nothing, expected a file: {_RENEW}", "file-missing"
        ) from None
    if not stat.S_ISREG(mode):
        raise BundleError(
            f"{name}: found {kind(mode)}, expected a regular file: {_RENEW}", "file-kind"
        )


def kind(mode: int) -> str:
    """The kind of a file of this mode, in words, if it is no regular one."""
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return "a folder" if stat.S_ISDIR(mode) else "a device, pipe or socket"


def _read(folder: Path, name: str, size_bytes: int) -> bytes:
    with _open(folder, name) as file:
        return file.read(size_bytes)


def _check_runtime(minimum: str) -> None:
    from echo_edge.version import __version__

    numbers = [int(number) for number in re.findall(r"\d+", __version__)[:3]]
    if [int(number) for number in minimum.split(".")] > numbers:
        raise BundleError(
            f"manifest.json: minimum_runtime: found {minimum}, expected at most {__version__}, "
            "the version installed here: pip install -U echo-edge",
            "runtime",
        )


def _check_listing(folder: Path, names: set[str], prefix: str = "") -> None:
    """Refuse whatever is in the folder beyond `names` and the folders these stand in."""
    with os.scandir(folder / prefix) as entries:
        for entry in entries:
            name = prefix + entry.name
            is_folder = not prefix and entry.is_dir(follow_symlinks=False)
            if is_folder and any(known.startswith(f"{name}/") for known in names):
                _check_listing(folder, names, f"{name}/")
            elif name in names:
                _check_regular(folder, name)
            else:
                raise BundleError(
                    f"{name!r}: found in the bundle, expected only what manifest.json lists: "
                    "remove it",
                    "file-extra",
                )


def _check_file(folder: Path, name: str, spec: FileSpec) -> None:
    with _open(folder, name) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if size_bytes != spec.size_bytes:
            raise BundleError(
                f"{name}: found {size_bytes} bytes, expected {spec.size_bytes}: {_RENEW}",
                "file-size",
            )
        digest = hashlib.sha256()
        while block := file.read(_HASH_BLOCK_BYTES):
            digest.update(block)
    if digest.hexdigest() != spec.sha256:
        raise BundleError(
            f"{name}: found sha256 {digest.hexdigest()}, expected {spec.sha256}: {_RENEW}",
            "file-hash",
        )


def _check_phones(language: LanguageModel, manifest: Manifest) -> None:
    """Refuse a language model that names other sounds than the asr graph hears."""
    (phones,) = (t for t in manifest.graphs["asr"].outputs if t.name == "phones")
    if language.n_phones != phones.shape[-1]:
        raise BundleError(
            f"{manifest.asr.language_model}: found {language.n_phones} phones, expected "
            f"{phones.shape[-1]}, one for each output of the asr graph: {_RENEW}",
            "phones-count",
        )


def _check_archive(path: Path, name: str) -> None:
    """Refuse an archive that would not fit into the memory of a board once it is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            size_bytes = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise BundleError(
            f"{name}: found no .npz file ({error}), expected a language model: {_RENEW}", "archive"
        ) from error
    if size_bytes > _MAX_UNPACKED_BYTES:
        found = f"{size_bytes} bytes once unpacked"
        raise BundleError(
            f"{name}: found {found}, expected at most {_MAX_UNPACKED_BYTES}: {_RENEW}", "archive"
        )
