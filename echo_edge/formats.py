"""Text forms of a Result: TXT for people, JSON, RTTM, CTM, SRT and WebVTT for other programs.

Every writer is a pure function, its times non-negative milliseconds, each end after its start. A
value that is not finite is a bug of whoever made the Result and raises ValueError.
"""

import json
import math
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING

from echo_edge.errors import UsageError
from echo_edge.results import Result, Turn, Word

if TYPE_CHECKING:
    from echo_edge.session import Session

RESULT_SCHEMA = "echo-edge.result/1"
FORMAT_NAMES = ("txt", "json", "rttm", "ctm", "srt", "vtt")

_CUE_CHARACTERS = 84  # two subtitle lines
_CUE_S = 6.0
_CUE_GAP_S = 0.8
_OVERLAP_S = 0.05  # words of one row may share a frame
_UNKNOWN_SPEAKER = "?"


@dataclass(frozen=True)
class AudioInfo:
    """The recording a result is about."""

    path: str
    duration_s: float
    sample_rate: int
    """In Hz."""


@dataclass(frozen=True)
class BundleInfo:
    """The bundle that made a result."""

    name: str
    version: str
    engine: str
    recipe: str
    sha256: str


def bundle_info(session: "Session") -> BundleInfo:
    """The loaded bundle, as results and records name it."""
    manifest, sha256 = session.bundle.manifest, session.bundle.sha256
    return BundleInfo(
        manifest.name, manifest.version, manifest.engine.name, manifest.recipe, sha256
    )


@dataclass(frozen=True)
class Timing:
    """What making a result took."""

    rtf: float | None
    """Processing time / audio time, None where there was no audio."""
    wall_s: float


def render(
    result: Result, format_name: str, *, audio: AudioInfo, bundle: BundleInfo, timing: Timing
) -> str:
    """Return `result` in one of FORMAT_NAMES, encodable as UTF-8; UsageError for another name."""
    uri = Path(audio.path).stem
    match format_name:
        case "txt":
            text = to_txt(result)
        case "json":
            text = to_json(result, audio=audio, bundle=bundle, timing=timing)
        case "rttm":
            text = to_rttm(result, uri)
        case "ctm":
            text = to_ctm(result, uri)
        case "srt":
            text = to_srt(result)
        case "vtt":
            text = to_vtt(result)
        case _:
            known = ", ".join(FORMAT_NAMES)
            raise UsageError(f"format: found {format_name!r}, expected one of {known}")
    # A file name that is not UTF-8 reaches us with surrogates, which no output takes.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def to_txt(result: Result) -> str:
    """One line per cue, and per turn in which nothing was transcribed, in order of time."""
    names = result.names
    silent = [_turn_cue(turn, names, "(no words)") for turn in _silent_turns(result)]
    cues = _cues(result) + silent
    lines = [
        f"[{_tenths(cue.start_ms)} - {_tenths(cue.end_ms)}] {cue.speaker}: {cue.text}\n"
        for cue in sorted(cues, key=lambda cue: (cue.start_ms, cue.end_ms))
    ]
    return "".join(lines) or "(no speech found)\n"


def to_json(result: Result, *, audio: AudioInfo, bundle: BundleInfo, timing: Timing) -> str:
    """Schema `echo-edge.result/1`: the fields of `results.py`, numbers to four decimals."""
    document = {
        "schema": RESULT_SCHEMA,
        "audio": _plain(audio),
        "bundle": _plain(bundle),
        "speakers": _plain_all(result.speakers),
        "speaker_count": _plain(result.speaker_count),
        "turns": _plain_all(_turns(result)),
        "words": _plain_all(_words(result)),
        "sources": _plain_all(result.sources),
        "timing": _plain(timing),
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def to_rttm(result: Result, uri: str) -> str:
    """NIST RTTM: one `SPEAKER` line per turn."""
    names, lines = result.names, []
    for turn in _turns(result):
        start_ms, end_ms = _span_ms(turn)
        times = f"{start_ms / 1000:.3f} {(end_ms - start_ms) / 1000:.3f}"
        speaker = _column(names.get(turn.speaker, turn.speaker))
        lines.append(f"SPEAKER {_column(uri)} 1 {times} <NA> <NA> {speaker} <NA> <NA>\n")
    return "".join(lines)


def to_ctm(result: Result, uri: str) -> str:
    """NIST CTM: recording, channel, start, duration, word and confidence, one line per word."""
    lines = []
    for word in _words(result):
        start_ms, end_ms = _span_ms(word)
        times = f"{start_ms / 1000:.3f} {(end_ms - start_ms) / 1000:.3f}"
        confidence = f"{_milli(word.confidence) / 1000:.3f}"
        lines.append(f"{_column(uri)} 1 {times} {_column(word.text)} {confidence}\n")
    return "".join(lines)


def to_srt(result: Result) -> str:
    """SubRip subtitles, each cue prefixed with its speaker."""
    return "\n".join(
        f"{number}\n{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}\n"
        f"{cue.speaker}: {_without_arrow(cue.text)}\n"
        for number, cue in enumerate(_subtitles(result), 1)
    )


def to_vtt(result: Result) -> str:
    """WebVTT subtitles, each cue in the voice (`<v ...>`) of its speaker."""
    cues = [
        f"\n{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}\n"
        f"<v {_escape(cue.speaker)}>{_escape(cue.text)}\n"
        for cue in _subtitles(result)
    ]
    return "WEBVTT\n" + "".join(cues)


@dataclass(frozen=True)
class _Cue:
    """A line of text on the screen."""

    start_ms: int
    end_ms: int
    speaker: str
    text: str


def _turns(result: Result) -> list[Turn]:
    return sorted(result.turns, key=lambda turn: (turn.start_s, turn.end_s, turn.speaker))


def _words(result: Result) -> list[Word]:
    return sorted(result.words, key=lambda word: (word.start_s, word.end_s))


def _cues(result: Result) -> list[_Cue]:
    """Group consecutive words of one speaker. Where words of several overlap, as those of each
    source do, a speaker's are consecutive whatever others say."""
    words, groups = _words(result), list[list[Word]]()
    if any(before.end_s - after.start_s > _OVERLAP_S for before, after in pairwise(words)):
        words.sort(key=lambda word: word.speaker or "")  # stable: by start still
    for word in words:
        if not (groups and continues(groups[-1], word)):
            groups.append([])
        groups[-1].append(word)
    groups.sort(key=lambda group: group[0].start_s)
    names = result.names
    return [
        _Cue(
            _span_ms(group[0])[0],
            max(_span_ms(word)[1] for word in group),
            _shown(group[0].speaker, names),
            _one_line(" ".join(word.text for word in group)),
        )
        for group in groups
    ]


def continues(group: list[Word], word: Word) -> bool:
    """Whether `word` goes on the line of these words: one speaker, no pause, not too long."""
    first, last = group[0], group[-1]
    n_characters = sum(len(each.text) + 1 for each in group) + len(word.text)
    return (
        word.speaker == last.speaker
        and n_characters <= _CUE_CHARACTERS
        and word.end_s - first.start_s <= _CUE_S
        and word.start_s - last.end_s <= _CUE_GAP_S
    )


def _subtitles(result: Result) -> list[_Cue]:
    names = result.names
    return _cues(result) or [_turn_cue(turn, names, "[speech]") for turn in _turns(result)]


def _turn_cue(turn: Turn, names: dict[str, str], text: str) -> _Cue:
    return _Cue(*_span_ms(turn), _shown(turn.speaker, names), text)


def _shown(speaker: str | None, names: dict[str, str]) -> str:
    """What people read: the name or, where there is none, the label."""
    return _UNKNOWN_SPEAKER if speaker is None else _one_line(names.get(speaker, speaker))


def _silent_turns(result: Result) -> list[Turn]:
    """Turns during which their speaker says no transcribed word."""
    spoken: dict[str | None, list[Word]] = {}
    for word in _words(result):
        spoken.setdefault(word.speaker, []).append(word)
    silent = []
    for turn in _turns(result):
        words = spoken.get(turn.speaker, [])
        # Words of one speaker follow one another, so the last to begin before the turn ends tells.
        before_end = bisect_left(words, turn.end_s, key=lambda word: word.start_s)
        if not before_end or words[before_end - 1].end_s <= turn.start_s:
            silent.append(turn)
    return silent


def _milli(value: float) -> int:
    if not math.isfinite(value):
        raise ValueError(f"a result holds {value}, expected finite times and confidences")
    return max(0, round(value * 1000))


def _span_ms(item: Turn | Word) -> tuple[int, int]:
    start_ms = _milli(item.start_s)
    return start_ms, max(_milli(item.end_s), start_ms + 1)


def _clock(time_ms: int, mark: str) -> str:
    minutes, ms = divmod(time_ms, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{ms // 1000:02}{mark}{ms % 1000:03}"


def _tenths(time_ms: int) -> str:
    return _clock(round(time_ms, -2), ".")[:-2]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _column(text: str) -> str:
    """`text` as one column of a file whose columns are separated by blanks."""
    return "_".join(text.split()) or "<NA>"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _without_arrow(text: str) -> str:
    """SubRip has no escapes, and readers take any line with its arrow for times."""
    return text.replace("-->", "->")


def _plain(record: object) -> dict[str, object]:
    """Fields of a flat dataclass as JSON knows them; engines leave NumPy numbers in them."""
    return {name: _plain_value(value) for name, value in vars(record).items()}


def _plain_value(value: object) -> object:
    if isinstance(value, Integral):
        return int(value)
    return round(float(value), 4) if isinstance(value, Real) else value


def _plain_all(records: Iterable[object]) -> list[dict[str, object]]:
    return [_plain(record) for record in records]
