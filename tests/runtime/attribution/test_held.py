import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from echo_edge.attribution.deferred import BLOCK_STEPS, LEAST, HeldActivity
from echo_edge.heads.diarization import Activity

Array = NDArray[np.float32]


def _held(*parts: Array) -> HeldActivity:
    held, first_step = HeldActivity(), 0
    for part in parts:
        held.add(Activity(first_step, part))
        first_step += len(part)
    return held


def _whole(held: HeldActivity, n_voices: int) -> Array:
    at, scores = 0, [np.zeros((0, n_voices), np.float32)]
    for block in held.blocks(n_voices):
        assert block.first_step == at
        scores.append(block.scores)
        at += len(block.scores)
    return np.concatenate(scores)


@given(
    lengths=st.lists(st.integers(0, 2 * BLOCK_STEPS), max_size=5), seed=st.integers(0, 2**32 - 1)
)
def test_what_was_added_comes_out(lengths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [(rng.random((n, 5)) * (rng.random((n, 5)) > 0.7)).astype(np.float32) for n in lengths]

    found = _whole(_held(*parts), 5)

    expected = np.concatenate([np.zeros((0, 5), np.float32), *parts])
    expected[expected < LEAST] = 0.0
    np.testing.assert_allclose(found, expected, atol=0.51 / 255)


def test_joined_voices_are_added_up() -> None:
    held = _held(np.array([[0.4, 0.0, 0.4], [0.8, 0.2, 0.8], [0.0, 0.6, 0.2]], np.float32))
    held.join((0, 1, 0))
    held.add(Activity(3, np.array([[0.2, 1.0]], np.float32)))

    expected = [[0.8, 0.0], [1.0, 0.2], [0.2, 0.6], [0.2, 1.0]]
    np.testing.assert_allclose(_whole(held, 2), expected, atol=0.01)


@pytest.mark.parametrize("n_steps", [0, 3])
def test_nobody(n_steps: int) -> None:
    held = _held(np.zeros((n_steps, 4), np.float32))
    held.join(())

    assert _whole(held, 0).shape == (n_steps, 0)


def test_eight_hours_take_a_few_megabytes() -> None:
    scores = np.zeros((25, 128), np.float32)
    scores[:, [3, 90]] = 0.5, 0.1
    held = _held(*[scores] * (8 * 3600))

    n_bytes = sum(len(v) * v.itemsize for v in (held._steps, held._voices, held._scores))

    assert n_bytes == 8 * 3600 * 25 * 2 * 6
