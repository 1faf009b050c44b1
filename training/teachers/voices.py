"""Voices on disk: what CAM++ says of each 40 ms of some of every speaker's speech, before it pools.

A folder holds `voices.f16`, float16 `[n_windows, 250, 512]`, `windows.json`, which utterances of
one voice lie in each window of at most 10 s (`windows.WindowFile`), and `pooling.npz`, the layer
that makes embeddings of pooled frames.
"""

import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.corpora.data import SAMPLE_RATE, Corpus, Pcm, Utterance
from training.teachers.campplus import CHANNELS, MIN_SAMPLES, STEP
from training.teachers.windows import Piece, Window, WindowFile, length, speech

Array = NDArray[np.float32]

STEPS = 250
WINDOW = STEPS * STEP
"""Samples: 10 s of a voice say nearly all that there is to know of it."""

VOICE_S = 24.0
"""Speech of every voice that is embedded: many voices teach more than much of a few."""

SHORTEST = 2 * SAMPLE_RATE
"""Of a window."""

SAMPLED_FRAMES = 7
"""Every so many frames count for their mean and deviation."""


def plan(corpus: Corpus, known: Iterable[str] = ()) -> list[Window]:
    """Windows of about `VOICE_S` of every labelled speaker but those of the utterances `known`:
    utterances in random order, one behind the other, each up to 10 s."""
    seen = set(known)
    windows: list[Window] = []
    for name, pool in sorted(corpus.by_speaker().items()):
        if not any(u.id in seen for u in pool):
            windows += _windows_of(name, [u for u in pool if u.n_samples >= MIN_SAMPLES])
    return windows


def _windows_of(name: str, pool: list[Utterance]) -> list[Window]:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    windows: list[Window] = []
    filling: list[Piece] = []
    seconds, end = 0.0, 0
    for index in rng.permutation(len(pool)):
        count = min(pool[index].n_samples, WINDOW)
        if end + count > WINDOW:
            windows.append(tuple(filling))
            filling, end = [], 0
        filling.append(Piece(pool[index].id, 0, count, end))
        end += count
        seconds += count / SAMPLE_RATE
        if seconds >= VOICE_S:
            break
    return [w for w in (*windows, tuple(filling)) if w and length(w) >= SHORTEST]


class VoiceStore:
    """Frames of one split, with the speech that they belong to; `folder` is `CACHE/voices/SPLIT` of
    `training.teachers.cache`.

    Raises FileNotFoundError where nothing is cached, ValueError where it was made from another
    corpus.
    """

    def __init__(self, folder: Path, corpus: Corpus) -> None:
        stored = WindowFile(folder, "voices.f16", (STEPS, CHANNELS))
        self.teacher = stored.teacher
        """Name, licence and versions of the model that gave the frames."""
        self._corpus, self._utterances = corpus, stored.utterances(corpus)
        self._windows, self._rows = stored.windows, stored.rows()
        self._of_speaker: dict[str, list[int]] = {}
        for i, window in enumerate(stored.windows):
            self._of_speaker.setdefault(self._utterances[window[0].id].speaker, []).append(i)
        with np.load(folder / "pooling.npz") as pooling:
            self.pooling: tuple[Array, Array] = pooling["weight"], pooling["bias"]
            """Weight `[E, 2 C]` and bias `[E]`: mean and deviation of frames to an embedding."""
        self.names = tuple(self._of_speaker)
        self.centroids = {name: self._centroid(name) for name in self.names}
        """Speaker -> mean of the embeddings of the windows, L2-normalised `[E]`."""
        some = [self._frames(i)[::SAMPLED_FRAMES] for i in range(len(self._windows))]
        spoken = np.concatenate([*some, np.zeros((0, CHANNELS), np.float32)])
        self.mean, self.std = spoken.mean(0), spoken.std(0) + np.float32(1e-3)

    def _frames(self, window: int) -> Array:
        n_steps = length(self._windows[window]) // STEP
        return np.asarray(self._rows[window, :n_steps], np.float32)

    def _centroid(self, name: str) -> Array:
        weight, bias = self.pooling
        rows = [self._frames(i) for i in self._of_speaker[name]]
        pooled = np.stack([np.concatenate([row.mean(0), row.std(0)]) for row in rows])
        return _unit(_unit(pooled @ weight.T + bias).mean(0))

    def crop(self, name: str, n_steps: int, rng: np.random.Generator) -> tuple[Pcm, Array]:
        """PCM `[640 n]` and frames `[n, C]` of a random stretch of one voice, n at most `n_steps`:
        the longest window may be shorter."""
        lengths = {i: length(self._windows[i]) // STEP for i in self._of_speaker[name]}
        enough = [i for i, n in lengths.items() if n >= n_steps]
        window = int(rng.choice(enough)) if enough else max(lengths, key=lambda i: lengths[i])
        n = min(n_steps, lengths[window])
        start = int(rng.integers(lengths[window] - n + 1))
        place = self._corpus, self._utterances, self._windows[window], start * STEP, n * STEP
        return speech(*place), self._frames(window)[start : start + n]


def _unit(x: Array) -> Array:
    return np.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True), np.float32)
