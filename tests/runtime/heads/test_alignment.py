"""CTC forced alignment against every path there is."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo_edge.heads.alignment import BLANK, align

N_TOKENS = 4


def collapsed(path: tuple[int, ...]) -> list[int]:
    once = [token for token, _ in itertools.groupby(path)]
    return [token for token in once if token != BLANK]


@given(
    st.integers(1, 6), st.lists(st.integers(1, N_TOKENS - 1), max_size=4), st.integers(0, 1000)
)  # fmt: skip
def test_it_is_the_best_of_all_paths(n_frames: int, tokens: list[int], seed: int) -> None:
    logits = np.random.default_rng(seed).standard_normal((n_frames, N_TOKENS)).astype(np.float32)
    logprobs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    paths = itertools.product(range(N_TOKENS), repeat=n_frames)
    scores = [
        sum(logprobs[frame, token] for frame, token in enumerate(path))
        for path in paths if collapsed(path) == tokens
    ]  # fmt: skip

    found = align(logprobs, tokens)

    if not scores:
        assert found is None
        return
    assert found is not None
    assert found.logprob == pytest.approx(max(scores), abs=1e-4)
    assert len(found.spans) == len(tokens)
    path = [BLANK] * n_frames
    for token, (first, last) in zip(tokens, found.spans, strict=True):
        assert first <= last
        path[first : last + 1] = [token] * (last + 1 - first)
    assert collapsed(tuple(path)) == tokens
    assert sum(logprobs[range(n_frames), path]) == pytest.approx(max(scores), abs=1e-4)


def test_a_text_that_is_too_long_does_not_fit() -> None:
    logprobs = np.log(np.full((3, N_TOKENS), 0.25, np.float32))

    assert align(logprobs, [1, 2, 3]) is not None
    assert align(logprobs, [1, 1, 2]) is None
    assert align(logprobs, [1, 2, 3, 1]) is None
