"""The speech of one speaker of a finished recording, found again in its audio.

Results hold no voiceprints: whoever is to be named is heard again, where nobody else speaks.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio import SAMPLE_RATE, Reading, read_blocks
from echo_edge.audio.channels import AUTO
from echo_edge.errors import AudioError, UsageError
from echo_edge.recorder.messages import RESULTS, read_lines
from echo_edge.recorder.recordings import ABOUT, read_about
from echo_edge.recorder.segments import SegmentReader
from echo_edge.writers.formats import RESULT_SCHEMA

Array = NDArray[np.float32]
Turn = dict[str, Any]
"""`start_s`, `end_s` and `speaker`."""
Span = tuple[int, int]
"""First sample, and first after it."""
Pieces = Iterator[tuple[int, Array]]
"""Audio in order, each piece with the place of its first sample."""

SHORTEST_S = 1.0
"""Shorter stretches of one voice alone say little and have other voices at both ends."""
ENOUGH_S = 90.0


def voice_blocks(
    recording: Path, label: str, audio: str | None = None, channel: str = AUTO
) -> Iterator[Array]:
    """What the speaker `label` says alone, float32 `[n]` at 16 kHz, up to 90 s, in order.

    `recording` is a session of the recorder, running or finished, or a result in JSON, whose audio
    may be said to be elsewhere (`audio`), of the `channel` that was heard then. UsageError for what
    is neither and for a label that is not in it, AudioError where its audio is gone or the speaker
    is never alone.
    """
    folder = recording if recording.is_dir() else recording.parent
    if recording.is_dir() or (audio is None and (folder / ABOUT).is_file()):
        read_about(folder)  # says what was expected
        turns = [line for line in read_lines(folder / RESULTS) if line["type"] == "turn"]
        pieces = _session_pieces(folder)
    else:
        turns, named = _read_result(recording)
        pieces = _file_pieces(_audio_path(audio or named, recording), channel)
    spans = alone(turns, label, str(recording))
    found = False
    for block in _cut(pieces, spans):
        found = True
        yield block
    if not found:
        raise AudioError(
            f"{recording}: found none of the audio in which {label} speaks, expected it to be "
            "there still: a voice cannot be learned from results alone"
        )


def alone(turns: list[Turn], label: str, where: str) -> list[Span]:
    """Where the turns of `label` overlap with no other: the longest of a second or more, 90 s of
    them, in order."""
    labels = sorted({turn["speaker"] for turn in turns})
    if label not in labels:
        raise UsageError(
            f"{where}: found no speaker {label[:60]!r}, expected one of: {', '.join(labels)[:300]}"
        )
    free = [_span(turn) for turn in turns if turn["speaker"] == label]
    for other in (_span(turn) for turn in turns if turn["speaker"] != label):
        free = [part for span in free for part in _without(span, other)]
    free = sorted(
        (span for span in free if span[1] - span[0] >= SHORTEST_S * SAMPLE_RATE),
        key=lambda span: span[0] - span[1],
    )
    if not free:
        raise AudioError(
            f"{where}: found no second in which {label} speaks alone, expected some: enrol from "
            "another recording"
        )
    chosen, total = [], 0
    for start, end in free:
        end = min(end, start + round(ENOUGH_S * SAMPLE_RATE) - total)
        if end > start:
            chosen.append((start, end))
            total += end - start
    return sorted(chosen)


def _span(turn: Turn) -> Span:
    return round(turn["start_s"] * SAMPLE_RATE), round(turn["end_s"] * SAMPLE_RATE)


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


def _session_pieces(folder: Path) -> Pieces:
    with closing(SegmentReader(folder)) as reader:
        while (found := reader.read()) is not None:
            yield found[0], found[1].astype(np.float32) / np.float32(32768)


def _file_pieces(path: Path, channel: str) -> Pieces:
    place = 0
    for block in read_blocks(path, reading=Reading(channel)):
        yield place, block
        place += len(block)


def _read_result(path: Path) -> tuple[list[Turn], str]:
    """Turns, and where the audio was, of the result in a file; UsageError if it is none."""
    try:
        document = json.loads(path.read_bytes())
        turns = [
            {"start_s": float(t["start_s"]), "end_s": float(t["end_s"]), "speaker": t["speaker"]}
            for t in document["turns"]
        ]
        audio, schema = document["audio"]["path"], document["schema"]
    except (OSError, ValueError, KeyError, TypeError):
        turns, audio, schema = [], None, None
    right = all(0.0 <= t["start_s"] <= t["end_s"] < 1e7 for t in turns)
    labels = all(isinstance(text, str) for text in (audio, *(t["speaker"] for t in turns)))
    if not (right and labels and schema == RESULT_SCHEMA):
        raise UsageError(
            f"{path}: found no result, expected a session of `echo-edge record`, or what "
            f"`echo-edge run --format json` wrote ({RESULT_SCHEMA})"
        )
    return turns, str(audio)


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
