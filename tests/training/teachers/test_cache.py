"""The cache command's writing, with pretended teachers."""

from pathlib import Path

import numpy as np
import pytest
import torch

from training.corpora.data import Corpus, Utterance
from training.teachers import cache, voices
from training.teachers.campplus import CHANNELS, EMBEDDING
from training.teachers.latents import FRAMES, WIDTH, LatentStore, plan
from training.teachers.voices import VoiceStore
from training.teachers.windows import WindowFile


@pytest.fixture
def corpus() -> Corpus:
    rows = [Utterance(f"u{i}", f"s{i % 2}", "", "s", 8000 * i, 8000) for i in range(6)]
    samples = np.repeat(np.arange(1, 7), 8000).astype(np.int16)
    return Corpus(tuple(rows), samples)


def test_a_stopped_run_goes_on_and_a_grown_corpus_adds(corpus: Corpus, tmp_path: Path) -> None:
    heard: list[list[int]] = []

    def teacher(speech: list[np.ndarray]) -> np.ndarray:
        heard.append([round(float(pcm[0]) * 32768) for pcm in speech])
        if len(heard) == 2:
            raise KeyboardInterrupt
        return np.full((len(speech), FRAMES, WIDTH), heard[-1][0], np.float32)

    def run(known: Corpus) -> None:
        file = WindowFile(tmp_path, "latents.f16", (FRAMES, WIDTH), {"teacher": "t"})
        cache.add(known, file, plan(known, file.ids()), teacher, batch=2)

    smaller = Corpus(corpus.utterances[:5], corpus.samples)
    with pytest.raises(KeyboardInterrupt):
        run(smaller)
    run(smaller)
    run(corpus)
    run(corpus)

    assert heard == [[1, 2], [3, 4], [3, 4], [5], [6]]
    store = LatentStore(tmp_path, corpus)
    assert [int(store.cut(store.place(f"u{i}")[0], 0, 640)[1][0, 0]) for i in range(6)] == [
        1, 1, 3, 3, 5, 6,
    ]  # fmt: skip


def test_voices_are_read_back(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Model:
        def __init__(self, folder: Path) -> None:
            assert folder == tmp_path / "teachers/campplus"
            self.weight = torch.eye(EMBEDDING, 2 * CHANNELS)
            self.bias = torch.zeros(EMBEDDING)

        def frames(self, pcm: np.ndarray) -> np.ndarray:
            first = pcm[: len(pcm) // 640 * 640 : 640]
            return np.repeat(first[:, None] * 32768, CHANNELS, 1)

    monkeypatch.setattr(cache, "CamPlusPlus", Model)
    monkeypatch.setattr(cache, "describe", lambda out, name: {"teacher": name, "out": str(out)})
    monkeypatch.setattr(voices, "SHORTEST", 640)

    cache.cache_voices(corpus, tmp_path / "voices", tmp_path / "teachers")
    cache.cache_voices(corpus, tmp_path / "voices", tmp_path / "teachers")

    store = VoiceStore(tmp_path / "voices", corpus)
    assert store.teacher == {"teacher": "campplus", "out": str(tmp_path / "teachers")}
    assert store.names == tuple(sorted(corpus.by_speaker()))
    for name in store.names:
        pcm, frames = store.crop(name, 1, np.random.default_rng(0))
        assert frames.shape == (1, CHANNELS)
        assert frames[0, 0] == pcm[0] * 32768
    assert store.centroids[name].shape == (EMBEDDING,)
