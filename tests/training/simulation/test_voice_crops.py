"""Crops of single voices in a batch."""

from collections import Counter

import numpy as np
import pytest
import torch

from tests.training.fake_teacher import FakeVoices
from tests.training.simulation.test_pipeline import write_split
from training.corpora.data import Corpus, load_corpus
from training.simulation.augment import SPEEDS
from training.simulation.voice_crops import VoiceCrops


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    root = tmp_path_factory.mktemp("data")
    write_split(root / "train", [f"s{i}" for i in range(6)], 0)
    return load_corpus([root / "train"], root / "cache")


def test_two_crops_of_each_voice_with_its_frames(corpus: Corpus) -> None:
    source = FakeVoices(corpus, 8, 4, n=5)
    classes = {name: i for i, name in enumerate(source.names)}
    rough: list[float] = []

    def colour(pcm: np.ndarray, share: float, _: np.random.Generator) -> np.ndarray:
        rough.append(share)
        return pcm

    crops = VoiceCrops(source, 30.0, classes, colour)
    lengths = set()
    for seed in range(20):
        batch = crops.draw(np.random.default_rng(seed))
        n_crops, n_samples = batch["crops"].shape
        lengths.add(n_samples)
        assert batch["crop_frames"].shape == (n_crops, n_samples // 640, 8)
        assert 15 * 16_000 < n_crops * n_samples <= 30 * 16_000
        counts = Counter(batch["crop_voices"].tolist())
        assert all(count % 2 == 0 for count in counts.values())
        for voice, frames in zip(batch["crop_voices"], batch["crop_frames"], strict=True):
            index, speed = divmod(int(voice), len(SPEEDS))
            assert SPEEDS[speed] == 1.0
            expected = torch.from_numpy(source.directions[source.names[index]])
            torch.testing.assert_close(frames, expected.expand_as(frames))
    assert len(lengths) > 10
    assert 0.3 < np.mean(rough) < 0.7


def test_without_a_teacher_there_are_none() -> None:
    batch = VoiceCrops(None, 30.0, {}, lambda pcm, *_: pcm).draw(np.random.default_rng(0))

    assert [len(batch[name]) for name in ("crops", "crop_frames", "crop_voices")] == [0, 0, 0]
