from pathlib import Path

import numpy as np

from echo_edge.session import load
from training.scoring.replay import without_words
from training.scoring.separation import streamed
from training.simulation.mixtures import Mixture


def test_another_threshold_is_tried_without_words(default_bundle: Path) -> None:
    pcm = np.random.default_rng(0).normal(0, 0.1, 12 * 640 * 3).astype(np.float32)
    active = np.ones((3, 36), np.bool_)
    mixture = Mixture(pcm, np.stack([pcm, pcm, pcm]), active, ("a", "b", "c"), (1, 1, 1))

    with load(default_bundle) as session:
        tried = without_words(session, slot_threshold=0.123)
        voices = streamed(tried, mixture, float("inf"))
        result = tried.process(pcm)

    assert tried.bundle.manifest.decoding.slot_threshold == 0.123
    assert session.bundle.manifest.decoding.slot_threshold != 0.123
    assert voices.shape == (3, len(pcm))
    assert result.words == ()
