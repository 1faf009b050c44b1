"""Folders of recordings: one per session, named by when it began (UTC); who holds one; what may go.

    OUT/20261124T112400Z/   session.json    how it was recorded
                            audio-*.wav     what was heard
                            results.jsonl   turns and words as they became final
                            events.jsonl    pauses, gaps, devices lost and found, with clock times
                            result.json     and .rttm and .vtt: there once all audio is processed

Locks are on the folders themselves and end with the process: nothing stale is ever left.
"""

import json
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from echo_edge import files
from echo_edge.errors import OutputError
from echo_edge.recorder.clock import AHEAD_S
from echo_edge.recorder.storage import sync_folder

SCHEMA = "echo-edge.recording/1"
ABOUT = "session.json"
RESULT = "result.json"
JUMPS = "clock_jumps"

_NAME = re.compile(r"(\d{8}T\d{6}Z)(?:-(\d+))?")
_TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class Limits:
    """What may be deleted, and when recording must stop."""

    keep_days: float | None = None
    """Sessions that ended longer ago go, results included; days that passed, not the clock's."""
    keep_bytes: int | None = None
    """Beyond this much audio in the folder the oldest goes, results stay."""
    least_free_bytes: int = 256 * 2**20
    """With less room than this results wait; with less than half of it recording stops."""
    rotate: bool = False
    """Rather than stop, delete the oldest audio."""


def make_folder(path: Path) -> None:
    """Make `path` and its parents where they are missing, for the owner only."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be made ({error.strerror}): choose a folder that can be written to"
        ) from error


def new_session(
    out: Path, about: dict[str, Any], now: datetime, lacks: set[str] | None = None
) -> Path:
    """Make the folder of a session that begins `now`, by the clock. Raises OutputError.

    Its name sorts after those that are there: with a clock that was set back it is the newest
    name's second and one more, unless that name is of a clock that was ahead. `lacks`
    takes what the storage cannot do.
    """
    base = now.astimezone(UTC).strftime(_TIME)
    newest = next((p.name[:16] for p in reversed(sessions(out)) if not _was_ahead(p)), base)
    if base < newest:
        base = (datetime.strptime(newest, _TIME) + timedelta(seconds=1)).strftime(_TIME)
    for name in (base, *(f"{base}-{n}" for n in range(2, 1000))):
        folder = out / name
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            continue
        except OSError as error:
            raise OutputError(
                f"{folder}: cannot be made ({error.strerror}): make room or choose another folder"
            ) from error
        files.save(json.dumps({"schema": SCHEMA} | about, indent=1) + "\n", folder / ABOUT)
        for each in (folder, out):
            sync_folder(each, set() if lacks is None else lacks)
        return folder
    raise OutputError(f"{out}: found 999 sessions of one second, expected fewer: set the clock")


def note_jump(folder: Path, at_s: float, by_s: float) -> None:
    """Write into `session.json` that the clock was set. Raises OutputError."""
    about = read_about(folder)
    jumps = [*about.get(JUMPS, []), {"at_s": round(at_s, 3), "by_s": round(by_s, 3)}]
    files.save(json.dumps(about | {JUMPS: jumps}, indent=1) + "\n", folder / ABOUT)


def _was_ahead(folder: Path) -> bool:
    """Whether the clock was far ahead when a session began; damaged ones cannot say so."""
    try:
        return any(
            jump["at_s"] == 0.0 and jump["by_s"] > AHEAD_S
            for jump in read_about(folder).get(JUMPS, [])
        )
    except (OutputError, TypeError, KeyError):
        return False


def read_about(folder: Path) -> dict[str, Any]:
    """What `session.json` says; OutputError if this is no session."""
    try:
        about = json.loads((folder / ABOUT).read_bytes())
    except (OSError, ValueError):
        about = None
    if not isinstance(about, dict) or about.get("schema") != SCHEMA:
        raise OutputError(
            f"{folder}: found no {ABOUT} of {SCHEMA}, expected a session that "
            "`echo-edge record` made, or a folder of them"
        )
    return about


def sessions(out: Path) -> list[Path]:
    """The sessions of a folder, by name: oldest first, where the clock was right."""
    found = ((_NAME.fullmatch(path.name), path) for path in out.iterdir())
    named = [(each[1], int(each[2] or 1), p) for each, p in found if each and (p / ABOUT).is_file()]
    return [path for *_, path in sorted(named)]


def free_bytes(folder: Path) -> int:
    """Room on the disk of `folder` for a user who is not root."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize
