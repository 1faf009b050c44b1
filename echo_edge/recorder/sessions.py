"""Folders of recordings: one per session, named by when it began (UTC); who holds one; what may go.

    OUT/20261124T112400Z/   session.json    how it was recorded
                            audio-*.wav     what was heard
                            results.jsonl   turns and words as they became final
                            events.jsonl    pauses, gaps, devices lost and found, with clock times
                            result.json     and .rttm and .vtt: there once all audio is processed

Locks are on the folders themselves and end with the process: nothing stale is ever left.
"""

import fcntl
import json
import os
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from echo_edge import files
from echo_edge.errors import OutputError
from echo_edge.recorder.segments import segments, sync_folder

SCHEMA = "echo-edge.recording/1"
ABOUT = "session.json"
RESULT = "result.json"

_NAME = re.compile(r"\d{8}T\d{6}Z(-\d+)?")


@dataclass(frozen=True)
class Limits:
    """What may be deleted, and when recording must stop."""

    keep_days: float | None = None
    """Sessions that ended longer ago go, results included."""
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


def new_session(out: Path, about: dict[str, Any], now: datetime) -> Path:
    """Make the folder of a session that begins now. Raises OutputError."""
    base = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
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
        sync_folder(folder)
        sync_folder(out)
        return folder
    raise OutputError(f"{out}: found 999 sessions of one second, expected fewer: set the clock")


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
    """The sessions of a folder, oldest first."""
    return sorted(p for p in out.iterdir() if _NAME.fullmatch(p.name) and (p / ABOUT).is_file())


def lock(folder: Path) -> int | None:
    """Hold `folder` until the process ends or the descriptor is closed; None if another does."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be opened ({error.strerror})") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def free_bytes(folder: Path) -> int:
    """Room on the disk of `folder` for a user who is not root."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def clean_up(out: Path, current: Path, limits: Limits, now_s: float) -> list[str]:
    """Delete what is too old or too much; what was deleted. Never touches what is being written."""
    deleted = []
    if limits.keep_days is not None:
        for folder in sessions(out):
            # By the newest file: the clock may have been wrong when the session began.
            newest_s = max(path.stat().st_mtime for path in folder.iterdir())
            if folder != current and now_s - newest_s > 86400 * limits.keep_days:
                shutil.rmtree(folder)
                deleted.append(folder.name)
    if limits.keep_bytes is not None:
        audio = _audio_files(out, current)
        written = segments(current)[-1:]
        total = sum(path.stat().st_size for path in (*audio, *(each.path for each in written)))
        excess = total - limits.keep_bytes
        while excess > 0 and audio:
            excess -= audio[0].stat().st_size
            deleted.append(_remove(audio.pop(0)))
    return deleted


def delete_oldest(out: Path, current: Path) -> str | None:
    """Delete the oldest segment but the one being written; its name, None if there is no other."""
    audio = _audio_files(out, current)
    return _remove(audio[0]) if audio else None


def _audio_files(out: Path, current: Path) -> list[Path]:
    """Segments that may go, oldest first; the current session comes last whatever its name says,
    for the clock may have been set back, and without the segment that is being written."""
    others = [
        segment for folder in sessions(out) if folder != current for segment in segments(folder)
    ]
    return [segment.path for segment in (*others, *segments(current)[:-1])]


def _remove(path: Path) -> str:
    path.unlink(missing_ok=True)
    return f"{path.parent.name}/{path.name}"
