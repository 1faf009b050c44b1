"""Folders and files that every user of the device can read, whatever the umask of who made them.

A bundle is installed by root and read by the user of a service.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

FOLDER, FILE = 0o755, 0o644


def make_folder(path: Path) -> None:
    """Make a folder, and its parents where they are missing, for all to read. OSError."""
    if not path.is_dir():
        if not path.parent.is_dir():
            make_folder(path.parent)
        path.mkdir(exist_ok=True)
        _open(path, FOLDER)


def open_file(path: Path, flags: int) -> int:
    """A descriptor of a file, which may be new, for all to read. OSError."""
    number = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, FILE)
    with suppress(OSError):  # another's file, or a file system with modes of its own
        os.fchmod(number, FILE)
    return number


def open_to_all(folder: Path) -> None:
    """Give everything in `folder` the modes that all can read it with, as far as it is ours."""
    for path in (folder, *folder.rglob("*")):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode):
            _open(path, FOLDER if stat.S_ISDIR(mode) else FILE)


def first_closed(folder: Path) -> Path | None:
    """The first folder or file that keeps other users from reading all in `folder`, from the root
    of the file system on; None if there is none."""
    folder = folder.resolve()
    for parent in reversed(folder.parents):
        if not parent.stat().st_mode & stat.S_IXOTH:
            return parent
    for path in (folder, *sorted(folder.rglob("*"))):
        status = path.stat()
        needed = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(status.st_mode) else 0)
        if status.st_mode & needed != needed:
            return path
    return None


def _open(path: Path, mode: int) -> None:
    with suppress(OSError):
        path.chmod(mode)
