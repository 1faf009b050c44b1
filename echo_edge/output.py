"""Text files that hold the old content or the new, never a part of either."""

import os
from contextlib import suppress
from os import PathLike
from pathlib import Path

from echo_edge.errors import OutputError


def save(text: str, path: str | PathLike[str]) -> None:
    """Write `text` as UTF-8 so that `path` holds the old content or the new, never a part.

    A device or a pipe, such as `/dev/stdout`, is written in place. Raises OutputError.
    """
    target = Path(path)
    in_place = target.exists() and not target.is_file() and not target.is_dir()
    partial = target if in_place else Path(f"{os.fspath(path)}.partial")
    try:
        with partial.open("wb") as file:
            file.write(text.encode("utf-8", "backslashreplace"))
            file.flush()
            if not in_place:
                os.fsync(file.fileno())
        if not in_place:
            partial.replace(target)
    except OSError as error:
        if not in_place:
            with suppress(OSError):
                partial.unlink()
        raise OutputError(
            f"{path}: cannot be written ({error.strerror}): "
            "choose a folder that exists, is writable and has room"
        ) from error


def check_folder(path: str | PathLike[str]) -> None:
    """Raise OutputError if `save` could not write a file called `path`, for its folder's sake."""
    folder = Path(path).parent
    if not os.fspath(path) or Path(path).is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"{path}: cannot be written: expected a file name in a folder that exists and is "
            "writable: choose another"
        )
