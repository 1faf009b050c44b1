from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from echo_edge.bench.tasks import TASKS, compare_tasks
from echo_edge.bundle import Bundle, open_bundle

Array = NDArray[np.float32]


@pytest.fixture
def bundle(null_bundle: Path) -> Bundle:
    return open_bundle(null_bundle)


def said(bundle: Bundle, text: str) -> Array:
    """Posteriors of a clear voice: every character for one frame, then a blank."""
    rows = [row for letter in text for row in (bundle.tokens.index(letter), 0)]
    return np.eye(len(bundle.tokens), dtype=np.float32)[rows]


def classes(bundle: Bundle, *speakers: tuple[int, ...]) -> Array:
    """Posteriors of one class per step."""
    powerset = [tuple(each) for each in bundle.manifest.diarization.powerset]
    return np.eye(len(powerset), dtype=np.float32)[[powerset.index(each) for each in speakers]]


@pytest.mark.parametrize(
    ("text", "cer", "wer"),
    [
        pytest.param("ab ba", 0.0, 0.0, id="the same"),
        pytest.param("ab bb", 20.0, 50.0, id="another letter"),
        pytest.param("abba", 20.0, 100.0, id="one word instead of two"),
        pytest.param("", 100.0, 100.0, id="nothing"),
    ],
)
def test_letters_and_words_are_counted(bundle: Bundle, text: str, cer: float, wer: float) -> None:
    heard = said(bundle, text) if text else said(bundle, "a")[1:]
    found = compare_tasks(bundle, {"asr": said(bundle, "ab ba")}, {"asr": heard})

    assert (found["cer_percent"], found["wer_percent"]) == (cer, wer)
    assert found["der_percent"] is None


@pytest.mark.parametrize(
    ("heard", "der"),
    [
        pytest.param([(0,), (0, 1), (1,), ()], 0.0, id="the same"),
        pytest.param([(0,), (0,), (1,), ()], 25.0, id="missed"),
        pytest.param([(0,), (0, 1), (1,), (1,)], 25.0, id="false"),
        pytest.param([(1,), (0, 1), (1,), ()], 25.0, id="confused"),
    ],
)
def test_speech_is_counted_by_speaker(
    bundle: Bundle, heard: list[tuple[int, ...]], der: float
) -> None:
    reference = classes(bundle, (0,), (0, 1), (1,), ())
    measured = classes(bundle, *heard)

    found = compare_tasks(bundle, {"diarization": reference}, {"diarization": measured})

    assert found["der_percent"] == der


def test_the_least_alike_voice_counts(bundle: Bundle) -> None:
    reference = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    measured = np.array([[1.0, 0.0], [0.6, 0.8]], np.float32)

    found = compare_tasks(bundle, {"speaker": reference}, {"speaker": measured})

    assert found["cosine_least"] == pytest.approx(0.8)


def test_what_is_not_finite_has_no_task(bundle: Bundle) -> None:
    broken = np.full((1, 2), np.nan, np.float32)

    found = compare_tasks(bundle, {"speaker": np.ones((1, 2), np.float32)}, {"speaker": broken})

    assert found == dict.fromkeys(TASKS)


def test_silence_has_no_error(bundle: Bundle) -> None:
    nothing = said(bundle, "a")[1:]
    found = compare_tasks(bundle, {"asr": nothing}, {"asr": said(bundle, "a")})

    assert found["wer_percent"] is None
