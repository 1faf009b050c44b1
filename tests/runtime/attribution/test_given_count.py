"""Voices of a recording whose number of speakers is given."""

from dataclasses import replace

import numpy as np
import pytest

from echo_edge.attribution.given_count import has_brief, join_brief, part_threshold
from tests.conftest import DECODING


@pytest.mark.parametrize(
    ("threshold", "min_speakers", "expected"),
    [(0.37, 1, 0.37), (0.37, 2, 0.75), (0.9, 3, 0.9)],
    ids=["free", "given", "finer already"],
)
def test_part_threshold(threshold: float, min_speakers: int, expected: float) -> None:
    assert part_threshold(replace(DECODING, stretch_threshold=threshold), min_speakers) == expected


@pytest.mark.parametrize(
    ("groups", "speech_s", "expected"),
    [
        pytest.param((), [], False, id="nobody"),
        pytest.param((0, 1), [50.0, 50.0], False, id="two"),
        pytest.param((0, 1, 0), [50.0, 10.0, 50.0], True, id="a brief one"),
        pytest.param((0, 1, 1), [50.0, 5.0, 5.0], False, id="brief parts of one"),
        pytest.param((0,), [1.0, 99.0], False, id="places without a voice"),
    ],
)
def test_has_brief(groups: tuple[int, ...], speech_s: list[float], expected: bool) -> None:
    assert has_brief(groups, np.array(speech_s, np.float32), 0.1) is expected


def _means(degrees: list[float]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Directions in a plane: the cosine of two is that of the angle between them."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("degrees", "speech_s", "min_groups", "expected"),
    [
        pytest.param([], [], 2, [], id="nobody"),
        pytest.param([0, 20, 90], [50, 47, 3], 2, [0, 1, 1], id="a sound is no speaker"),
        pytest.param([0, 20, 90], [50, 47, 3], 3, [0, 1, 2], id="unless there are too few"),
        pytest.param([0, 20], [50, 50], 1, [0, 1], id="whole voices stay apart"),
        pytest.param([0, 40, 4, 44], [40, 40, 4, 4], 2, [0, 1, 0, 1], id="the most alike first"),
        pytest.param([0, 2, 90, 92], [4, 96, 4, 96], 1, [0, 0, 1, 1], id="until none is brief"),
    ],
)
def test_join_brief(
    degrees: list[float], speech_s: list[float], min_groups: int, expected: list[int]
) -> None:
    speech = np.array([*speech_s, 0.0], np.float32)

    assert join_brief(_means(degrees), speech, min_groups, 0.1) == expected
