"""Views of a recording in progress: a live view for people, JSON lines for programs, or nothing."""

import os
import select
import shutil
import sys
from dataclasses import dataclass
from itertools import takewhile
from typing import Protocol, TextIO

import numpy as np

from echo_edge.recorder.messages import (
    Event,
    Message,
    SpeakerName,
    Tentative,
    WordGroup,
    dump,
)
from echo_edge.recorder.terminal import is_foreground
from echo_edge.result import Turn, Word
from echo_edge.writers import formats

_WIDTH = 16
_FLOOR_DB = -60.0


@dataclass(frozen=True)
class Status:
    """The state of the recorder, a few times a second."""

    recorded_s: float
    lag_s: float
    """Audio recorded and not yet transcribed."""
    peak: float
    """0 to 1."""
    paused: bool
    problem: str | None
    """Why nothing is recorded at the moment, if so."""


class View(Protocol):
    """Where events go."""

    def show(self, message: Message | Event) -> None:
        """A turn, a group of words or an event."""

    def status(self, status: Status) -> None:
        """How it is going."""

    def close(self) -> None:
        """Nothing more comes."""


class WordGroups:
    """Words to lines of one speaker, as subtitles have them; a line is out when it is complete."""

    def __init__(self) -> None:
        self._group: list[Word] = []

    @property
    def open(self) -> tuple[Word, ...]:
        """The words of the line that is not complete."""
        return tuple(self._group)

    def add(self, word: Word) -> WordGroup | None:
        """The group that this word ends, if it does."""
        done = None
        if self._group and not formats.continues(self._group, word):
            done = self.take()
        self._group.append(word)
        return done

    def take_before(self, time_s: float) -> WordGroup | None:
        """The group, if it ended long enough before `time_s`."""
        return self.take() if self._group and self._group[-1].end_s < time_s else None

    def take(self) -> WordGroup | None:
        """The group that is open."""
        group, self._group = self._group, []
        if not group:
            return None
        return WordGroup(
            start_s=group[0].start_s,
            end_s=max(word.end_s for word in group),
            speaker=group[0].speaker,
            text=" ".join(word.text for word in group),
        )


class _Output:
    """Writes what its reader takes and keeps the rest: one that sleeps or has gone stops nothing.

    Beyond `MAX_WAITING` bytes lines are dropped; the recording's files have them all.
    """

    MAX_WAITING = 2**20

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._waiting = bytearray()
        try:
            self._file: int | None = out.fileno()
        except (OSError, ValueError):  # not a file: it never blocks
            self._file = None

    @property
    def is_ours(self) -> bool:
        """Whether a line of a terminal may be drawn anew: not by a job in the background."""
        return self._file is None or is_foreground(self._file)

    @property
    def waits(self) -> bool:
        """Whether there is something that nobody took yet."""
        return bool(self._waiting)

    def write(self, text: str) -> None:
        """Write, now or as soon as somebody reads."""
        if self._file is None:
            self._out.write(text)
        elif len(self._waiting) < self.MAX_WAITING:
            self._waiting += text.encode("utf-8", "backslashreplace")
            self.flush()

    def flush(self, timeout_s: float = 0.0) -> None:
        """Write what can be written without waiting longer than `timeout_s` for the reader."""
        while self._waiting and self._file is not None:
            if not select.select([], [self._file], [], timeout_s)[1]:
                return
            try:  # where a pipe has room at all it has room for this much
                n_written = os.write(self._file, self._waiting[: select.PIPE_BUF])
            except OSError:
                self._waiting.clear()
                return
            del self._waiting[:n_written]


class QuietView:
    """Errors only, and those go to stderr anyway."""

    def show(self, message: Message | Event) -> None:
        """Nothing."""

    def status(self, status: Status) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class JsonView:
    """One line of JSON per final turn, group of words and event, and where `tentative` is asked for
    per change of what is not final."""

    def __init__(self, out: TextIO, tentative: bool = False) -> None:
        self._out, self._tentative = _Output(out), tentative

    def show(self, message: Message | Event) -> None:
        """Write the line; a reader that has gone does not stop the recorder."""
        if self._tentative or not isinstance(message, Tentative):
            self._out.write(dump(message))

    def status(self, status: Status) -> None:  # noqa: ARG002 - of no use to programs
        """Nothing new: programs get events."""
        self._out.flush()

    def close(self) -> None:
        """Give the reader a last second."""
        self._out.flush(1.0)


class TerminalView:
    """The transcript, and under it one line that is always up to date."""

    def __init__(self, out: TextIO | None = None) -> None:
        out = out or sys.stdout
        self._out, self._live = _Output(out), out.isatty()
        self._speech_s: dict[str, float] = {}
        self._names: dict[str | None, str] = {None: "?"}
        self._tentative: tuple[Word, ...] = ()
        """Words that are not in the transcript yet."""

    def show(self, message: Message | Event) -> None:
        """A line of transcript or an event; turns only change the speakers' times, and names are
        shown from then on."""
        match message:
            case SpeakerName():
                self._names[message.speaker] = message.name
            case Turn():
                spoken_s = self._speech_s.get(message.speaker, 0.0)
                self._speech_s[message.speaker] = spoken_s + message.end_s - message.start_s
            case Tentative():
                self._tentative = message.words
            case WordGroup():
                name = self._called(message.speaker)
                self._print(f"[{clock(message.start_s)}] {name}: {message.text}")
            case Event():
                about = ", ".join(f"{key} {value}" for key, value in message.fields.items())
                self._print(f"[{clock(message.at_s)}] ({message.name}{about and ': '}{about})")

    def status(self, status: Status) -> None:
        """Draw the last line anew."""
        self._out.flush()
        if self._live and self._out.is_ours and not self._out.waits:
            mark = "paused" if status.paused else "rec"
            voices = "  ".join(f"{self._called(n)} {s:.0f} s" for n, s in self._speech_s.items())
            line = (
                f"{mark} {clock(status.recorded_s)} {meter(status.peak)} lag {status.lag_s:.1f} s  "
            )
            room = max(_columns() - 1 - len(line), 0)
            line += (status.problem or self._tentative_text(room) or voices)[:room]
            self._out.write(f"\r\x1b[K{line[: _columns() - 1]}")

    def close(self) -> None:
        """Clear the last line."""
        self._out.write(self._clear())
        self._out.flush(1.0)

    def _tentative_text(self, room: int) -> str:
        """The tentative words of whoever speaks now, in `room` columns; their end if it is long."""
        if not self._tentative:
            return ""
        speaker = self._tentative[-1].speaker
        own = takewhile(lambda word: word.speaker == speaker, reversed(self._tentative))
        text = " ".join(word.text for word in reversed(list(own)))
        name = f"{self._called(speaker)}: "
        left = max(room - len(name) - 2, 0)
        return name + (f"{text}…" if len(text) <= left else f"…{text[len(text) - left :]}…")

    def _called(self, speaker: str | None) -> str:
        return self._names.get(speaker) or str(speaker)

    def _print(self, text: str) -> None:
        printable = "".join(each if each.isprintable() else " " for each in text)
        self._out.write(f"{self._clear()}{printable}\n")

    def _clear(self) -> str:
        """The characters that remove the line that is drawn anew."""
        return "\r\x1b[K" if self._live and self._out.is_ours else ""


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}"


def meter(peak: float) -> str:
    """A bar from -60 dB to full scale, and the level in dB."""
    level_db = max(_FLOOR_DB, float(20 * np.log10(max(peak, 1e-9))))
    filled = round(_WIDTH * (1 - level_db / _FLOOR_DB))
    return f"{'#' * filled}{'.' * (_WIDTH - filled)} {level_db:3.0f} dB"


def _columns() -> int:
    return shutil.get_terminal_size().columns
