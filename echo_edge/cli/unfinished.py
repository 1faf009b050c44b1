"""Which recordings of an interrupted `run --out-dir` are done, so that the same command goes on.

A file in the folder of results has a line for each, and goes when all are done. A line is a hash of
the recording (its path, size and time) and of everything that its result depends on: another
bundle, option or recording makes it anew.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from echo_edge.cli.transcript import Job
from echo_edge.disk import cannot_write

NAME = ".echo-edge-unfinished"


class Unfinished:
    """The file in `folder`; `settings` says what all results depend on."""

    def __init__(self, folder: Path, settings: str) -> None:
        self._path, self._settings = folder / NAME, settings
        self._done: set[str] = set()
        with suppress(OSError):
            self._done = set(self._path.read_text(encoding="ascii", errors="replace").split())

    def has(self, job: Job) -> bool:
        """Whether its results were written, and still are there."""
        there = all(Path(path).is_file() for _, path in job.outputs)
        return there and self._line(job) in self._done

    def add(self, job: Job) -> None:
        """Its results are written. OutputError."""
        try:
            with self._path.open("a", encoding="ascii") as file:
                file.write(f"{self._line(job)}\n")
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def end(self) -> None:
        """All is done: the next run begins anew."""
        self._path.unlink(missing_ok=True)

    def _line(self, job: Job) -> str:
        about: tuple[object, ...] = ()
        with suppress(OSError):
            status = os.stat(job.path)  # noqa: PTH116 - a path as it was given
            about = (status.st_size, status.st_mtime_ns)
        text = repr((self._settings, os.path.realpath(job.path), about, job.outputs))
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
