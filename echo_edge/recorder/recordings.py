"""Folders of recordings: one each, named by when it began (UTC).

    OUT/20261124T112400Z/   session.json    how it was recorded
                            audio-*.wav     the audio
                            results.jsonl   turns and words as they became final
                            events.jsonl    pauses, gaps, devices lost and found, with clock times
                            result.json     and .rttm and .vtt: there once all audio is processed

Locks are on the folders themselves and end with the process: nothing stale is ever left.
"""

import json
import os
import re
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

from echo_edge import files
from echo_edge.errors import JsonError, OutputError
from echo_edge.recorder.clock import AHEAD_S
from echo_edge.recorder.options import Options
from echo_edge.recorder.storage import sync_folder
from echo_edge.strict_json import AnyText, convert, one_of

SCHEMA = "echo-edge.recording/1"
ABOUT = "session.json"
RESULT = "result.json"

_NAME = re.compile(r"(\d{8}T\d{6}Z)(?:-(\d+))?")
_TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class ClockJump:
    """The clock was set by `by_s` seconds at a time of the recording."""

    at_s: float
    by_s: float


@dataclass(frozen=True, kw_only=True)
class About:
    """How a recording was made: its `session.json`."""

    schema: Annotated[str, one_of(SCHEMA)]
    started_utc: str
    source: AnyText
    """The microphone or the file."""
    options: Options
    clock_jumps: tuple[ClockJump, ...] = ()
    continues: str | None = None
    """The recording before, whose storage went away."""


def make_folder(path: Path) -> None:
    """Make `path` and its parents where they are missing, for the owner only."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be made ({error.strerror}): choose a folder that can be written to"
        ) from error


def new_recording(out: Path, about: About, now: datetime, lacks: set[str] | None = None) -> Path:
    """Make the folder of a recording that begins `now`, by the clock. Raises OutputError.

    Its name sorts after those that are there: with a clock that was set back it is the newest
    name's second and one more, unless that name is of a clock that was ahead. `lacks`
    takes what the storage cannot do.
    """
    base = now.astimezone(UTC).strftime(_TIME)
    newest = next((p.name[:16] for p in reversed(find_recordings(out)) if not _was_ahead(p)), base)
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
        write_about(folder, about)
        for each in (folder, out):
            sync_folder(each, set() if lacks is None else lacks)
        return folder
    raise OutputError(f"{out}: found 999 sessions of one second, expected fewer: set the clock")


def write_about(folder: Path, about: About) -> None:
    """Write `session.json`, without the keys that say nothing. Raises OutputError."""
    document = {name: value for name, value in asdict(about).items() if value not in ((), None)}
    files.save(json.dumps(document, indent=1) + "\n", folder / ABOUT)


def read_about(folder: Path) -> About:
    """The `session.json` of a recording; OutputError if there is none, or a damaged one."""
    try:
        document = json.loads((folder / ABOUT).read_bytes())
    except (OSError, ValueError):
        document = None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise OutputError(
            f"{folder}: found no {ABOUT} of {SCHEMA}, expected a session that "
            "`echo-edge record` made, or a folder of them"
        )
    try:
        about: About = convert(document, About, f"{folder / ABOUT}: ", lenient=True)
    except JsonError as error:
        raise OutputError(f"{error}: restore it") from error
    return about


def note_jump(folder: Path, at_s: float, by_s: float) -> None:
    """Write into `session.json` that the clock was set. Raises OutputError."""
    about = read_about(folder)
    jump = ClockJump(round(at_s, 3), round(by_s, 3))
    write_about(folder, replace(about, clock_jumps=(*about.clock_jumps, jump)))


def _was_ahead(folder: Path) -> bool:
    """Whether the clock was far ahead when a recording began; damaged ones cannot say so."""
    try:
        jumps = read_about(folder).clock_jumps
    except OutputError:
        return False
    return any(jump.at_s == 0.0 and jump.by_s > AHEAD_S for jump in jumps)


def find_recordings(out: Path) -> list[Path]:
    """The recordings of a folder, by name: oldest first, where the clock was right."""
    found = ((_NAME.fullmatch(path.name), path) for path in out.iterdir())
    named = [(each[1], int(each[2] or 1), p) for each, p in found if each and (p / ABOUT).is_file()]
    return [path for *_, path in sorted(named)]


def free_bytes(folder: Path) -> int:
    """Room on the disk of `folder` for a user who is not root."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize
