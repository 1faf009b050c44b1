"""Messages of the recorder: those of its transcriber, those it logs, those for other programs.

Each is a frozen dataclass and one line of JSON, whose key `type` is its name in TYPES. Knows
nothing of files and processes.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from echo_edge.result import Result, Speaker, SpeakerCount, Turn, Word
from echo_edge.strict_json import AnyText, convert, refusal

Line = dict[str, Any]
"""A message as `json` has it."""

Speech = TypeVar("Speech", Turn, Word)


@dataclass(frozen=True)
class Ready:
    """The transcriber has loaded its bundle."""


@dataclass(frozen=True)
class Progress:
    """The recording is transcribed up to this time."""

    done_s: float


@dataclass(frozen=True)
class SpeakerName:
    """The name of a speaker: reported once it is known, logged when a recording is complete."""

    speaker: str
    name: str


@dataclass(frozen=True)
class Tentative:
    """Turns and words that are not final: reported when they change, never logged."""

    turns: tuple[Turn, ...] = ()
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class Signal:
    """Everything about the audio so far that is not nominal; empty if nothing."""

    message: AnyText


@dataclass(frozen=True)
class NobodyByName:
    """Why the known voices cannot be used."""

    message: AnyText


@dataclass(frozen=True)
class Failure:
    """Why there are no results."""

    message: AnyText


@dataclass(frozen=True)
class End:
    """All results are logged."""

    count_confidence: float
    """Of the number of speakers, 0 to 1."""


@dataclass(frozen=True)
class WordGroup:
    """Words of one speaker in a row, as subtitles have them: shown, never logged."""

    start_s: float
    end_s: float
    speaker: str | None
    text: str


Message = (
    Ready | Progress | Turn | Word | SpeakerName | Tentative | Signal | NobodyByName | Failure | End
    | WordGroup
)  # fmt: skip

Item = TypeVar("Item", bound=Message)

TYPES: dict[str, type[Message]] = {
    "ready": Ready,
    "progress": Progress,
    "turn": Turn,
    "word": Word,
    "speaker": SpeakerName,
    "tentative": Tentative,
    "signal": Signal,
    "nobody by name": NobodyByName,
    "error": Failure,
    "end": End,
    "words": WordGroup,
}
"""The value of `type` in a line of JSON -> the message."""
NAMES = {kind: name for name, kind in TYPES.items()}


@dataclass(frozen=True)
class Event:
    """Something that happened to a recording: a pause, a device that was lost, a full disk."""

    name: str
    at_s: float
    """Time of the recording."""
    utc: str
    fields: Mapping[str, object] = field(default_factory=dict)
    """More about it; docs/recorder.md has a table."""


def to_line(message: Message | Event) -> Line:
    """The keys of a message, `type` first."""
    if isinstance(message, Event):
        known: Line = {"type": message.name, "at_s": message.at_s, "utc": message.utc}
        return known | dict(message.fields)
    return {"type": NAMES[type(message)]} | {n: _plain(v) for n, v in vars(message).items()}


def dump(message: Message | Event) -> str:
    """One line of JSON, its line end included."""
    return json.dumps(to_line(message), ensure_ascii=False, allow_nan=False) + "\n"


def from_line(line: object, where: str = "line") -> Message:
    """The message that JSON gave as `line`; JsonError for one that is none of TYPES."""
    kind = TYPES.get(str(line.get("type"))) if isinstance(line, dict) else None
    if kind is None:
        raise refusal(where, "no known type", f"one of {', '.join(TYPES)}")
    message: Message = convert(line, kind, f"{where}: ", lenient=True)
    return message


def rounded(item: Speech) -> Speech:
    """A turn or word with its numbers as they are written: plain floats of four decimals."""
    return replace(
        item,
        start_s=round(float(item.start_s), 4),
        end_s=round(float(item.end_s), 4),
        confidence=round(float(item.confidence), 4),
    )


def forget_between(messages: Iterable[Item], start_s: float, end_s: float) -> list[Item]:
    """The messages without the speech in a part of the recording: turns are cut, words dropped."""
    left: list[Item] = []
    for message in messages:
        if (
            not isinstance(message, Turn | Word)
            or message.end_s <= start_s
            or message.start_s >= end_s
        ):
            left.append(message)
        elif isinstance(message, Turn):
            if message.start_s < start_s:
                left.append(replace(message, end_s=start_s))
            if message.end_s > end_s:
                left.append(replace(message, start_s=end_s))
    return left


def to_result(messages: Iterable[Message], duration_s: float) -> Result:
    """Turns, words and speakers as one result."""
    messages = list(messages)
    turns = tuple(each for each in messages if isinstance(each, Turn))
    words = tuple(each for each in messages if isinstance(each, Word))
    names = {each.speaker: each.name for each in messages if isinstance(each, SpeakerName)}
    speech_s: dict[str, float] = {}
    for turn in sorted(turns, key=lambda turn: turn.start_s):
        speech_s[turn.speaker] = speech_s.get(turn.speaker, 0.0) + turn.end_s - turn.start_s
    speakers = tuple(
        Speaker(label, names.get(label), seconds) for label, seconds in speech_s.items()
    )
    confidence = next((each.count_confidence for each in messages if isinstance(each, End)), 0.5)
    return Result(turns, words, duration_s, speakers, SpeakerCount(len(speakers), confidence))


def _plain(value: object) -> object:
    return [*map(to_line, value)] if isinstance(value, tuple) else value
