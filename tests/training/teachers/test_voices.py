"""CAM++ beside centroids that its own package gave, and the cache of frames."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from training.corpora.data import Corpus, Utterance
from training.teachers.campplus import CHANNELS
from training.teachers.voices import STEPS, VOICE_S, WINDOW, VoiceStore, plan
from training.teachers.windows import WindowFile, length

SECOND = 16_000


def utterance(name: str, speaker: str, offset: int, seconds: float) -> Utterance:
    return Utterance(name, speaker, "", "s", offset, round(seconds * SECOND))


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    much = [utterance(f"c{i}", "c", i * SECOND, 3) for i in range(30)]
    rows = [
        utterance("a1", "a", 0, 2), utterance("a2", "a", 0, 12), utterance("m", "multi", 0, 5),
        utterance("b1", "b", 0, 1), utterance("?", "", 0, 3), utterance("tiny", "b", 0, 0.1),
    ]  # fmt: skip
    return Corpus((*rows, *much), (np.arange(40 * SECOND) % 30_000).astype(np.int16))


def test_windows_hold_some_speech_of_every_known_voice(corpus: Corpus) -> None:
    windows = plan(corpus)
    seconds = dict.fromkeys("abc", 0.0)
    for window in windows:
        assert {piece.id[0] for piece in window} <= {window[0].id[0]}
        assert length(window) <= WINDOW
        assert [p.start for p in window] == [sum(q.n_samples for q in window[:i]) for i, p in
                                             enumerate(window)]  # fmt: skip
        seconds[window[0].id[0]] += length(window) / SECOND

    assert seconds["a"] == 12
    assert seconds["b"] == 0
    assert VOICE_S <= seconds["c"] < VOICE_S + 3
    assert plan(corpus, known={"a2"}) == [w for w in windows if w[0].id[0] == "c"]


def test_crops_are_of_the_speech_whose_frames_they_bring(corpus: Corpus, tmp_path: Path) -> None:
    windows = plan(corpus)
    rows = np.zeros((len(windows), STEPS, CHANNELS), np.float16)
    rows[..., 0] = np.arange(len(windows))[:, None]
    rows[..., 1] = np.arange(STEPS)
    WindowFile(tmp_path, "voices.f16", (STEPS, CHANNELS), {"teacher": "t"}).add(windows, rows)
    np.savez(tmp_path / "pooling.npz", weight=np.eye(3, 2 * CHANNELS), bias=np.zeros(3))

    store = VoiceStore(tmp_path, corpus)

    assert store.names == ("a", "c")
    for seed in range(20):
        pcm, frames = store.crop("c", 50, np.random.default_rng(seed))
        window, step = windows[int(frames[0, 0])], int(frames[0, 1])
        assert frames[:, 1].tolist() == list(range(step, step + 50))
        piece = next(p for p in reversed(window) if p.start <= step * 640)
        spoken = corpus.pcm(next(u for u in corpus.utterances if u.id == piece.id))
        inside = spoken[step * 640 - piece.start :][: len(pcm)]
        np.testing.assert_array_equal(pcm[: len(inside)], inside)
    assert len(store.crop("a", 999, np.random.default_rng(0))[1]) == STEPS
    assert np.linalg.norm(store.centroids["c"]) == pytest.approx(1)


def test_embeddings_are_those_of_the_teachers_package(teachers: Path, shared_data: Path) -> None:
    """`campp_centroids.npz` holds what its package says of the first 3.4 s of these readers, below
    0 cut off; pooled frames say nearly the same."""
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
        positive = np.maximum(embedding, 0)
        cosine = positive / np.linalg.norm(positive) @ centroids[row["speaker"]]
        assert cosine == pytest.approx(1, abs=1e-3)
        frames = model.frames(pcm)
        assert frames.shape == (85, CHANNELS)
        pooled = np.concatenate([frames.mean(0), frames.std(0)])
        said = model.weight.numpy() @ pooled + model.bias.numpy()
        assert said @ embedding / np.linalg.norm(said) > 0.97
