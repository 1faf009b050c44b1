"""A file that is whole: it holds the old content or the new, never a part of either.

Links stay, and so do mode and owner of a file that is replaced. Raises OutputError, one line.
"""

import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Self

from echo_edge.disk import AnyPath, cannot_write, sync, sync_folder, write_all
from echo_edge.errors import OutputError, UsageError


class WholeFile:
    """A file that grows beside `path` and takes its place when the context ends without an error.

    Whether it can is found out when the context begins; until the end `path` holds what it held.
    Written in place are a device, a pipe, what standard output is, and a file that can be written
    in a folder that cannot. `regular` refuses devices and pipes. `private` is for its owner only
    and for one writer at a time: what a crash left beside it is used again, so that nothing stays.
    """

    def __init__(self, path: AnyPath, *, regular: bool = False, private: bool = False) -> None:
        self.name = os.fspath(path)
        self._regular, self._private = regular, private
        self._target = Path(self.name)
        self._partial: Path | None = None
        self._copies = False
        """The content goes into the file that is there: another owner's, or one of many names."""
        self._replaces = False
        """Of a file written in place the old content goes when the new comes."""
        self._number = -1

    def __enter__(self) -> Self:
        try:
            self._open()
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            self._discard()
            raise cannot_write(self.name, error) from error
        return self

    @property
    def number(self) -> int:
        """The descriptor: that of a regular file can be sought."""
        return self._number

    @property
    def grows(self) -> bool:
        """Whether it grows beside its place, so that it can be written anew."""
        return self._partial is not None

    def restart(self) -> None:
        """Forget what was written. OutputError."""
        try:
            os.ftruncate(self._number, 0)
            os.lseek(self._number, 0, os.SEEK_SET)
        except OSError as error:
            raise cannot_write(self.name, error) from error

    def write(self, data: bytes) -> None:
        """Append all of `data` or, where a regular file has no room, nothing of it. OutputError."""
        try:
            self._make_empty()
            write_all(self._number, data)
        except OSError as error:
            raise cannot_write(self.name, error) from error

    def publish(self) -> None:
        """Put the content where it belongs, on the disk. OutputError, with the content where it
        grew."""
        try:
            self._make_empty()
            if stat.S_ISREG(os.fstat(self._number).st_mode):
                sync(self._number)
            if self._partial:
                self._take_place(self._partial)
            self._close()
        except OSError as error:
            raise cannot_write(self.name, error) from error

    def withdraw(self) -> None:
        """End as if nothing had been asked for."""
        self._discard()

    def leave(self) -> str:
        """End without taking the place; where the content is."""
        self._close()
        where, self._partial = str(self._partial or self.name), None
        return where

    def __exit__(self, *exc: object) -> None:
        try:
            if exc[0] is None and self._number >= 0:
                self.publish()
        finally:
            self._discard()

    def _open(self) -> None:
        there = _status(self._target)
        if there is not None and not stat.S_ISREG(there.st_mode):
            self._check_special(there.st_mode)
            self._number = os.open(self.name, os.O_WRONLY | os.O_CLOEXEC)
            return
        if there is not None:
            for standard in (1, 2):  # the shell opened it, perhaps to append
                if _is_open_as(there, standard):
                    self._number = fcntl.fcntl(standard, fcntl.F_DUPFD_CLOEXEC, 3)
                    return
            if not os.access(self.name, os.W_OK):
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        elif self.name.endswith("/") or not self.name:
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        self._target = Path(os.path.realpath(self.name))
        if there is not None and not os.access(self._target.parent, os.W_OK | os.X_OK):
            self._number = os.open(self._target, os.O_WRONLY | os.O_CLOEXEC)
            self._replaces = True
            return
        if there is None:  # can a file of this name be made there?
            os.close(os.open(self._target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC))
            self._target.unlink()
        self._make_partial(there)

    def _check_special(self, mode: int) -> None:
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        if self._regular or not (stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)):
            raise OutputError(f"{self.name}: not a regular file, expected one: choose another name")

    def _make_partial(self, there: os.stat_result | None) -> None:
        """A new file in the same folder, with a short name of its own, as `there` is."""
        plain = re.sub(r"[^A-Za-z0-9._-]", "", self._target.name)[:40]
        own = "" if self._private else f".{secrets.token_hex(4)}"
        partial = self._target.with_name(f"{plain}{own}.partial")
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        flags |= os.O_TRUNC if self._private else os.O_EXCL
        self._number = os.open(partial, flags, 0o600 if self._private else 0o666)
        self._partial = partial
        if self._private:
            os.fchmod(self._number, 0o600)  # also where a crash had left it
        if there is None:
            return
        made = os.fstat(self._number)
        if (made.st_uid, made.st_gid) != (there.st_uid, there.st_gid):
            try:
                os.fchown(self._number, there.st_uid, there.st_gid)
            except OSError:
                self._copies = True
        with suppress(OSError):  # FAT has modes of its own
            os.fchmod(self._number, 0o600 if self._private else stat.S_IMODE(there.st_mode))
        self._copies = self._copies or there.st_nlink > 1

    def _make_empty(self) -> None:
        if self._replaces:
            os.ftruncate(self._number, 0)
            self._replaces = False

    def _take_place(self, partial: Path) -> None:
        if not self._copies:
            try:
                partial.replace(self._target)
                self._partial = None
                sync_folder(self._target.parent)
                return
            except PermissionError:  # somebody else's file in a folder such as /tmp
                pass
        target = os.open(self._target, os.O_WRONLY | os.O_CLOEXEC)
        try:
            size, done = os.fstat(self._number).st_size, 0
            os.posix_fallocate(target, 0, max(size, 1))  # a full disk leaves the old content
            while data := os.pread(self._number, 1 << 20, done):
                done += os.pwrite(target, data, done)
            os.ftruncate(target, size)
            sync(target)
        finally:
            os.close(target)

    def _close(self) -> None:
        if self._number >= 0:
            os.close(self._number)
            self._number = -1

    def _discard(self) -> None:
        """Close, and remove what grew."""
        with suppress(OSError):
            self._close()
        if self._partial:
            with suppress(OSError):
                self._partial.unlink()
            self._partial = None


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _is_open_as(status: os.stat_result, number: int) -> bool:
    try:
        return os.path.samestat(status, os.fstat(number))
    except OSError:
        return False


def save(text: str, path: AnyPath, *, private: bool = False) -> None:
    """Write `text` as UTF-8 so that `path` holds the old content or the new, never a part."""
    with WholeFile(path, private=private) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


def check_output(
    path: AnyPath, inputs: Iterable[AnyPath | int] = (), regular: bool = False
) -> None:
    """OutputError if `path` could not be written; UsageError if it is one of the `inputs`, under
    whatever name; a number is a descriptor. Nothing is changed."""
    check_no_input(path, inputs)
    there = None
    with suppress(OSError, ValueError):
        there = Path(path).stat()
    if there is not None and stat.S_ISFIFO(there.st_mode) and not regular:
        return  # to open it is to wait for its reader
    with WholeFile(path, regular=regular) as file:
        file.withdraw()


def check_no_input(path: AnyPath, inputs: Iterable[AnyPath | int]) -> None:
    """UsageError if `path` is one of the `inputs`, under whatever name; numbers are descriptors."""
    for source in inputs:
        if is_same(path, source):
            raise UsageError(
                f"{os.fspath(path)}: found an input, expected another file to write to: "
                "choose another name"
            )


def is_same(path: AnyPath, other: AnyPath | int) -> bool:
    """Whether both are one regular file; a number is a descriptor."""
    try:
        theirs = os.fstat(other) if isinstance(other, int) else Path(other).stat()
        ours = Path(path).stat()
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(ours.st_mode) and os.path.samestat(ours, theirs)
