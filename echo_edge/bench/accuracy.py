"""Turns and words of the whole runtime against the truth of the bundle's labelled recording.

`selftest/labelled.flac` is that recording and `selftest/labelled.stm` the truth, in NIST's form: a
line per turn, `recording channel speaker start end word word ...`. DER and WER are those of public
libraries (`pip install 'echo-edge[metrics]'`); this project has none of its own.
"""

import math
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio import SAMPLE_RATE, read_blocks
from echo_edge.bench.measure import LATENCY_S
from echo_edge.bundle.verify import Bundle
from echo_edge.errors import AudioError, BundleError
from echo_edge.result import Result, Turn
from echo_edge.session import Session

Array = NDArray[np.float32]

AUDIO, TRUTH = "selftest/labelled.flac", "selftest/labelled.stm"
LONGEST_S = 120.0
MAX_TURNS = 1000
CURE = "export it again"


@dataclass(frozen=True)
class Labelled:
    """A recording and the truth about it."""

    pcm: Array
    """float32 `[samples]`, 16 kHz."""
    turns: tuple[Turn, ...]
    """In the order of their start."""
    text: str
    """All that is transcripts, turn after turn."""


@dataclass(frozen=True)
class Accuracy:
    """How right a result is, and how much that says."""

    der_percent: float
    """Missed, false and confused speech, of all speech; collar 0, overlap scored."""
    wer_percent: float
    """Words inserted, deleted and replaced, of all words; words in the order of time."""
    speakers: int
    """How many were found, ..."""
    true_speakers: int
    """... and how many there are."""
    words: int
    """In the truth."""
    audio_s: float
    """Length of the recording."""


def read_labelled(bundle: Bundle) -> Labelled | None:
    """The bundle's labelled recording; None if it has none. BundleError if it cannot be read."""
    if AUDIO not in bundle.manifest.files or TRUTH not in bundle.manifest.files:
        return None
    blocks = read_blocks(bundle.path / AUDIO, LONGEST_S)
    try:
        pcm = next(blocks, np.zeros(0, np.float32))
        more = next(blocks, None)
    except AudioError as error:
        raise BundleError(f"{AUDIO}: cannot be read ({error}): {CURE}", "selftest-files") from error
    if not len(pcm) or more is not None:
        raise BundleError(
            f"{AUDIO}: found {'nothing' if not len(pcm) else 'more'}, expected at most "
            f"{LONGEST_S:.0f} s of audio: {CURE}",
            "selftest-files",
        )
    truth = (bundle.path / TRUTH).read_bytes()
    return Labelled(pcm, *read_truth(truth, len(pcm) / SAMPLE_RATE))


def read_truth(data: bytes, duration_s: float) -> tuple[tuple[Turn, ...], str]:
    """Turns and text of an STM file about `duration_s` seconds. BundleError if it is none."""
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError as error:
        raise BundleError(f"{TRUTH}: found no UTF-8: {CURE}", "selftest-files") from error
    if not 0 < len(lines) <= MAX_TURNS:
        raise BundleError(
            f"{TRUTH}: found {len(lines)} lines, expected 1 to {MAX_TURNS}: {CURE}",
            "selftest-files",
        )
    transcripts = [_turn(number, line, duration_s) for number, line in enumerate(lines, 1)]
    transcripts.sort(key=lambda turn_and_text: turn_and_text[0].start_s)
    return tuple(turn for turn, _ in transcripts), " ".join(text for _, text in transcripts)


def _turn(number: int, line: str, duration_s: float) -> tuple[Turn, str]:
    """One line: `recording channel speaker start end word ...`."""
    parts = line.split(maxsplit=5)
    start_s, end_s = map(_number, parts[3:5]) if len(parts) == 6 else (math.nan, math.nan)
    if not (0.0 <= start_s < end_s <= duration_s and line.isprintable()):
        raise BundleError(
            f"{TRUTH}: line {number}: found {line[:60]!r}, expected recording, channel, speaker, "
            f"start and end within {duration_s:.2f} s, words: {CURE}",
            "selftest-files",
        )
    return Turn(start_s, end_s, parts[2], 1.0), " ".join(parts[5].split())


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def measure_accuracy(session: Session) -> tuple[Accuracy | None, str]:
    """Stream the labelled recording through `session`, as `bench` streams, and score the result; or
    None, and why not."""
    labelled = read_labelled(session.bundle)
    if labelled is None:
        return None, f"the bundle has no labelled recording: {CURE}"
    try:
        scorers = import_module("jiwer"), import_module("simpleder")
    except ImportError as error:
        return None, f"{error.name} is not installed: pip install 'echo-edge[metrics]'"
    stream = session.stream(LATENCY_S)
    result = Result.joined([stream.push(labelled.pcm), stream.finish()])
    return score(labelled, result, *scorers), ""


def score(labelled: Labelled, result: Result, jiwer: ModuleType, simpleder: ModuleType) -> Accuracy:
    """How far a result is from the truth."""
    words = sorted(result.words, key=lambda word: word.start_s)
    spans = [
        [(turn.speaker, turn.start_s, turn.end_s) for turn in turns]
        for turns in (labelled.turns, result.turns)
    ]
    return Accuracy(
        der_percent=100.0 * float(simpleder.DER(*spans)),
        wer_percent=100.0 * float(jiwer.wer(labelled.text, " ".join(w.text for w in words))),
        speakers=len({turn.speaker for turn in result.turns}),
        true_speakers=len({turn.speaker for turn in labelled.turns}),
        words=len(labelled.text.split()),
        audio_s=len(labelled.pcm) / SAMPLE_RATE,
    )
