"""Speakers of a number that the user gives: voices are parted more finely first, so that there are
enough to join, and none of the places goes to a sound."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.decoding import DecodingSpec

Array = NDArray[np.float32]


def part_threshold(decoding: DecodingSpec, min_speakers: int) -> float:
    """The least cosine that links stretches to voices."""
    own, fine = decoding.stretch_threshold, decoding.given_count_threshold
    return max(own, fine) if min_speakers > 1 else own


def has_brief(groups: Sequence[int], speech_s: Array, share: float) -> bool:
    """Whether a group of voices has less than `share` of all speech; `groups` is the group of
    each voice, `speech_s` `[len(groups) or more]` their speech in seconds."""
    speech = np.bincount(groups, speech_s[: len(groups)]) if groups else np.zeros(0)
    return bool((speech < share * speech.sum()).any())


def join_brief(means: Array, speech_s: Array, min_groups: int, share: float) -> list[int]:
    """The group of each voice once each with less than `share` of all speech has joined that which
    is most like it, the most alike first; at least `min_groups` groups are left. `means` are mean
    embeddings `[N, E]`."""
    n_voices = len(means)
    means, speech_s = means.copy(), speech_s[:n_voices].copy()
    groups, is_left = np.arange(n_voices), np.ones(n_voices, bool)
    brief_s = share * float(speech_s.sum())
    while is_left.sum() > min_groups:
        brief = is_left & (speech_s < brief_s)
        able = (brief[:, None] | brief) & is_left[:, None] & is_left
        np.fill_diagonal(able, False)
        if not able.any():
            break
        similarity = np.where(able, means @ means.T, -np.inf)
        kept, gone = sorted(int(i) for i in np.unravel_index(similarity.argmax(), able.shape))
        total = speech_s[kept] + speech_s[gone]
        means[kept] = (speech_s[kept] * means[kept] + speech_s[gone] * means[gone]) / total
        speech_s[kept], is_left[gone] = total, False
        groups[groups == gone] = kept
    return [int(group) for group in np.unique(groups, return_inverse=True)[1]]
