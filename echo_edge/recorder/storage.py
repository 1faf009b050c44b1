"""Storage that lacks something (FAT, FUSE, network shares), is full, or goes and comes back."""

import errno
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from echo_edge import disk
from echo_edge.errors import OutputError

_NO_LOCKS = disk.CANNOT | {errno.ENOLCK, errno.EBADF}
"""EBADF: NFS, which locks only what is open for writing."""
_FULL = {errno.ENOSPC, errno.EDQUOT}

NO_FOLDER_SYNC = "folders cannot be synced: a power cut may take a file's name"
NO_FILE_SYNC = "files cannot be synced: a power cut may take more than a second"
NO_LOCKS = "folders cannot be locked: see to it yourself that one recorder writes there"


def sync_file(descriptor: int, lacks: set[str]) -> None:
    """Put what was written on the disk, or note in `lacks` that this cannot be. OSError."""
    try:
        os.fdatasync(descriptor)
    except OSError as error:
        if error.errno not in disk.CANNOT:
            raise
        lacks.add(NO_FILE_SYNC)


def sync_folder(folder: Path, lacks: set[str]) -> None:
    """Put the names of a folder's files on the disk, or note that this cannot be. OSError."""
    if not disk.sync_folder(folder):
        lacks.add(NO_FOLDER_SYNC)


@dataclass(frozen=True)
class Lock:
    """A locked folder, or at least an open one where its file system has no locks."""

    descriptor: int
    excludes: bool
    """Whether nobody else can lock it."""

    def is_at(self, path: Path) -> bool:
        """Whether the folder is still what `path` names: not after a remount, nor once deleted."""
        try:
            return os.path.samestat(path.stat(), os.fstat(self.descriptor))
        except OSError:
            return False

    def close(self) -> None:
        """Unlock it."""
        os.close(self.descriptor)


def lock(folder: Path) -> Lock | None:
    """Lock `folder` until the process ends or the lock is closed; None if another does."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be opened ({error.strerror})") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return Lock(descriptor, False)
        os.close(descriptor)
        raise OutputError(f"{folder}: cannot be locked ({error.strerror})") from error
    return Lock(descriptor, True)


def is_full(error: BaseException) -> bool:
    """Whether room is all that is missing."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in _FULL


class MountPoint:
    """Where the file system of a folder is mounted. Once nothing is mounted there any more, the
    folder that shows is another's: what is written to it is hidden when storage comes back."""

    def __init__(self, folder: Path) -> None:
        path = folder.resolve()
        self._path = next((p for p in (path, *path.parents) if p.is_mount()), Path("/"))

    def check(self) -> None:
        """OSError if nothing is mounted there."""
        if not self._path.is_mount():
            raise OSError(errno.ENODEV, f"nothing is mounted at {self._path}")
