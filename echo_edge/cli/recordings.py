"""The recordings that `run FILES... FOLDER GLOB --out-dir DIR` means, and where each result goes.

A file's result has its name without the suffix; one found in a folder, or by a pattern, keeps its
place below that folder.
"""

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from echo_edge.errors import UsageError

AUDIO_SUFFIXES = frozenset(
    (
        *("wav", "rf64", "w64", "aif", "aifc", "aiff", "caf", "au", "snd", "flac", "ogg", "oga"),
        *("opus", "mp2", "mp3", "m4a", "m4b", "mp4", "mov", "3gp", "aac", "alac", "webm", "mka"),
        *("mkv", "wma", "amr", "ape", "wv", "flv", "mpg", "mpeg"),
    )
)
"""Files of these in a folder are recordings, in any case of letters; what else is there is not."""


@dataclass(frozen=True)
class Recording:
    """One audio file and the place of its result."""

    path: str
    place: Path
    """Below the folder of results, without a suffix."""

    def output(self, folder: Path, format_name: str) -> Path:
        """The file of its result in a format."""
        return folder / self.place.with_name(f"{self.place.name}.{format_name}")


def is_many(words: Sequence[str]) -> bool:
    """Whether these words of the command line mean more than one file: several, a folder, or a
    pattern that is no file's name."""
    return len(words) > 1 or any(Path(word).is_dir() or _is_pattern(word) for word in words)


def find_recordings(words: Sequence[str]) -> list[Recording]:
    """All recordings, each once, in the order of the words and of names. UsageError if a folder or
    pattern holds none, or if two results would go to one place."""
    found: dict[str, Recording] = {}
    for word in words:
        if word == "-":
            raise UsageError("run: found - among others, expected files and folders: run it alone")
        for recording in _found(word):
            found.setdefault(os.path.realpath(recording.path), recording)
    return _with_places(list(found.values()))


def check_results(recordings: Sequence[Recording], folder: Path, formats: Sequence[str]) -> None:
    """UsageError if a result would take the place of a recording."""
    outputs = {
        os.path.realpath(recording.output(folder, name))
        for recording in recordings
        for name in formats
    }
    for recording in recordings:
        if os.path.realpath(recording.path) in outputs:
            raise UsageError(
                f"{recording.path}: found an input where a result is written, expected another "
                "--out-dir: choose another folder"
            )


def _is_pattern(word: str) -> bool:
    """A name with a bracket that matches nothing is that of a file which is missing."""
    if not glob.has_magic(word) or Path(word).exists():
        return False
    return "*" in word or "?" in word or any(glob.iglob(word))  # noqa: PTH207  may begin at the root


def _found(word: str) -> Iterator[Recording]:
    if Path(word).is_dir():
        root = Path(word)
        paths = [path for path in root.rglob("*") if _suffix(path) in AUDIO_SUFFIXES]
    elif _is_pattern(word):
        root = _fixed_part(word)
        paths = list(root.glob(str(Path(word).relative_to(root))))
    else:
        yield Recording(word, Path(Path(word).stem))
        return
    paths = sorted(path for path in paths if _is_shown(path.relative_to(root)) and path.is_file())
    if not paths:
        raise UsageError(f"{word}: found no recording, expected one or more: check the path")
    for path in paths:
        yield Recording(str(path), path.relative_to(root).with_suffix(""))


def _suffix(path: Path) -> str:
    return path.suffix[1:].lower()


def _is_shown(path: Path) -> bool:
    """Whether neither the file nor a folder above it is hidden."""
    return not any(part.startswith(".") for part in path.parts)


def _fixed_part(pattern: str) -> Path:
    """The folder of a pattern above its first wildcard."""
    parts = Path(pattern).parts
    fixed = next((n for n, part in enumerate(parts) if glob.has_magic(part)), 0)
    return Path(*parts[:fixed])


def _with_places(recordings: list[Recording]) -> list[Recording]:
    """Where `a.wav` and `a.mp3` would share a place, both keep their suffix: `a.wav.txt`."""
    count = Counter(recording.place for recording in recordings)
    placed = [
        recording
        if count[recording.place] == 1
        else Recording(recording.path, recording.place.with_name(_whole_name(recording)))
        for recording in recordings
    ]
    first: dict[Path, Recording] = {}
    for recording in placed:
        other = first.setdefault(recording.place, recording)
        if other is not recording:
            raise UsageError(
                f"run: found {other.path} and {recording.path}, whose results would have one name: "
                "give the folder that holds both"
            )
    return placed


def _whole_name(recording: Recording) -> str:
    return recording.place.name + Path(recording.path).suffix
