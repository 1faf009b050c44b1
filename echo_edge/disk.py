"""Files on disk: made whole, appended whole, locked, synced. `files` replaces whole files."""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path

from echo_edge.errors import OutputError

AnyPath = str | PathLike[str]

CANNOT = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""Errors of a file system that lacks an operation."""
CURE = "choose a folder that exists, is writable and has room"


def cannot_write(path: AnyPath, error: OSError | ValueError) -> OutputError:
    """The error to raise where writing `path` failed."""
    reason = getattr(error, "strerror", None) or str(error)
    return OutputError(f"{os.fspath(path)}: cannot be written ({reason}): {CURE}")


def append_whole(path: AnyPath, data: bytes) -> None:
    """Append all of `data` or nothing, on the disk when this returns. OutputError.

    Without data this only finds out whether there could be some.
    """
    existed = os.path.lexists(path)
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            write_all(number, data)
            if stat.S_ISREG(os.fstat(number).st_mode):
                sync(number)
        finally:
            os.close(number)
        if not (existed or data):
            Path(path).unlink()
    except (OSError, ValueError) as error:
        raise cannot_write(path, error) from error


def write_new(path: AnyPath, data: bytes, mode: int = 0o666) -> None:
    """Make a file that holds all of `data`, on the disk when this returns. OutputError if there is
    one already, or if it cannot be written: then there is none."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            try:
                write_all(number, data)
                sync(number)
            finally:
                os.close(number)
        except OSError:
            Path(path).unlink()
            raise
    except FileExistsError as error:
        raise OutputError(f"{path}: exists already, expected a new name: choose another") from error
    except OSError as error:
        raise cannot_write(path, error) from error


def write_all(number: int, data: bytes) -> None:
    """Write all of `data` to a descriptor; a regular file is left as it was where it fails."""
    size = os.fstat(number).st_size if stat.S_ISREG(os.fstat(number).st_mode) else None
    view, done = memoryview(data), 0
    try:
        while done < len(data):
            done += os.write(number, view[done:])
    except OSError:
        if size is not None and done:
            with suppress(OSError):
                os.ftruncate(number, size)
                os.lseek(number, -done, os.SEEK_CUR)
        raise


@contextmanager
def locked(path: AnyPath, wait_s: float) -> Iterator[None]:
    """Hold a lock file, which ends with its holder whatever happens; TimeoutError after `wait_s`,
    OSError if it cannot be made."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    number = os.open(path, flags, 0o600)
    try:
        deadline_s = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline_s:
                    raise TimeoutError from None
                time.sleep(0.02)
        yield
    finally:
        os.close(number)


def sync(number: int) -> bool:
    """Put what was written to a descriptor on the disk; False where its file system cannot, as FAT
    cannot with folders and some network shares with files. OSError where it could and failed."""
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in CANNOT:
            raise
        return False
    return True


def sync_folder(path: AnyPath) -> bool:
    """Put the names of a folder's files on the disk; False where that cannot be. OSError."""
    number = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return sync(number)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return False
    finally:
        os.close(number)
