"""CAM++ beside centroids that its own package gave, and the cache of embeddings."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from training.corpora.data import Corpus, Utterance
from training.teachers.voices import EMBEDDING, VoiceStore, plan
from training.teachers.windows import WindowFile

SECOND = 16_000


def utterance(name: str, speaker: str, offset: int, seconds: float) -> Utterance:
    return Utterance(name, speaker, "", "s", offset, round(seconds * SECOND))


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    rows = [
        utterance("a1", "a", 0, 2), utterance("a2", "a", 0, 12), utterance("m", "multi", 0, 5),
        utterance("b1", "b", 0, 1), utterance("?", "", 0, 3), utterance("tiny", "b", 0, 0.1),
    ]  # fmt: skip
    return Corpus(tuple(rows), np.zeros(12 * SECOND, np.int16))


def test_every_utterance_of_one_voice_is_embedded_once(corpus: Corpus, tmp_path: Path) -> None:
    windows = plan(corpus, known=set())

    assert [(w[0].id, w[0].n_samples) for w in windows] == [
        ("a1", 2 * SECOND), ("a2", 10 * SECOND), ("b1", SECOND), ("?", 3 * SECOND),
    ]  # fmt: skip
    assert [w[0].id for w in plan(corpus, known={"a1", "?"})] == ["a2", "b1"]
    rows = np.zeros((4, EMBEDDING), np.float16)
    rows[0, 0], rows[1, 1], rows[2, 2], rows[3, 3] = 2, 5, -1, 1
    WindowFile(tmp_path, "voices.f16", (EMBEDDING,), {"teacher": "t"}).add(windows, rows)

    store = VoiceStore(tmp_path, corpus)

    assert store.teacher == {"teacher": "t"}
    assert set(store.embeddings) == {"a1", "a2", "b1", "?"}
    assert store.embeddings["a2"][:3].tolist() == [0, 1, 0]
    assert set(store.centroids) == {"a", "b"}
    assert store.centroids["a"][:3] == pytest.approx([0.5**0.5, 0.5**0.5, 0])


def test_embeddings_are_those_of_the_teachers_package(teachers: Path, shared_data: Path) -> None:
    """`campp_centroids.npz` holds what its package says of the first 3.4 s of these readers."""
    pytest.importorskip("kaldi_native_fbank")
    from training.teachers.campplus import CamPlusPlus

    model = CamPlusPlus(teachers / "campplus")
    centroids = np.load(shared_data / "campp_centroids.npz")
    with (shared_data / "train/index.tsv").open() as lines:
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        readers = [row for row in rows if row["source"] == "librispeech_tc100"][:5]

    for row in readers:
        start = round(float(row["start_s"]) * SECOND)
        path = shared_data / "train" / row["file"]
        pcm, _ = soundfile.read(path, round(3.4 * SECOND), start, dtype="float32")
        embedding = model.embed([pcm])[0]
        assert embedding @ centroids[row["speaker"]] == pytest.approx(1, abs=1e-3)
