"""Installing a bundle on a device: verified, atomic, reversible (docs/reference/bundle.md).

Below a root (/var/lib/echo-edge):

    a/ b/           two slots, each a whole verified bundle or absent
    current -> a    what runs; only ever replaced in one step
    lock            held while something changes
    incoming/ ...   being written; of no meaning to anyone, removed by the next run

A crash at any point leaves `current` pointing at a whole bundle. All users can read it, whatever
the umask and the modes it came with.
"""

import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from echo_edge.bundle.keys import TrustedKeys
from echo_edge.bundle.manifest import Manifest, parse
from echo_edge.bundle.verify import Bundle, open_bundle, read_manifest
from echo_edge.deploy.checks import check_board, check_build, check_fits, check_space
from echo_edge.deploy.source import BLOCK_BYTES, MAX_TAR_BYTES, Source, open_source
from echo_edge.disk import sync, sync_folder, write_all
from echo_edge.engines import check_engine
from echo_edge.errors import BundleError, EchoError, OutputError
from echo_edge.readable import first_closed, make_folder, open_file, open_to_all
from echo_edge.selftest import read_selftest, run_selftest
from echo_edge.session import load_bundle

SLOTS = ("a", "b")


@dataclass(frozen=True)
class Policy:
    """Which bundles may be installed."""

    trusted: TrustedKeys
    allow_unsigned: bool = False
    """Accept a bundle without a SIGNATURE; one with a wrong SIGNATURE is refused all the same."""
    allow_downgrade: bool = False

    def keys(self, is_signed: bool) -> TrustedKeys | None:
        """Keys for `open_bundle` to verify with; None verifies no signature."""
        return None if self.allow_unsigned and not is_signed else self.trusted


@dataclass(frozen=True)
class Outcome:
    """The bundle that runs now, and the one to go back to."""

    bundle: Bundle
    slot: str
    previous: Manifest | None
    changed: bool
    """False if the very same bundle was running already."""
    closed: Path | None = None
    """A folder that keeps other users, such as that of a service, from reading the bundle."""


def install(source: Path | None, root: Path, policy: Policy) -> Outcome:
    """Make the bundle in `source`, a folder or tar, the one that runs; None reads a tar from stdin.

    Raises BundleError if it is refused, OutputError if it cannot be written; either way what ran
    before still does.
    """
    with _changing(root):
        files = open_source(source or _spool(root), "stdin" if source is None else None)
        trusted = policy.keys("SIGNATURE" in files.sizes)
        manifest, text, _ = read_manifest(files.read, trusted)
        check_fits(manifest, len(text), files)
        check_board(manifest.boards)
        check_engine(manifest.engine)
        if running := _same_bundle(root, text, trusted):
            return _outcome(running, root / (_current(root) or ""), False)
        if not policy.allow_downgrade:
            check_build(manifest.build, filter(None, (_manifest(root / s) for s in SLOTS)))
        check_space(root, sum(files.sizes.values()))
        _copy(files, root / "incoming")
        bundle = _tested(root / "incoming", trusted)
        if bundle.sha256 != hashlib.sha256(text).hexdigest():  # else it was not this one we checked
            raise BundleError(
                "manifest.json: found another than a moment before, expected a source that keeps "
                "still: copy the bundle to this device and install that",
                "changed",
            )
        slot = _other(root)
        _fill(slot, root / "incoming")
        _switch(slot)
        with suppress(OSError):  # it runs; what is left over is for the next run to remove
            shutil.rmtree(_old(slot))
        return _outcome(replace(bundle, path=slot), slot, True)


def rollback(root: Path, policy: Policy) -> Outcome:
    """Make the bundle in the other slot the one that runs. EchoError if there is none, BundleError
    if it does not hold."""
    with _changing(root):
        slot = _other(root)
        if _current(root) is None or not slot.exists():
            raise EchoError(
                f"{root}: found no previous bundle, expected one in slot {slot.name}: "
                "install one with echo-edge bundle install"
            )
        bundle = _tested(slot, policy.keys((slot / "SIGNATURE").exists()))
        _switch(slot)
        return _outcome(bundle, slot, True)


def _outcome(bundle: Bundle, slot: Path, changed: bool) -> Outcome:
    open_to_all(slot)  # an earlier version may have filled it under another umask
    return Outcome(bundle, slot.name, _manifest(_other(slot.parent)), changed, first_closed(slot))


@contextmanager
def _changing(root: Path) -> Iterator[None]:
    """Alone at work below `root`, on clean ground, which is left clean whatever happens."""
    try:
        make_folder(root)
        lock = open_file(root / "lock", os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise _unwritable(root, error) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(
                f"{root}: another install or rollback is running: wait until it has ended"
            ) from error
        try:
            _clean(root)
            yield
        except OSError as error:
            raise _unwritable(root, error) from error
        finally:
            with suppress(OSError):  # else the next run will do it
                _clean(root)
    finally:
        os.close(lock)


def _unwritable(root: Path, error: OSError) -> OutputError:
    where = error.filename if isinstance(error.filename, str) else root
    return OutputError(
        f"{where}: {error.strerror}: stopped here, the bundle that runs is whole: remedy this and "
        "try again"
    )


def _clean(root: Path) -> None:
    """Remove what an interrupted run left, and put back a slot that it had only moved away."""
    for path in (root / "current.new", root / "incoming.tar"):
        path.unlink(missing_ok=True)
    for path in (root / "incoming", *(_old(root / slot) for slot in SLOTS)):
        if not path.is_dir():
            continue
        slot = root / path.stem
        if path.suffix == ".old" and not slot.exists():
            path.rename(slot)
        else:
            shutil.rmtree(path)


def _old(slot: Path) -> Path:
    return slot.with_name(f"{slot.name}.old")


def _current(root: Path) -> str | None:
    """The slot that runs; None before the first install."""
    try:
        name = str((root / "current").readlink())
    except FileNotFoundError:
        return None
    return name if name in SLOTS else None


def _other(root: Path) -> Path:
    return root / ("b" if _current(root) == "a" else "a")


def _manifest(slot: Path) -> Manifest | None:
    """The manifest of the bundle in a slot, if there is a legible one."""
    try:
        return parse((slot / "manifest.json").read_bytes())
    except (OSError, BundleError):
        return None


def _spool(root: Path) -> Path:
    """The tar on stdin, kept in a file, because the checks need to see all of it first."""
    path = root / "incoming.tar"
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    size_bytes = 0
    with os.fdopen(number, "wb") as file:
        while block := sys.stdin.buffer.read(BLOCK_BYTES):
            size_bytes += len(block)
            if size_bytes > MAX_TAR_BYTES:
                raise BundleError(
                    f"stdin: found more than {MAX_TAR_BYTES} bytes, expected a bundle: "
                    "get it again",
                    "files-size",
                )
            file.write(block)
    return path


def _same_bundle(root: Path, text: bytes, trusted: TrustedKeys | None) -> Bundle | None:
    """The bundle that runs, if it has this very manifest and holds."""
    try:
        if (root / "current" / "manifest.json").read_bytes() != text:
            return None
        return open_bundle(root / "current", trusted)
    except (OSError, BundleError):
        return None


def _copy(source: Source, folder: Path) -> None:
    """Write all files and see to it that they are on the disk."""
    folders = {folder, *((folder / name).parent for name in source.sizes)}
    for path in sorted(folders):
        make_folder(path)
    for name in sorted(source.sizes):
        number = open_file(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            for block in source.blocks(name):
                write_all(number, block)
            sync(number)
        finally:
            os.close(number)
    for path in folders:
        sync_folder(path)


def _tested(folder: Path, trusted: TrustedKeys | None) -> Bundle:
    """The bundle in `folder`, verified from the disk, loaded by its engine, and right here."""
    bundle = open_bundle(folder, trusted)
    expected = read_selftest(bundle)  # before an engine sees the graphs
    with load_bundle(bundle) as session:
        outcome = run_selftest(session, expected)
    if not outcome.passed:
        raise BundleError(
            f"{bundle.manifest.name}: {outcome.summary()}: this engine or board computes "
            "something else; update the engine or use another bundle",
            "selftest",
        )
    return bundle


def _fill(slot: Path, incoming: Path) -> None:
    """Put the new bundle into the slot that does not run; what was there steps aside first."""
    if slot.exists():
        slot.rename(_old(slot))
    incoming.rename(slot)
    sync_folder(slot.parent)


def _switch(slot: Path) -> None:
    """From here on `slot` runs: one rename, so that there is no moment in between."""
    root = slot.parent
    (root / "current.new").symlink_to(slot.name)
    (root / "current.new").replace(root / "current")
    sync_folder(root)
