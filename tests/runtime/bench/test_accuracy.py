"""Turns and words against the truth of a bundle's labelled recording."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from echo_edge.bench.accuracy import (
    AUDIO,
    TRUTH,
    Labelled,
    measure_accuracy,
    read_labelled,
    read_truth,
    score,
)
from echo_edge.bundle.manifest import FileSpec
from echo_edge.bundle.verify import Bundle, open_bundle
from echo_edge.errors import BundleError
from echo_edge.result import Result, Turn, Word
from echo_edge.session import Session, load

jiwer, simpleder = pytest.importorskip("jiwer"), pytest.importorskip("simpleder")

STM = b"talk 1 ada 0.50 1.50 one two\ntalk 1 ben 1.25 2.00 three  four\n"
SILENCE = np.zeros(32_000, np.float32)


def with_files(bundle: Bundle, audio: NDArray[np.float32], truth: bytes) -> Bundle:
    """The bundle with a labelled recording; its manifest on disk does not know."""
    soundfile.write(bundle.path / AUDIO, audio, 16_000)
    (bundle.path / TRUTH).write_bytes(truth)
    files = bundle.manifest.files | dict.fromkeys((AUDIO, TRUTH), FileSpec("0" * 64, 0))
    return replace(bundle, manifest=replace(bundle.manifest, files=files))


def turn(start_s: float, end_s: float, speaker: str) -> Turn:
    return Turn(start_s, end_s, speaker, 1.0)


def word(start_s: float, text: str) -> Word:
    return Word(start_s, start_s + 0.2, text, None, 1.0)


def result(turns: list[Turn], words: list[Word]) -> Result:
    return Result(tuple(turns), tuple(words), 2.0)


LABELLED = Labelled(SILENCE, *read_truth(STM, 2.0))
RIGHT = [turn(0.5, 1.5, "speaker_1"), turn(1.25, 2.0, "speaker_2")]
WORDS = [word(0.6, "one"), word(1.3, "two"), word(1.5, "three"), word(1.8, "four")]


def test_truth_is_read() -> None:
    turns, text = read_truth(STM, 2.0)

    assert turns == (turn(0.5, 1.5, "ada"), turn(1.25, 2.0, "ben"))
    assert text == "one two three four"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        pytest.param(b"", "found 0 lines, expected 1 to 1000", id="empty"),
        pytest.param(STM * 501, "found 1002 lines", id="too much"),
        pytest.param(b"\xff" + STM, "found no UTF-8", id="no text"),
        pytest.param(b"talk 1 ada 0.5 1.5\n", "line 1: found 'talk 1 ada 0.5 1.5'", id="no words"),
        pytest.param(STM + b"talk 1 ada x 1.5 one\n", "line 3: found", id="no number"),
        pytest.param(b"talk 1 ada nan 1.5 one\n", "within 2.00 s", id="not a number"),
        pytest.param(b"talk 1 ada 1.5 1.5 one\n", "within 2.00 s", id="no length"),
        pytest.param(b"talk 1 ada -1 1.5 one\n", "within 2.00 s", id="before the start"),
        pytest.param(b"talk 1 ada 1.5 2.1 one\n", "within 2.00 s", id="after the end"),
        pytest.param(b"talk 1 ada 1.5 2.0 o\x1bne\n", "within 2.00 s", id="control character"),
    ],
)
def test_truth_that_is_none(data: bytes, found: str) -> None:
    with pytest.raises(BundleError, match=f"labelled.stm: .*{found}") as caught:
        read_truth(data, 2.0)

    assert caught.value.rule == "selftest-files"


@pytest.mark.parametrize(
    ("turns", "der"),
    [
        pytest.param(RIGHT, 0.0, id="right"),
        pytest.param(RIGHT[::-1], 0.0, id="in another order"),
        pytest.param(RIGHT[:1], 100 * 0.75 / 1.75, id="missed"),
        pytest.param([*RIGHT, turn(0.0, 0.5, "speaker_3")], 100 * 0.5 / 1.75, id="false"),
        pytest.param([turn(0.5, 2.0, "speaker_1")], 100 * 0.75 / 1.75, id="one voice for two"),
    ],
)
def test_turns_are_scored_without_collar_and_with_overlap(turns: list[Turn], der: float) -> None:
    found = score(LABELLED, result(turns, WORDS), jiwer, simpleder)

    assert found.der_percent == pytest.approx(der)
    assert (found.speakers, found.true_speakers) == (len({t.speaker for t in turns}), 2)


@pytest.mark.parametrize(
    ("words", "wer"),
    [
        pytest.param(WORDS, 0.0, id="right"),
        pytest.param(WORDS[::-1], 0.0, id="the order is that of time"),
        pytest.param(WORDS[:3], 25.0, id="missed"),
        pytest.param([*WORDS, word(1.9, "five")], 25.0, id="too many"),
        pytest.param([], 100.0, id="nothing"),
    ],
)
def test_words_are_scored(words: list[Word], wer: float) -> None:
    found = score(LABELLED, result(RIGHT, words), jiwer, simpleder)

    assert (found.wer_percent, found.words, found.audio_s) == (wer, 4, 2.0)


@pytest.mark.parametrize("seed", range(20))
def test_der_is_that_of_another_library(seed: int) -> None:
    """pyannote.metrics, in which the model card's figures are, says the same of random turns."""
    core = pytest.importorskip("pyannote.core")
    metrics = pytest.importorskip("pyannote.metrics.diarization")
    rng = np.random.default_rng(seed)

    def random_turns(n_speakers: int) -> list[Turn]:
        starts = np.sort(rng.uniform(0, 60, 2 * rng.integers(1, 20)))
        pairs = zip(starts[::2], starts[1::2] + rng.uniform(0, 3), strict=True)
        return [turn(float(a), float(b), f"s{rng.integers(n_speakers)}") for a, b in pairs]

    def annotation(turns: list[Turn]) -> object:
        made = core.Annotation()
        for number, each in enumerate(turns):
            made[core.Segment(each.start_s, each.end_s), number] = each.speaker
        return made.support()

    truth, heard = random_turns(3), random_turns(4)
    other = metrics.DiarizationErrorRate(collar=0.0, skip_overlap=False)
    everything = core.Timeline([core.Segment(0, 70)])
    expected = other(annotation(truth), annotation(heard), uem=everything)

    found = score(Labelled(SILENCE, tuple(truth), "a"), result(heard, []), jiwer, simpleder)

    assert found.der_percent == pytest.approx(100 * expected, abs=1e-6)


def test_a_bundle_with_a_labelled_recording_is_scored(null_bundle: Path) -> None:
    with load(null_bundle) as session:
        session = Session(with_files(session.bundle, SILENCE, STM), 1, session.engines)
        found, why = measure_accuracy(session)

    assert found is not None
    assert (found.der_percent, found.wer_percent, found.speakers) == (100.0, 100.0, 0)
    assert why == ""


def test_a_bundle_without_one_says_so(null_bundle: Path) -> None:
    with load(null_bundle) as session:
        expected = (None, "the bundle has no labelled recording: export it again")
        assert measure_accuracy(session) == expected


@pytest.mark.parametrize("absent", ["jiwer", "simpleder"])
def test_an_absent_library_is_named(
    null_bundle: Path, absent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, absent, None)
    with load(null_bundle) as session:
        session = Session(with_files(session.bundle, SILENCE, STM), 1, session.engines)
        found, why = measure_accuracy(session)

    assert found is None
    assert why == f"{absent} is not installed: pip install 'echo-edge[metrics]'"


@pytest.mark.parametrize(
    ("audio", "truth", "found"),
    [
        pytest.param(SILENCE[:0], STM, "found an empty file, expected audio", id="no audio"),
        pytest.param(np.zeros(16_000 * 121, "f4"), STM, "found more, expected", id="too long"),
        pytest.param(SILENCE[:16_000], STM, "line 1: .*within 1.00 s", id="truth of another"),
    ],
)
def test_a_recording_that_is_none(
    null_bundle: Path, audio: NDArray[np.float32], truth: bytes, found: str
) -> None:
    bundle = with_files(open_bundle(null_bundle), audio, truth)
    with pytest.raises(BundleError, match=found) as caught:
        read_labelled(bundle)

    assert caught.value.rule == "selftest-files"


def test_a_recording_that_is_no_audio(null_bundle: Path) -> None:
    bundle = with_files(open_bundle(null_bundle), SILENCE, STM)
    (bundle.path / AUDIO).write_bytes(b"fLaC and nothing else")

    with pytest.raises(BundleError, match=r"labelled\.flac: cannot be read"):
        read_labelled(bundle)
