"""Target latents on disk: what the frozen target encoder says of every utterance, at 50 Hz.

A folder holds one split of `training.corpora.data.Corpus`: `latents.f16`, float16
`[n_windows, 1500, 512]`, and `windows.json`, which utterances lie where and which teacher it was
(`windows.WindowFile`).
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.corpora.data import SAMPLE_RATE, Corpus, Pcm
from training.teachers.windows import Piece, Window, WindowFile, length, speech

FRAME = 320
"""Samples per latent: 50 Hz."""

STEP = 640
"""Samples per token of Echo, two latents: where utterances begin in a window."""

FRAMES, WIDTH = 1500, 512
"""Latents of a window, and their width in Whisper base."""

WINDOW = FRAMES * FRAME
"""Samples of a window: the 30 s that Whisper's encoder hears at once."""

SHORTEST = SAMPLE_RATE // 5
"""Stretches below 0.2 s are not worth latents of their own."""

SAMPLED_WINDOWS = 256
"""So many windows, evenly spaced, give mean and standard deviation: up to 384,000 latents."""

Array = NDArray[np.float32]


def plan(corpus: Corpus, known: Iterable[str] = ()) -> list[Window]:
    """Windows for all utterances but those of the ids `known`, in the order of the corpus.

    A window holds neighbours of one source and speaker, padded to `STEP` and not further. An
    utterance of more than 30 s gets windows of its own; a rest below `SHORTEST` is left out.
    """
    seen = set(known)
    windows: list[Window] = []
    filling: list[Piece] = []
    voice: tuple[str, str] | None = None
    for utterance in corpus.utterances:
        if utterance.id in seen:
            continue
        for skip in range(0, utterance.n_samples, WINDOW):
            count = min(WINDOW, utterance.n_samples - skip)
            if count < SHORTEST:
                continue
            last = filling[-1] if filling else Piece("", 0, 0, 0)
            start = -(-(last.start + last.n_samples) // STEP) * STEP
            if filling and (
                voice != (utterance.source, utterance.speaker) or start + count > WINDOW
            ):
                windows.append(tuple(filling))
                filling, start = [], 0
            filling.append(Piece(utterance.id, skip, count, start))
            voice = (utterance.source, utterance.speaker)
    return [*windows, tuple(filling)] if filling else windows


class LatentStore:
    """Target latents of one split, with the speech that they belong to.

    `folder` is `CACHE/latents/SPLIT` of `training.teachers.cache`; every id in it must be an
    utterance of `corpus`. Raises FileNotFoundError where nothing is cached, ValueError where it was
    made from another corpus.
    """

    def __init__(self, folder: Path, corpus: Corpus) -> None:
        stored = WindowFile(folder, "latents.f16", (FRAMES, WIDTH))
        self.teacher = stored.teacher
        """Name, licence and versions of the model that gave the latents."""
        self.windows: tuple[Window, ...] = tuple(stored.windows)
        self._corpus = corpus
        self._utterances = stored.utterances(corpus)
        self._places: dict[str, tuple[int, int, int]] = {}
        for i, window in enumerate(self.windows):
            for piece in window:
                self._places.setdefault(piece.id, (i, piece.start, piece.n_samples))
        self._latents = stored.rows()
        self.mean, self.std = self._moments()

    def _moments(self) -> tuple[Array, Array]:
        """Mean and standard deviation of each of the 512 dimensions, padding left out."""
        total, squares, seen = np.zeros(WIDTH), np.zeros(WIDTH), 0
        for i in range(0, len(self.windows), max(1, len(self.windows) // SAMPLED_WINDOWS)):
            spoken = self._latents[i, : self.length(i) // FRAME].astype(np.float64)
            total += spoken.sum(0)
            squares += np.square(spoken).sum(0)
            seen += len(spoken)
        mean = total / max(1, seen)
        variance = np.maximum(squares / max(1, seen) - mean**2, 1e-12)
        return mean.astype(np.float32), np.sqrt(variance).astype(np.float32)

    def length(self, window: int) -> int:
        """Samples of speech in a window, at most 480,000."""
        return length(self.windows[window])

    def place(self, utterance_id: str) -> tuple[int, int, int]:
        """Window, first sample in it and number of samples of an utterance; of one longer than a
        window, those of its first 30 s.

        Raises KeyError if it has no latents.
        """
        return self._places[utterance_id]

    def __contains__(self, utterance_id: str) -> bool:
        return utterance_id in self._places

    def cut(self, window: int, start: int, n: int) -> tuple[Pcm, Array]:
        """PCM `[n]` and latents `[n // 320, 512]` from sample `start` of a window, both float32.

        `start` is a multiple of 640. Beyond the end of the window's speech both are 0.
        """
        if start % STEP:
            raise ValueError(f"start: found {start}, expected a multiple of {STEP} samples")
        pcm = speech(self._corpus, self._utterances, self.windows[window], start, n)
        latents = np.zeros((n // FRAME, WIDTH), np.float32)
        rows = self._latents[window, start // FRAME : min(start + n, self.length(window)) // FRAME]
        latents[: len(rows)] = rows
        return pcm, latents
