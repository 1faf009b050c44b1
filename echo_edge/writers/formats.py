"""Text forms of a Result: TXT for people, JSON, RTTM, CTM, SRT and WebVTT for other programs.

Every writer is a pure function, its times non-negative milliseconds, each end after its start. A
value that is not finite is a bug of whoever made the Result and raises ValueError. All but JSON
can also be written while the result grows: `open_text`.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING

from echo_edge.errors import UsageError
from echo_edge.result import BundleInfo as BundleInfo
from echo_edge.result import Result, Turn, Word
from echo_edge.writers.captions import continues as continues
from echo_edge.writers.text import CtmText, PlainText, RttmText, SrtText, Text, VttText, by_start

if TYPE_CHECKING:
    from echo_edge.session import Session

RESULT_SCHEMA = "echo-edge.result/1"
FORMAT_NAMES = ("txt", "json", "rttm", "ctm", "srt", "vtt")


@dataclass(frozen=True)
class AudioInfo:
    """The recording a result is about."""

    path: str
    duration_s: float
    sample_rate: int
    """In Hz."""


def bundle_info(session: "Session") -> BundleInfo:
    """The loaded bundle, as results and records name it."""
    return BundleInfo.of(session.bundle)


@dataclass(frozen=True)
class Timing:
    """Time that making a result took."""

    rtf: float | None
    """Processing time / audio time, None where there was no audio."""
    wall_s: float


def open_text(format_name: str, path: str) -> Text | None:
    """The text, still empty, of a result about the recording `path`; UsageError for a format that
    is none of FORMAT_NAMES. None for JSON, which is written at the end."""
    uri = Path(path).stem
    match format_name:
        case "json":
            return None
        case "txt":
            return PlainText()
        case "rttm":
            return RttmText(uri)
        case "ctm":
            return CtmText(uri)
        case "srt":
            return SrtText()
        case "vtt":
            return VttText()
        case _:
            known = ", ".join(FORMAT_NAMES)
            raise UsageError(f"format: found {format_name!r}, expected one of {known}")


def render(
    result: Result, format_name: str, *, audio: AudioInfo, bundle: BundleInfo, timing: Timing
) -> str:
    """Return `result` in one of FORMAT_NAMES, encodable as UTF-8; UsageError for another name."""
    stream = open_text(format_name, audio.path)
    if stream is None:
        return encodable(to_json(result, audio=audio, bundle=bundle, timing=timing))
    return encodable(_whole(stream, result))


def encodable(text: str) -> str:
    """`text` for UTF-8: a file name that is not UTF-8 has surrogates, which no output takes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _whole(stream: Text, result: Result) -> str:
    return stream.push(result) + stream.finish()


def to_txt(result: Result) -> str:
    """`PlainText` of a whole result."""
    return _whole(PlainText(), result)


def to_json(result: Result, *, audio: AudioInfo, bundle: BundleInfo, timing: Timing) -> str:
    """Schema `echo-edge.result/1`: the fields of `results.py`, numbers to four decimals."""
    turns: list[Turn] = sorted(result.turns, key=by_start)
    words: list[Word] = sorted(result.words, key=by_start)
    document = {
        "schema": RESULT_SCHEMA,
        "audio": _plain(audio),
        "bundle": _plain(bundle),
        "speakers": _plain_all(result.speakers),
        "speaker_count": _plain(result.speaker_count),
        "turns": _plain_all(turns),
        "words": _plain_all(words),
        "sources": _plain_all(result.sources),
        "timing": _plain(timing),
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def to_rttm(result: Result, uri: str) -> str:
    """`RttmText` of a whole result."""
    return _whole(RttmText(uri), result)


def to_ctm(result: Result, uri: str) -> str:
    """`CtmText` of a whole result."""
    return _whole(CtmText(uri), result)


def to_srt(result: Result) -> str:
    """`SrtText` of a whole result."""
    return _whole(SrtText(), result)


def to_vtt(result: Result) -> str:
    """`VttText` of a whole result."""
    return _whole(VttText(), result)


def _plain(record: object) -> dict[str, object]:
    """Fields of a flat dataclass as JSON knows them; engines leave NumPy numbers in them."""
    return {name: _plain_value(value) for name, value in vars(record).items()}


def _plain_value(value: object) -> object:
    if isinstance(value, Integral):
        return int(value)
    return round(float(value), 4) if isinstance(value, Real) else value


def _plain_all(records: Iterable[object]) -> list[dict[str, object]]:
    return [_plain(record) for record in records]
