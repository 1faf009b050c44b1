"""Where a bundle is installed from: a folder or an uncompressed tar, on equal terms.

Names, kinds and sizes of all files are known and allowed before any content is read. The tar
reader is strict and small on purpose: a bundle needs regular files and folders with short names,
and general readers had their own bugs with hostile archives (an endless loop in Python's tarfile,
CVE-2025-8194). Knows nothing of what is in the files.
"""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from echo_edge.bundle.manifest import MAX_BYTES, MAX_FILES, UNLISTED_FILES
from echo_edge.bundle.types import is_file_name
from echo_edge.bundle.verify import kind
from echo_edge.errors import BundleError

BLOCK_BYTES = 1 << 20
MAX_TAR_BYTES = MAX_BYTES + (2 << 20)
"""Of a whole tar: all files, manifest and signature; headers take what these leave."""

_UNIT = 512
_MAX_ENTRIES = 4 * MAX_FILES
_MAX_PAX_BYTES = 64 << 10
_PACK = "get the bundle again, or pack it with tar -C BUNDLE -cf FILE ."
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a pipe",
    b"S": "a sparse file",
    b"L": "a name of more than 100 characters",
    b"K": "a long link",
}
_PAX_OVERRIDES = (b" path=", b" size=", b" linkpath=", b" GNU.sparse")


@dataclass(frozen=True)
class Source:
    """The files of a bundle, not yet verified."""

    label: str
    sizes: dict[str, int]
    """File name -> bytes."""
    blocks: Callable[[str], Iterator[bytes]]
    """The content of a file in blocks of at most 1 MiB: as many bytes as `sizes` says."""

    def read(self, name: str, size_bytes: int) -> bytes:
        """At most so many bytes of a file. BundleError if there is no such file."""
        if name not in self.sizes:
            raise BundleError(
                f"{name}: found nothing in {self.label}, expected a file: {_PACK}", "file-missing"
            )
        content = b""
        for block in self.blocks(name):
            content += block
            if len(content) >= size_bytes:
                break
        return content[:size_bytes]


def open_source(path: Path, label: str | None = None) -> Source:
    """The bundle in a folder or a tar file, which errors call `label` (its name unless given).

    Raises BundleError; `blocks` and `read` raise OSError as well.
    """
    label = label or path.resolve().name
    try:
        if path.is_dir():
            source = _folder(path, label)
        elif path.is_file():
            source = _tar_file(path, label)
        else:
            found = f"{path}: found {'no file' if path.exists() else 'nothing'}"
            raise BundleError(
                f"{found}, expected a bundle's folder or tar: check the path", "folder"
            )
    except OSError as error:
        raise BundleError(
            f"{path}: cannot be read ({error.strerror}): check its permissions", "readable"
        ) from error
    source.read("manifest.json", 0)  # of all that may be missing, this says most
    return source


def _refused(where: str, found: str, expected: str, rule: str) -> BundleError:
    message = f"{where}: found {found}, expected {expected}: get the bundle again"
    return BundleError(message, rule)


def _exactly(file: BinaryIO, size_bytes: int, name: str) -> Iterator[bytes]:
    left = size_bytes
    while left:
        block = file.read(min(left, BLOCK_BYTES))
        if not block:
            raise _refused(
                name, f"{size_bytes - left} bytes", f"{size_bytes}, as before", "file-size"
            )
        left -= len(block)
        yield block


class _Listing:
    """Names and sizes as they are met; refuses what no bundle holds."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._known: dict[str, str] = {}
        self._size_bytes = 0

    def add(self, name: str, size_bytes: int) -> None:
        if not is_file_name(name):
            expected = "names of A-Z a-z 0-9 . _ -, in at most one folder, no '..' or leading dot"
            where = f"{self._label}: {name[:120]!r}"
            raise BundleError(
                f"{where}: found this name, expected {expected}: {_PACK}", "file-name"
            )
        other = self._known.setdefault(name.lower(), name)
        if other != name:
            expected = f"a name that differs from {other} in more than case"
            raise _refused(f"{self._label}: {name}", "this name", expected, "case")
        self._size_bytes += size_bytes
        if len(self._known) > MAX_FILES + len(UNLISTED_FILES):
            raise _refused(self._label, "more files", f"at most {MAX_FILES}", "files-count")
        if self._size_bytes > MAX_TAR_BYTES:
            found = f"over {MAX_TAR_BYTES} bytes"
            raise _refused(self._label, found, "at most these", "files-size")


def _folder(path: Path, label: str) -> Source:
    sizes: dict[str, int] = {}
    listing = _Listing(label)

    def scan(prefix: str) -> None:
        with os.scandir(path / prefix) as entries:
            for entry in entries:
                name = prefix + entry.name
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode) and not prefix and is_file_name(name):
                    scan(f"{name}/")
                    continue
                if not stat.S_ISREG(status.st_mode):
                    where, found = f"{label}: {name[:120]!r}", kind(status.st_mode)
                    raise _refused(where, found, "a regular file", "file-kind")
                listing.add(name, status.st_size)
                sizes[name] = status.st_size

    scan("")

    def blocks(name: str) -> Iterator[bytes]:
        number = os.open(path / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with os.fdopen(number, "rb") as file:
            yield from _exactly(file, sizes[name], name)

    return Source(label, sizes, blocks)


def _tar_file(path: Path, label: str) -> Source:
    with path.open("rb") as file:
        places = _tar(file, label)

    def blocks(name: str) -> Iterator[bytes]:
        start, size_bytes = places[name]
        with path.open("rb") as file:
            file.seek(start)
            yield from _exactly(file, size_bytes, name)

    return Source(label, {name: size_bytes for name, (_, size_bytes) in places.items()}, blocks)


def _tar(file: BinaryIO, label: str) -> dict[str, tuple[int, int]]:
    """File name -> where its content begins and how many bytes it has."""
    length = file.seek(0, os.SEEK_END)
    places: dict[str, tuple[int, int]] = {}
    listing = _Listing(label)
    at = 0
    for _ in range(_MAX_ENTRIES):
        file.seek(at)
        header = file.read(_UNIT)
        if header == bytes(_UNIT):
            return places
        size_bytes = _check_header(header, label)
        content = at + _UNIT
        at = content + -(-size_bytes // _UNIT) * _UNIT
        if at > length:
            found = f"{length} bytes"
            raise _refused(label, found, f"at least {at}: the file breaks off", "tar")
        flag = header[156:157]
        if flag in b"xg":
            _check_pax(file.read(min(size_bytes, _MAX_PAX_BYTES + 1)), label)
            continue
        name = _name(header)
        if flag == b"5" and size_bytes == 0:
            if name and not is_file_name(name):
                listing.add(name, 0)  # which refuses it
            continue
        if flag not in (b"0", b"\0"):
            found = _KINDS.get(flag, "an unknown kind of entry")
            raise _refused(f"{label}: {name[:120]!r}", found, "a regular file", "file-kind")
        listing.add(name, size_bytes)
        if name in places:
            raise _refused(f"{label}: {name}", "this name twice", "each file once", "name-twice")
        places[name] = (content, size_bytes)
    raise _refused(label, f"more than {_MAX_ENTRIES} entries", "fewer", "files-count")


def _check_header(header: bytes, label: str) -> int:
    """The size of the content; refuses what is no tar header."""
    if len(header) < _UNIT:
        raise _refused(label, "no end of the archive", "a whole tar file", "tar")
    expected = _octal(header[148:156])
    if expected != sum(header) - sum(header[148:156]) + 8 * ord(" "):
        raise _refused(label, "no tar header", "an uncompressed tar file", "tar")
    size_bytes = _octal(header[124:136])
    if size_bytes is None or size_bytes > MAX_TAR_BYTES:
        raise _refused(label, "an entry of absurd size", f"at most {MAX_TAR_BYTES} bytes", "tar")
    return size_bytes


def _octal(digits: bytes) -> int | None:
    text = digits.rstrip(b" \0").lstrip(b" ")
    return int(text, 8) if text and not set(text) - set(b"01234567") else None


def _name(header: bytes) -> str:
    """The name, without the ./ that tar puts before names relative to a folder, and without the /
    after a folder's."""
    name = header[:100].split(b"\0")[0]
    prefix = header[345:500].split(b"\0")[0]
    if prefix and header[257:263] == b"ustar\0":  # GNU tar keeps other things there
        name = prefix + b"/" + name
    text = name.decode("ascii", "backslashreplace")
    if text in (".", "./"):
        return ""
    return text.removeprefix("./").removesuffix("/")


def _check_pax(records: bytes, label: str) -> None:
    """Times and the like may be said again more exactly; what decides where a file goes may not."""
    if len(records) > _MAX_PAX_BYTES or any(key in records for key in _PAX_OVERRIDES):
        found = "an extended header that changes names or sizes"
        raise _refused(label, found, "short ASCII names", "tar-extended")
