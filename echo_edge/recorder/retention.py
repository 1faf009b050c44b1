"""Deletes old recordings, by time that really passed, and audio beyond the room it may take. Never
the recording in progress, nor a folder that cannot be read as a recording.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from echo_edge.errors import OutputError
from echo_edge.recorder.clock import DAY_S
from echo_edge.recorder.options import Limits
from echo_edge.recorder.recordings import ABOUT, find_recordings, read_about
from echo_edge.recorder.segments import segments
from echo_edge.recorder.storage import lock

Age = Callable[[str], float]
"""Seconds since a recording, by its name, was last recorded to (`PassedTime.age_s`)."""


def clean_up(out: Path, current: Path, limits: Limits, age_s: Age) -> list[str]:
    """Delete what is too old or too much; what was deleted. OSError where something cannot be."""
    deleted = []
    if limits.keep_days is not None:
        oldest_s = DAY_S * limits.keep_days
        old = [x for x in _oldest_first(out, current, age_s) if age_s(x.name) > oldest_s]
        deleted += [folder.name for folder in old if _remove_recording(folder)]
    if limits.keep_bytes is not None:
        audio = _audio_files(out, current, age_s)
        written = segments(current)[-1:]
        total = sum(path.stat().st_size for path in (*audio, *(each.path for each in written)))
        excess = total - limits.keep_bytes
        while excess > 0 and audio:
            excess -= audio[0].stat().st_size
            deleted.append(_remove(audio.pop(0)))
    return deleted


def delete_oldest(out: Path, current: Path, age_s: Age) -> str | None:
    """Delete the oldest segment but the one being written; its name, None if there is no other."""
    audio = _audio_files(out, current, age_s)
    return _remove(audio[0]) if audio else None


def _oldest_first(out: Path, current: Path, age_s: Age) -> list[Path]:
    """All recordings but the one in progress, in the order in which they were recorded: by age,
    those of one age by name. One whose `session.json` is damaged is nobody's to delete but its
    owner's."""
    found = [folder for folder in find_recordings(out) if folder != current and _is_whole(folder)]
    return sorted(found, key=lambda folder: -age_s(folder.name))


def _is_whole(folder: Path) -> bool:
    try:
        read_about(folder)
    except OutputError:
        return False
    return True


def _audio_files(out: Path, current: Path, age_s: Age) -> list[Path]:
    """Segments that may go, oldest first; the current recording comes last, without the segment in
    progress."""
    others = [x for folder in _oldest_first(out, current, age_s) for x in segments(folder)]
    return [segment.path for segment in (*others, *segments(current)[:-1])]


def _remove_recording(folder: Path) -> bool:
    """Delete a recording unless it is being recovered; `session.json` goes last, so that a deletion
    that was interrupted goes on the next time."""
    claim = lock(folder)
    if claim is None:
        return False
    try:
        for path in sorted(folder.iterdir(), key=lambda path: path.name == ABOUT):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        folder.rmdir()
    finally:
        claim.close()
    return True


def _remove(path: Path) -> str:
    path.unlink(missing_ok=True)
    return f"{path.parent.name}/{path.name}"
