"""Opening a bundle: everything its manifest promises is verified before an engine sees a byte.

docs/bundle.md is the specification. Knows nothing of engines or of what the graphs compute.
"""

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from echo_edge.errors import BundleError
from echo_edge.manifest import MAX_MANIFEST_BYTES, UNLISTED_FILES, FileSpec, Manifest, parse

_HASH_BLOCK_BYTES = 1 << 20
_MAX_TOKENS_BYTES = 1 << 20
_RENEW = "the file is damaged or was changed: copy or export the bundle again"


@dataclass(frozen=True)
class Bundle:
    """A verified bundle."""

    path: Path
    """The folder, links resolved, so that a switch to another slot does not change it."""
    manifest: Manifest
    manifest_sha256: str
    tokens: tuple[str, ...]
    """What each output of the asr graph writes; `tokens[0]` is `<blank>`, the space is " "."""

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


def open_bundle(path: str | PathLike[str]) -> Bundle:
    """Return the bundle in the folder `path` after verifying it.

    Raises BundleError, naming the file, for anything that docs/bundle.md does not allow.
    """
    try:
        if not Path(path).is_dir():
            raise BundleError(f"{path}: found no folder, expected a bundle: check the path")
        folder = Path(path).resolve()
        text = _read(folder, "manifest.json", MAX_MANIFEST_BYTES + 1)
        manifest = parse(text)
        _check_runtime(manifest.minimum_runtime)
        _check_listing(folder, {*manifest.files, *UNLISTED_FILES})
        for name, spec in sorted(manifest.files.items()):
            _check_file(folder, name, spec)
        tokens = _parse_tokens(_read(folder, manifest.asr.tokens, _MAX_TOKENS_BYTES + 1), manifest)
        _check_token_count(len(tokens), manifest)
    except OSError as error:
        raise BundleError(
            f"{path}: cannot be read ({error.strerror}): check its permissions"
        ) from error
    return Bundle(folder, manifest, hashlib.sha256(text).hexdigest(), tokens)


def find_bundle(explicit: str | None) -> Path:
    """Return the folder to open: `explicit`, $ECHO_EDGE_BUNDLE, the installed or default bundle.

    Only the last two are looked for; `open_bundle` says what is wrong with the first two. Raises
    BundleError if there is none of the four.
    """
    if explicit is not None:
        return Path(explicit)
    if named := os.environ.get("ECHO_EDGE_BUNDLE"):
        return Path(named)
    root = os.environ.get("ECHO_EDGE_ROOT") or "/var/lib/echo-edge"
    for folder in (Path(root) / "current", Path(__file__).parent / "default_bundle"):
        if folder.exists():
            return folder
    raise BundleError(
        "bundle: found none, expected --bundle DIR, $ECHO_EDGE_BUNDLE, "
        f"{root}/current or the package's own: name one with --bundle DIR"
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
        raise BundleError(f"{name}: found nothing, expected a file: {_RENEW}") from None
    if not stat.S_ISREG(mode):
        raise BundleError(f"{name}: found {_kind(mode)}, expected a regular file: {_RENEW}")


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return "a folder" if stat.S_ISDIR(mode) else "a device, pipe or socket"


def _read(folder: Path, name: str, size_bytes: int) -> bytes:
    with _open(folder, name) as file:
        return file.read(size_bytes)


def _check_runtime(minimum: str) -> None:
    from echo_edge import __version__

    numbers = [int(number) for number in re.findall(r"\d+", __version__)[:3]]
    if [int(number) for number in minimum.split(".")] > numbers:
        raise BundleError(
            f"manifest.json: minimum_runtime: found {minimum}, expected at most {__version__}, "
            "the version installed here: pip install -U echo-edge"
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
                    "remove it"
                )


def _check_file(folder: Path, name: str, spec: FileSpec) -> None:
    with _open(folder, name) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if size_bytes != spec.size_bytes:
            raise BundleError(
                f"{name}: found {size_bytes} bytes, expected {spec.size_bytes}: {_RENEW}"
            )
        digest = hashlib.sha256()
        while block := file.read(_HASH_BLOCK_BYTES):
            digest.update(block)
    if digest.hexdigest() != spec.sha256:
        raise BundleError(
            f"{name}: found sha256 {digest.hexdigest()}, expected {spec.sha256}: {_RENEW}"
        )


def _check_token_count(n_tokens: int, manifest: Manifest) -> None:
    for tensor in manifest.graphs["asr"].outputs:
        if tensor.name == "logprobs" and tensor.shape[-1] != n_tokens:
            raise BundleError(
                f"{manifest.asr.tokens}: found {n_tokens} tokens, expected {tensor.shape[-1]}, "
                f"one for each output of the asr graph: {_RENEW}"
            )


def _parse_tokens(text: bytes, manifest: Manifest) -> tuple[str, ...]:
    name = manifest.asr.tokens
    if len(text) > _MAX_TOKENS_BYTES:
        raise BundleError(f"{name}: found more than 1 MiB, expected a list of characters")
    try:
        lines = text.decode("utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise BundleError(f"{name}: found bytes that are not UTF-8 ({error.reason})") from error
    if lines[0] != "<blank>":
        raise BundleError(f"{name}: line 1: found {lines[0][:20]!r}, expected '<blank>'")
    seen: set[str] = set()
    for number, line in enumerate(lines, 1):
        if not line.isprintable() or len(line.split()) != 1 or line.strip() != line:
            expected = "one token without blanks ('<space>' is the space)"
            raise BundleError(f"{name}: line {number}: found {line[:20]!r}, expected {expected}")
        if line in seen:
            raise BundleError(f"{name}: line {number}: found {line[:20]!r} again, expected it once")
        seen.add(line)
    return tuple(" " if line == "<space>" else line for line in lines)
