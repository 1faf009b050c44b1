import numpy as np
import pytest
from numpy.typing import NDArray

from echo_edge.bench.decisions import TASKS, compare_tasks

Array = NDArray[np.float32]


def sure_of(*classes: int) -> Array:
    """Posteriors of one class per frame."""
    return np.eye(4, dtype=np.float32)[[*classes]]


@pytest.mark.parametrize("output", ["asr", "phones", "diarization"])
@pytest.mark.parametrize(
    ("classes", "percent"),
    [
        pytest.param([0, 1, 2, 3], 0.0, id="the same"),
        pytest.param([0, 1, 2, 2], 25.0, id="one of four"),
        pytest.param([1, 2, 3, 0], 100.0, id="all"),
    ],
)
def test_other_decisions_are_counted(output: str, classes: list[int], percent: float) -> None:
    found = compare_tasks({output: sure_of(0, 1, 2, 3)}, {output: sure_of(*classes)})

    assert found == dict.fromkeys(TASKS) | {f"{output}_changed_percent": percent}


def test_noise_that_changes_no_decision_does_not_count() -> None:
    noisy = sure_of(0, 1) * np.float32(0.6) + np.float32(0.1)

    assert compare_tasks({"asr": sure_of(0, 1)}, {"asr": noisy})["asr_changed_percent"] == 0.0


def test_the_least_alike_voice_counts() -> None:
    reference = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    measured = np.array([[1.0, 0.0], [0.6, 0.8]], np.float32)

    found = compare_tasks({"speaker": reference}, {"speaker": measured})

    assert found["cosine_least"] == pytest.approx(0.8)


def test_what_is_not_finite_has_no_task() -> None:
    broken = np.full((1, 2), np.nan, np.float32)

    found = compare_tasks({"speaker": np.ones((1, 2), np.float32)}, {"speaker": broken})

    assert found == dict.fromkeys(TASKS)
