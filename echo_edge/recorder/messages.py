"""Results and events as JSON lines: appended, never rewritten in place, whole but for the last."""

import errno
import json
import os
from contextlib import suppress
from numbers import Real
from pathlib import Path
from typing import Any

from echo_edge import files
from echo_edge.errors import OutputError
from echo_edge.recorder.storage import sync_file
from echo_edge.result import Result, Speaker, SpeakerCount, Turn, Word

Line = dict[str, Any]

RESULTS = "results.jsonl"
EVENTS = "events.jsonl"


class LineWriter:
    """Appends lines to a file; `sync` makes them survive a power cut. Raises OutputError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            self._file = os.open(path, flags, 0o600)
        except OSError as error:
            raise self._cannot_write(error) from error
        self._synced = True

    def write(self, line: Line) -> None:
        """Append one line, or nothing of it."""
        data, size = dump(line).encode(), None
        try:
            size = os.fstat(self._file).st_size
            if os.write(self._file, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            if size is not None:
                with suppress(OSError):
                    os.ftruncate(self._file, size)
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


def dump(line: Line) -> str:
    """One line of JSON, its line end included."""
    return json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"


def read_lines(path: Path) -> list[Line]:
    """The lines of a file, without what a crash tore; none if there is no such file."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_bytes().split(b"\n"):
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            lines.append(line)
    return lines


def replace_lines(path: Path, lines: list[Line]) -> None:
    """Put `lines` in the place of a file, at once: before a crash the old, after it the new."""
    files.save("".join(map(dump, lines)), path)


def turn_line(turn: Turn) -> Line:
    """A final turn."""
    return _line("turn", turn)


def word_line(word: Word) -> Line:
    """A final word."""
    return _line("word", word)


def speaker_line(label: str, name: str) -> Line:
    """The name of a speaker: reported once it is known, in the file when a session is complete."""
    return {"type": "speaker", "speaker": label, "name": name}


def tentative_line(turns: list[Line], words: list[Line]) -> Line:
    """What is not final at the moment: reported, never in the file."""
    return {"type": "tentative", "turns": turns, "words": words}


def to_word(line: Line) -> Word:
    """The word of a `word` line."""
    return Word(line["start_s"], line["end_s"], line["text"], line["speaker"], line["confidence"])


def forget_between(lines: list[Line], start_s: float, end_s: float) -> list[Line]:
    """The lines without what was said in a part of the recording: turns are cut, words dropped."""
    kept = []
    for line in lines:
        said = line["type"] in ("turn", "word")
        if not said or line["end_s"] <= start_s or line["start_s"] >= end_s:
            kept.append(line)
        elif line["type"] == "turn":
            if line["start_s"] < start_s:
                kept.append(line | {"end_s": start_s})
            if line["end_s"] > end_s:
                kept.append(line | {"start_s": end_s})
    return kept


def forget_in(folder: Path, start_s: float, end_s: float) -> None:
    """Delete from a session's results what was said in a part of it. Raises OutputError."""
    path = folder / RESULTS
    replace_lines(path, forget_between(read_lines(path), start_s, end_s))


def to_result(lines: list[Line], duration_s: float) -> Result:
    """Turns, words and speakers as one result."""
    turns = tuple(
        Turn(line["start_s"], line["end_s"], line["speaker"], line["confidence"])
        for line in lines
        if line["type"] == "turn"
    )
    words = tuple(to_word(line) for line in lines if line["type"] == "word")
    speech_s: dict[str, float] = {}
    for turn in sorted(turns, key=lambda turn: turn.start_s):
        speech_s[turn.speaker] = speech_s.get(turn.speaker, 0.0) + turn.end_s - turn.start_s
    people = {line["speaker"]: line["name"] for line in lines if line["type"] == "speaker"}
    speakers = tuple(
        Speaker(label, people.get(label), spoken) for label, spoken in speech_s.items()
    )
    confidence = next((x["count_confidence"] for x in lines if x["type"] == "end"), 0.5)
    return Result(turns, words, duration_s, speakers, SpeakerCount(len(speakers), confidence))


def _line(kind: str, item: Turn | Word) -> Line:
    numbers = {n: round(float(v), 4) for n, v in vars(item).items() if isinstance(v, Real)}
    return {"type": kind} | vars(item) | numbers
