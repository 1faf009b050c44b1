"""Turns on disk: the segmentation teacher's posteriors of real recordings nobody labelled."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.corpora.data import Corpus, Pcm
from training.teachers.segmentation import CLASSES, STEPS, WINDOW
from training.teachers.windows import Window, WindowFile, speech


class TurnStore:
    """Windows of 10 s of one split; `folder` is `CACHE/turns/SPLIT` of `training.teachers.cache`.

    Raises FileNotFoundError where nothing is cached, ValueError where it was made from another
    corpus.
    """

    def __init__(self, folder: Path, corpus: Corpus) -> None:
        stored = WindowFile(folder, "turns.f16", (STEPS, CLASSES))
        self.teacher = stored.teacher
        self.windows: tuple[Window, ...] = tuple(stored.windows)
        self._corpus, self._utterances = corpus, stored.utterances(corpus)
        self._rows = stored.rows()

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, window: int) -> tuple[Pcm, NDArray[np.float32], int]:
        """PCM `[160,000]`, posteriors `[250, 7]` and how many of the 250 steps are speech or pause
        of the recording rather than padding."""
        pieces = self.windows[window]
        pcm = speech(self._corpus, self._utterances, pieces, 0, WINDOW)
        rows = self._rows[window].astype(np.float32)
        return pcm, rows / rows.sum(1, keepdims=True), pieces[0].n_samples // (WINDOW // STEPS)
