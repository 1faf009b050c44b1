"""The speech of one speaker of a finished recording, found again in its audio.

Results hold no voiceprints: the speech of whoever is to be named is read again, where nobody else
speaks.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio import SAMPLE_RATE, Reading, read_blocks
from echo_edge.audio.channels import AUTO
from echo_edge.errors import AudioError, JsonError, UsageError
from echo_edge.recorder.log import RESULTS, read_messages
from echo_edge.recorder.recordings import ABOUT, read_about
from echo_edge.recorder.segments import SegmentReader
from echo_edge.result import Turn
from echo_edge.strict_json import AnyText, Rule, convert, one_of, read_json
from echo_edge.writers.formats import RESULT_SCHEMA

Array = NDArray[np.float32]
Span = tuple[int, int]
"""First sample, and first after it."""
Pieces = Iterator[tuple[int, Array]]
"""Audio in order, each piece with the place of its first sample."""

MIN_S = 1.0
"""Shorter stretches of one voice alone say little and have other voices at both ends."""
MAX_S = 90.0

Time = Annotated[float, Rule("seconds from 0 to 10 000 000", lambda value: 0.0 <= value < 1e7)]


@dataclass(frozen=True)
class SpeakerSpan:
    """One turn of a speaker, seconds from the start of the recording."""

    start_s: Time
    end_s: Time
    speaker: str


@dataclass(frozen=True)
class _Audio:
    path: AnyText


@dataclass(frozen=True)
class _Result:
    """The part of a result in JSON that is read here."""

    schema: Annotated[str, one_of(RESULT_SCHEMA)]
    audio: _Audio
    turns: Annotated[
        tuple[SpeakerSpan, ...],
        Rule("turns that end after their start", lambda t: all(x.start_s <= x.end_s for x in t)),
    ]


def voice_blocks(
    recording: Path, label: str, audio: str | None = None, channel: str = AUTO
) -> Iterator[Array]:
    """Clean speech of the speaker `label`, float32 `[n]` at 16 kHz, up to 90 s, in order.

    `recording` is a folder of the recorder, growing or finished, or a result in JSON, whose audio
    may be said to be elsewhere (`audio`), of the `channel` that was used then. UsageError for what
    is neither and for a label that is not in it, AudioError where its audio is gone or the speaker
    is never alone.
    """
    folder = recording if recording.is_dir() else recording.parent
    if recording.is_dir() or (audio is None and (folder / ABOUT).is_file()):
        read_about(folder)  # says what was expected
        messages = read_messages(folder / RESULTS)
        turns: Sequence[SpeakerSpan] = [
            SpeakerSpan(x.start_s, x.end_s, x.speaker) for x in messages if isinstance(x, Turn)
        ]
        pieces = _recording_pieces(folder)
    else:
        turns, named = _read_result(recording)
        pieces = _file_pieces(_audio_path(audio or named, recording), channel)
    spans = clean_speech(turns, label, str(recording))
    found = False
    for block in _cut(pieces, spans):
        found = True
        yield block
    if not found:
        raise AudioError(
            f"{recording}: found none of the audio in which {label} speaks, expected it to be "
            "there still: a voice cannot be learned from results alone"
        )


def clean_speech(turns: Sequence[SpeakerSpan], label: str, where: str) -> list[Span]:
    """Where the turns of `label` overlap with no other: the longest of a second or more, 90 s of
    them, in order."""
    labels = sorted({turn.speaker for turn in turns})
    if label not in labels:
        raise UsageError(
            f"{where}: found no speaker {label[:60]!r}, expected one of: {', '.join(labels)[:300]}"
        )
    free = [_span(turn) for turn in turns if turn.speaker == label]
    for other in (_span(turn) for turn in turns if turn.speaker != label):
        free = [part for span in free for part in _without(span, other)]
    free = sorted(
        (span for span in free if span[1] - span[0] >= MIN_S * SAMPLE_RATE),
        key=lambda span: span[0] - span[1],
    )
    if not free:
        raise AudioError(
            f"{where}: found no second in which {label} speaks alone, expected some: enrol from "
            "another recording"
        )
    chosen, total = [], 0
    for start, end in free:
        end = min(end, start + round(MAX_S * SAMPLE_RATE) - total)
        if end > start:
            chosen.append((start, end))
            total += end - start
    return sorted(chosen)


def _span(turn: SpeakerSpan) -> Span:
    return round(turn.start_s * SAMPLE_RATE), round(turn.end_s * SAMPLE_RATE)


def _without(span: Span, other: Span) -> list[Span]:
    parts = [(span[0], min(span[1], other[0])), (max(span[0], other[1]), span[1])]
    return [(start, end) for start, end in parts if start < end]


def _cut(pieces: Pieces, spans: list[Span]) -> Iterator[Array]:
    for place, samples in pieces:
        for start, end in spans:
            part = samples[max(start - place, 0) : max(end - place, 0)]
            if len(part):
                yield part
        if place >= spans[-1][1]:
            return


def _recording_pieces(folder: Path) -> Pieces:
    with closing(SegmentReader(folder)) as reader:
        while (found := reader.read()) is not None:
            yield found[0], found[1].astype(np.float32) / np.float32(32768)


def _file_pieces(path: Path, channel: str) -> Pieces:
    place = 0
    for block in read_blocks(path, reading=Reading(channel)):
        yield place, block
        place += len(block)


def _read_result(path: Path) -> tuple[Sequence[SpeakerSpan], str]:
    """Turns, and where the audio was, of the result in a file; UsageError if it is none."""
    try:
        document = read_json(path.read_bytes(), str(path))
        result: _Result = convert(document, _Result, f"{path}: ", lenient=True)
    except (OSError, JsonError) as error:
        raise UsageError(
            f"{path}: found no result, expected a session of `echo-edge record`, or what "
            f"`echo-edge run --format json` wrote ({RESULT_SCHEMA})"
        ) from error
    return result.turns, result.audio.path


def _audio_path(named: str, result: Path) -> Path:
    """Where the audio is: as named, or in the result's own folder."""
    path = Path(named)
    beside = result.parent / path
    if not path.is_file() and not beside.is_file():
        raise AudioError(
            f"{path}: found no audio of {result}, expected the recording it was made from: say "
            "where it is (--audio FILE)"
        )
    return path if path.is_file() else beside
