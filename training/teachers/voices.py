"""Voices on disk: CAM++'s embedding of every utterance, and of every speaker their mean."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.corpora.data import Corpus
from training.teachers.campplus import EMBEDDING, MIN_SAMPLES
from training.teachers.windows import Piece, Window, WindowFile

Array = NDArray[np.float32]

MAX_SAMPLES = 160_000
"""10 s of an utterance say all that there is to know of its voice."""


def plan(corpus: Corpus, known: set[str]) -> list[Window]:
    """One window for every utterance of one voice but those of the ids `known`: its first 10 s."""
    return [
        (Piece(u.id, 0, min(u.n_samples, MAX_SAMPLES), 0),)
        for u in corpus.utterances
        if u.id not in known and u.n_samples >= MIN_SAMPLES and u.speaker != "multi"
    ]


class VoiceStore:
    """Embeddings of one split; `folder` is `CACHE/voices/SPLIT` of `training.teachers.cache`.

    Raises FileNotFoundError where nothing is cached, ValueError where it was made from another
    corpus.
    """

    def __init__(self, folder: Path, corpus: Corpus) -> None:
        stored = WindowFile(folder, "voices.f16", (EMBEDDING,))
        self.teacher = stored.teacher
        utterances = stored.utterances(corpus)
        rows = stored.rows().astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        self.embeddings: dict[str, Array] = {
            window[0].id: row for window, row in zip(stored.windows, rows, strict=True)
        }
        """Utterance id -> `[192]`, L2-normalised."""
        speakers: dict[str, list[Array]] = {}
        for name, row in self.embeddings.items():
            if utterances[name].has_voice_label:
                speakers.setdefault(utterances[name].speaker, []).append(row)
        self.centroids: dict[str, Array] = {
            name: _unit(np.mean(rows, axis=0)) for name, rows in speakers.items()
        }
        """Known speaker -> mean of the embeddings, L2-normalised `[192]`."""


def _unit(x: Array) -> Array:
    return np.asarray(x / np.linalg.norm(x), np.float32)
