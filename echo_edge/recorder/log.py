"""Files of messages: appended, never rewritten in place, whole but for the last line."""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from echo_edge import disk, files
from echo_edge.errors import JsonError, OutputError
from echo_edge.recorder.messages import Event, Line, Message, dump, forget_between, from_line
from echo_edge.recorder.storage import sync_file

RESULTS = "results.jsonl"
EVENTS = "events.jsonl"


class MessageLog:
    """Appends messages to a file; `sync` makes them survive a power cut. Raises OutputError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            self._file = os.open(path, flags, 0o600)
        except OSError as error:
            raise self._cannot_write(error) from error
        self._synced = True

    def write(self, message: Message | Event) -> None:
        """Append one line, or nothing of it."""
        try:
            disk.write_all(self._file, dump(message).encode())
        except OSError as error:
            raise self._cannot_write(error) from error
        self._synced = False

    def sync(self) -> None:
        """After this, what was written survives a power cut."""
        if not self._synced:
            try:
                sync_file(self._file, set())
            except OSError as error:
                raise self._cannot_write(error) from error
            self._synced = True

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _cannot_write(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self._path}: cannot be written ({error.strerror}): audio is not affected; make room"
        )


def read_lines(path: Path) -> list[Line]:
    """The lines of a file, without what a crash tore; none if there is no such file."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_bytes().split(b"\n"):
        with suppress(ValueError):
            line = json.loads(text)
            if isinstance(line, dict):
                lines.append(line)
    return lines


def read_messages(path: Path) -> list[Message]:
    """The messages of a file, without what a crash tore; none if there is no such file."""
    messages = []
    for line in read_lines(path):
        with suppress(JsonError):
            messages.append(from_line(line))
    return messages


def replace_messages(path: Path, messages: Iterable[Message]) -> None:
    """Put `messages` in the place of a file, at once: before a crash the old, after it the new."""
    files.save("".join(map(dump, messages)), path)


def forget_in(folder: Path, start_s: float, end_s: float) -> None:
    """Delete the speech in a part of a recording from its results. Raises OutputError."""
    path = folder / RESULTS
    replace_messages(path, forget_between(read_messages(path), start_s, end_s))
