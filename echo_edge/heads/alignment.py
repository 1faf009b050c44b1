"""CTC forced alignment: at which frames each character of a known text was said, and how likely the
text is.

The trellis of Graves et al. ("Connectionist temporal classification", ICML 2006, section 4.1) with
the best path instead of the sum: blanks between characters may be left out, but for repeats.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

BLANK = 0


@dataclass(frozen=True)
class Alignment:
    """The best path of a text: its log-probability, and first and last frame of each character."""

    logprob: float
    spans: tuple[tuple[int, int], ...]


def align(logprobs: Array, tokens: Sequence[int]) -> Alignment | None:
    """Align `tokens` to log-posteriors `[T, n]`; None where the text does not fit into T frames."""
    n_frames, n_states = len(logprobs), 2 * len(tokens) + 1
    labels = np.zeros(n_states, np.intp)
    labels[1::2] = tokens
    # 1. A character may follow the one before without a blank, if it is another one.
    skips = np.zeros(n_states, bool)
    skips[3::2] = labels[3::2] != labels[1:-2:2]
    score = np.full(n_states, -np.inf)
    score[:2] = logprobs[0, labels[:2]]
    moves = np.zeros((n_frames, n_states), np.int8)
    for frame in range(1, n_frames):
        # 2. Each state is reached from itself, the one before, or past a blank.
        ways = np.full((3, n_states), -np.inf)
        ways[0], ways[1, 1:] = score, score[:-1]
        ways[2, 2:] = np.where(skips[2:], score[:-2], -np.inf)
        moves[frame] = ways.argmax(0)
        score = ways.max(0) + logprobs[frame, labels]
    # 3. It ends with the last character or the blank after it.
    last = n_states - 1 if n_states == 1 or score[-1] >= score[-2] else n_states - 2
    if not np.isfinite(score[last]):
        return None
    return Alignment(float(score[last]), _spans(moves, last, len(tokens)))


def _spans(moves: NDArray[np.int8], state: int, n_tokens: int) -> tuple[tuple[int, int], ...]:
    firsts, lasts = [0] * n_tokens, [-1] * n_tokens
    for frame in range(len(moves) - 1, -1, -1):
        if state % 2:
            token = state // 2
            firsts[token] = frame
            if lasts[token] < 0:
                lasts[token] = frame
        state -= int(moves[frame, state])
    return tuple(zip(firsts, lasts, strict=True))
