"""Turns of the segmentation teacher: beside labels of a real meeting, and their cache."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from training.corpora.corpus_formats import read_rttm
from training.corpora.data import Corpus, Utterance
from training.teachers.segmentation import CLASSES, STEPS, WINDOW, plan
from training.teachers.turns import TurnStore
from training.teachers.windows import WindowFile

SECOND = 16_000


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    lengths = (("long", "multi", 23), ("voice", "a", 9), ("short", "", 3), ("exact", "", 10))
    rows = [Utterance(name, who, "", "s", 0, n * SECOND) for name, who, n in lengths]
    return Corpus(tuple(rows), np.arange(23 * SECOND, dtype=np.int64).astype(np.int16))


def test_unlabelled_recordings_are_cut_every_five_seconds(corpus: Corpus) -> None:
    cut = [(p.id, p.skip / SECOND, p.n_samples) for (p,) in plan(corpus, set())]
    assert cut == [
        ("long", 0, WINDOW), ("long", 5, WINDOW), ("long", 10, WINDOW), ("long", 13, WINDOW),
        ("exact", 0, WINDOW),
    ]  # fmt: skip
    assert [p.id for (p,) in plan(corpus, {"long"})] == ["exact"]


def test_windows_and_posteriors_are_read_back(corpus: Corpus, tmp_path: Path) -> None:
    windows = plan(corpus, set())
    rows = np.zeros((len(windows), STEPS, CLASSES), np.float16)
    rows[..., 0], rows[..., 1] = 0.5, 0.25
    WindowFile(tmp_path, "turns.f16", (STEPS, CLASSES), {}).add(windows, rows)

    store = TurnStore(tmp_path, corpus)
    pcm, posteriors, steps = store[3]

    assert (len(store), steps) == (5, STEPS)
    expected = corpus.samples[13 * SECOND : 23 * SECOND] / 32768
    np.testing.assert_allclose(pcm, expected, atol=1e-7)
    np.testing.assert_allclose(posteriors[9, :3], [2 / 3, 1 / 3, 0], atol=1e-6)


def test_posteriors_say_who_speaks_in_a_meeting(teachers: Path, shared_data: Path) -> None:
    pytest.importorskip("asteroid_filterbanks")
    pytest.importorskip("einops")
    from training.teachers.segmentation import Segmentation

    pcm, _ = soundfile.read(shared_data / "dev/ami_pyannote/dev00.flac", dtype="float32")
    turns = read_rttm(shared_data / "dev/rttm/dev00.rttm")
    pieces = [pcm[i : i + WINDOW] for i in range(0, 3 * WINDOW, WINDOW)]

    posteriors = Segmentation(teachers / "segmentation").posteriors(pieces)

    assert posteriors.shape == (3, STEPS, CLASSES)
    np.testing.assert_allclose(posteriors.sum(-1), 1, atol=1e-5)
    steps = (np.arange(3 * STEPS) + 0.5) * 0.04
    talking = np.sum([(steps >= a) & (steps < b) for a, b, _ in turns], axis=0)
    heard = np.array([0, 1, 1, 1, 2, 2, 2])[posteriors.reshape(-1, CLASSES).argmax(-1)]
    assert np.mean((talking > 0) == (heard > 0)) > 0.94
    assert np.mean(np.minimum(talking, 2) == heard) > 0.89
