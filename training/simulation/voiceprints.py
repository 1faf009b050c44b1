"""Embeddings that a pretrained speaker encoder gives the corpora's voices."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Voiceprints:
    """Unit embeddings `[E]` by speaker (the mean of all utterances) and by utterance; `dim` is E.
    Where nothing is known the embedding is zero."""

    dim: int
    speakers: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    utterances: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def of_speaker(self, name: str) -> NDArray[np.float32]:
        """Of a speaker."""
        return self.speakers.get(name, np.zeros(self.dim, np.float32))

    def of_speech(self, speaker: str, utterances: Sequence[str]) -> NDArray[np.float32]:
        """Of some utterances of one voice, their mean; of the speaker where one is unknown."""
        if not utterances or any(name not in self.utterances for name in utterances):
            return self.of_speaker(speaker)
        mean = np.mean([self.utterances[name] for name in utterances], axis=0)
        return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)


def load_voiceprints(centroids: Path, utterances: Path | None = None) -> Voiceprints:
    """Two `.npz` files, name -> embedding. ValueError where their dimensions differ."""
    by_speaker = _read(centroids)
    by_utterance = {} if utterances is None else _read(utterances)
    dims = {len(row) for table in (by_speaker, by_utterance) for row in table.values()}
    if len(dims) != 1:
        raise ValueError(
            f"{centroids}: found embeddings of {sorted(dims)} dimensions, expected one"
        )
    return Voiceprints(dims.pop(), by_speaker, by_utterance)


def _read(path: Path) -> dict[str, NDArray[np.float32]]:
    with np.load(path) as stored:
        return {name: stored[name].astype(np.float32) for name in stored.files}
