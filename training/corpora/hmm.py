"""A monophone GMM-HMM trained by Viterbi from a flat start. Knows nothing of audio or text files.

Three states per phone, optional silence between words, mixtures that grow (Rabiner, "A tutorial on
hidden Markov models", 1989; Young et al., "The HTK book").
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

STATES = 3
"""States per phone; silence, emission 0, has one."""
MIXTURES = (1, 1, 1, 1, 2, 2, 4, 4)
"""Gaussians per state in each pass over the data."""


@numba.njit(cache=True)
def viterbi(
    scores: NDArray[np.float32], states: NDArray[np.int64], optional: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Best state of every frame: scores `[T, emissions]`, the utterance's left-to-right `states`
    `[S]`; a state may be skipped where `optional`. Empty if the path does not fit."""
    n_frames, n_states = len(scores), len(states)
    best = np.full(n_states, -1e30, dtype=np.float32)
    back = np.zeros((n_frames, n_states), dtype=np.uint8)
    best[0] = scores[0, states[0]]
    if optional[0]:
        best[1] = scores[0, states[1]]
    for t in range(1, n_frames):
        for s in range(n_states - 1, -1, -1):
            step, value = 0, best[s]
            if s > 0 and best[s - 1] > value:
                step, value = 1, best[s - 1]
            if s > 1 and optional[s - 1] and best[s - 2] > value:
                step, value = 2, best[s - 2]
            back[t, s] = step
            best[s] = value + scores[t, states[s]]
    s = n_states - 1
    if optional[s] and best[s - 1] > best[s]:
        s -= 1
    path = np.zeros(n_frames if best[s] > -1e29 else 0, dtype=np.int64)
    for t in range(len(path) - 1, -1, -1):
        path[t] = states[s]
        s -= back[t, s]
    return path


def state_chain(
    words: Iterable[str], lexicon: Mapping[str, Sequence[str]], index: Mapping[str, int]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Emission of every state of an utterance and which states may be skipped."""
    states, optional = [0], [True]
    for word in words:
        for phone in lexicon[word]:
            first = 1 + (index[phone] - 1) * STATES
            states += range(first, first + STATES)
            optional += [False] * STATES
        states.append(0)
        optional.append(True)
    return np.array(states), np.array(optional)


@dataclass
class Mixtures:
    """Diagonal Gaussian mixtures, one per emission: means and variances `[E, M, D]`."""

    means: NDArray[np.float64]
    variances: NDArray[np.float64]
    weights: NDArray[np.float64]

    def components(
        self, x: NDArray[np.float32], emissions: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Weighted log-likelihoods `[T, E, M]` of frames `[T, D]` under E of the emissions."""
        means, variances = self.means[emissions], self.variances[emissions]
        constant = np.log(self.weights[emissions] + 1e-12) - 0.5 * (
            np.log(2 * np.pi * variances).sum(2) + (means**2 / variances).sum(2)
        )
        table = np.concatenate([-0.5 / variances, means / variances], axis=2)
        flat = table.reshape(-1, table.shape[2]).T.astype(np.float32)
        scores = np.concatenate([x**2, x], axis=1) @ flat + constant.reshape(-1).astype(np.float32)
        return np.asarray(scores.reshape(len(x), len(emissions), -1))

    def split(self) -> "Mixtures":
        """Twice the Gaussians, moved apart by a fifth of their deviation."""
        shift = 0.2 * np.sqrt(self.variances)
        return Mixtures(
            np.concatenate([self.means - shift, self.means + shift], axis=1),
            np.concatenate([self.variances] * 2, axis=1),
            np.concatenate([self.weights] * 2, axis=1) / 2,
        )


class Sums:
    """Sufficient statistics of every Gaussian."""

    def __init__(self, n_emissions: int, n_mixtures: int, dim: int) -> None:
        self.shape = (n_emissions, n_mixtures)
        self.count = np.zeros(n_emissions * n_mixtures)
        self.first = np.zeros((n_emissions * n_mixtures, dim))
        self.second = np.zeros((n_emissions * n_mixtures, dim))

    def add(
        self, x: NDArray[np.float32], path: NDArray[np.int64], posterior: NDArray[np.float32]
    ) -> None:
        """Frames `[T, D]`, their emissions `[T]` and each Gaussian's share `[T, M]`."""
        n_mixtures = self.shape[1]
        rows = path[:, None] * n_mixtures + np.arange(n_mixtures)
        frames = np.arange(len(path)).repeat(n_mixtures)
        share = csr_matrix(
            (posterior.ravel(), (rows.ravel(), frames)), shape=(len(self.count), len(path))
        )
        self.count += np.asarray(share.sum(1)).ravel()
        self.first += share @ x
        self.second += share @ x**2

    def mixtures(self) -> Mixtures:
        """Means and variances, both held near the global ones where there is little data."""
        mean = self.first.sum(0) / self.count.sum()
        variance = self.second.sum(0) / self.count.sum() - mean**2
        count = self.count[:, None] + 10.0
        means = (self.first + 10.0 * mean) / count
        spread = (self.second + 10.0 * (variance + mean**2)) / count - means**2
        by_state = self.count.reshape(self.shape) + 1.0
        return Mixtures(
            means.reshape(*self.shape, -1),
            np.maximum(spread, 0.05 * variance).reshape(*self.shape, -1),
            by_state / by_state.sum(1, keepdims=True),
        )


def train(
    data: Sequence[NDArray[np.float32]],
    chains: Sequence[tuple[NDArray[np.int64], NDArray[np.bool_]]],
    n_emissions: int,
) -> list[NDArray[np.int64]]:
    """Emission of every frame of every utterance after the last pass; empty where none fits."""
    sums = Sums(n_emissions, 1, data[0].shape[1])
    for x, (states, optional) in zip(data, chains, strict=True):
        spoken = states[~optional] if len(x) >= (~optional).sum() else states[:1]
        path = spoken[np.arange(len(x)) * len(spoken) // len(x)]
        path[: len(x) // 20] = path[len(x) - len(x) // 20 :] = 0
        sums.add(x, path, np.ones((len(x), 1), dtype=np.float32))
    mixtures = sums.mixtures()
    paths: list[NDArray[np.int64]] = []
    for n_pass, wanted in enumerate(MIXTURES):
        if wanted > mixtures.weights.shape[1]:
            mixtures = mixtures.split()
        sums, paths, total = Sums(n_emissions, wanted, data[0].shape[1]), [], 0.0
        for x, (states, optional) in zip(data, chains, strict=True):
            used, local = np.unique(states, return_inverse=True)
            parts = mixtures.components(x, used)
            top = parts.max(2)
            scores = np.log(np.exp(parts - top[..., None]).sum(2)) + top
            path = viterbi(scores, local, optional)
            paths.append(used[path])
            if len(path):
                frames = np.arange(len(path))
                likelihood = scores[frames, path]
                share = np.exp(parts[frames, path] - likelihood[:, None])
                sums.add(x, used[path], share)
                total += float(likelihood.sum())
        print(f"pass {n_pass + 1}: {total / sums.count.sum():.3f} nats per frame", flush=True)
        mixtures = sums.mixtures()
    return paths


def phones_of(path: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Phone index of every emission of a path: 0 for silence."""
    return ((path + STATES - 1) // STATES).astype(np.uint8)
