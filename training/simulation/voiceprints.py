"""Embeddings that a pretrained speaker encoder gives the corpora's voices."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.corpora.data import Corpus


@dataclass(frozen=True)
class Voiceprints:
    """Unit embeddings `[E]` by speaker (the mean of all utterances) and by utterance; `dim` is E.
    Where nothing is known the embedding is zero."""

    dim: int
    speakers: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    utterances: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def of_speaker(self, name: str) -> NDArray[np.float32]:
        """Voiceprint `[E]` of a speaker; zeros where unknown."""
        return self.speakers.get(name, np.zeros(self.dim, np.float32))

    def of_speech(self, speaker: str, utterances: Sequence[str]) -> NDArray[np.float32]:
        """Mean voiceprint `[E]` of utterances of one voice; the speaker's where one is unknown."""
        if not utterances or any(name not in self.utterances for name in utterances):
            return self.of_speaker(speaker)
        mean = np.mean([self.utterances[name] for name in utterances], axis=0)
        return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)


def load_voiceprints(path: Path, corpus: Corpus) -> Voiceprints:
    """Read voiceprints that `training.teachers.cache` wrote into the folder `path`, or a `.npz` of
    speaker -> embedding. ValueError where the file's dimensions differ."""
    if path.is_dir():
        from training.teachers.voices import VoiceStore

        store = VoiceStore(path, corpus)
        dim = len(next(iter(store.embeddings.values())))
        return Voiceprints(dim, store.centroids, store.embeddings)
    with np.load(path) as stored:
        speakers = {name: stored[name].astype(np.float32) for name in stored.files}
    dims = sorted({len(row) for row in speakers.values()})
    if len(dims) != 1:
        raise ValueError(f"{path}: found embeddings of {dims} dimensions, expected one")
    return Voiceprints(dims[0], speakers)
