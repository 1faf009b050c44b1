"""Windows of utterances, and their latents on disk, without any teacher."""

from pathlib import Path

import numpy as np
import pytest

from training.corpora.data import Corpus, Utterance
from training.teachers.latents import (
    FRAMES,
    STEP,
    WIDTH,
    WINDOW,
    LatentStore,
    plan,
)
from training.teachers.windows import Piece, Window, WindowFile

LENGTHS = (
    ("a", "x", 100_000), ("b", "x", 641), ("c", "x", 30_000), ("d", "y", 50_000),
    ("e", "y", 470_000), ("f", "y", 1_000_000), ("g", "y", 20_000),
    ("h", "y", WINDOW + 100), ("i", "z", 0),
)  # fmt: skip
"""Utterance, speaker, samples."""


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    offset, utterances = 0, []
    for name, speaker, n in LENGTHS:
        utterances.append(Utterance(name, speaker, "", "s", offset, n))
        offset += n
    rng = np.random.default_rng(0)
    return Corpus(tuple(utterances), rng.integers(-9999, 9999, offset).astype(np.int16))


def writer_to(folder: Path, teacher: dict[str, str]) -> WindowFile:
    return WindowFile(folder, "latents.f16", (FRAMES, WIDTH), teacher)


def latents_of(windows: list[Window], first: int = 0) -> np.ndarray:
    """Every latent says its window (dimension 0) and its frame (dimension 1)."""
    rows = np.zeros((len(windows), FRAMES, WIDTH), np.float16)
    rows[..., 0] = (first + np.arange(len(windows)))[:, None]
    rows[..., 1] = np.arange(FRAMES)
    return rows


def test_windows_hold_neighbours_of_one_voice(corpus: Corpus) -> None:
    assert plan(corpus) == [
        # b is too short to be there
        (Piece("a", 0, 100_000, 0), Piece("c", 0, 30_000, 100_480)),
        (Piece("d", 0, 50_000, 0),),
        (Piece("e", 0, 470_000, 0),),
        (Piece("f", 0, WINDOW, 0),),
        (Piece("f", WINDOW, WINDOW, 0),),
        (Piece("f", 2 * WINDOW, 40_000, 0), Piece("g", 0, 20_000, 40_320)),
        (Piece("h", 0, WINDOW, 0),),
    ]


def test_every_piece_begins_on_the_grid_within_40_ms_of_the_one_before(corpus: Corpus) -> None:
    for window in plan(corpus):
        end = 0
        for piece in window:
            assert piece.start % STEP == 0
            assert 0 <= piece.start - end < STEP
            end = piece.start + piece.n_samples
        assert end <= WINDOW


def test_what_was_written_is_cut_at_any_place(corpus: Corpus, tmp_path: Path) -> None:
    windows = plan(corpus)
    writer = writer_to(tmp_path, {"name": "counting"})
    writer.add(windows[:3], latents_of(windows[:3]))
    writer.add(windows[3:], latents_of(windows[3:], first=3))

    store = LatentStore(tmp_path, corpus)

    assert store.teacher == {"name": "counting"}
    assert list(store.windows) == windows
    assert store.place("c") == (0, 100_480, 30_000)
    assert store.place("f") == (3, 0, WINDOW)
    assert store.place("g") == (5, 40_320, 20_000)
    assert "b" not in store
    assert store.length(0) == 130_480
    pcm, latents = store.cut(0, 99_840, 32_000)
    want = np.zeros(32_000, np.float32)
    want[:160] = corpus.pcm(corpus.utterances[0])[99_840:]
    want[640:30_640] = corpus.pcm(corpus.utterances[2])
    assert np.array_equal(pcm, want)
    assert latents.shape == (100, WIDTH)
    assert latents.dtype == np.float32
    assert latents[:95, 1].tolist() == list(range(312, 407))
    assert not latents[95:].any()
    rest, latents = store.cut(5, 640, 640)
    assert np.array_equal(rest, corpus.pcm(corpus.utterances[5])[2 * WINDOW + 640 :][:640])
    assert latents[:, :2].tolist() == [[5, 2], [5, 3]]


def test_mean_and_deviation_leave_padding_out(corpus: Corpus, tmp_path: Path) -> None:
    windows = plan(corpus)[:2]
    rng = np.random.default_rng(1)
    latents = rng.normal(3, 2, (2, FRAMES, WIDTH)).astype(np.float16)
    spoken = np.concatenate([latents[0, :407], latents[1, :156]]).astype(np.float64)
    latents[0, 407:], latents[1, 156:] = 1000, 1000
    writer_to(tmp_path, {}).add(windows, latents)

    store = LatentStore(tmp_path, corpus)

    assert store.mean.dtype == store.std.dtype == np.float32
    np.testing.assert_allclose(store.mean, spoken.mean(0), atol=1e-5)
    np.testing.assert_allclose(store.std, spoken.std(0), atol=1e-5)


def test_a_stop_between_latents_and_listing_costs_only_that_batch(
    corpus: Corpus, tmp_path: Path
) -> None:
    windows = plan(corpus)
    writer_to(tmp_path, {"v": "1"}).add(windows[:2], latents_of(windows[:2]))
    with (tmp_path / "latents.f16").open("ab") as half_written:
        half_written.write(b"x" * 12_345)

    assert LatentStore(tmp_path, corpus).windows == tuple(windows[:2])
    again = writer_to(tmp_path, {"v": "1"})
    again.add(windows[2:3], latents_of(windows[2:3], first=2))

    store = LatentStore(tmp_path, corpus)
    assert store.windows == tuple(windows[:3])
    assert store.cut(2, 0, 640)[1][:, :2].tolist() == [[2, 0], [2, 1]]
    known = [piece.id for window in again.windows for piece in window]
    assert plan(corpus, known) == windows[3:]


def test_another_version_of_the_teacher_begins_anew(corpus: Corpus, tmp_path: Path) -> None:
    windows = plan(corpus)
    writer_to(tmp_path, {"v": "1"}).add(windows[:2], latents_of(windows[:2]))

    writer = writer_to(tmp_path, {"v": "2"})
    assert not writer.windows
    writer.add(windows[4:5], latents_of(windows[4:5], first=4))

    store = LatentStore(tmp_path, corpus)
    assert store.windows == tuple(windows[4:5])
    assert store.cut(0, 0, 640)[1][0, 0] == 4


def test_what_does_not_fit_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="found nothing there"):
        LatentStore(tmp_path, corpus)
    writer = writer_to(tmp_path, {})
    with pytest.raises(ValueError, match=r"found \(2, 1500, 512\), expected \(1, 1500, 512\)"):
        writer.add(plan(corpus)[:1], latents_of(plan(corpus)[:2]))
    writer.add(plan(corpus)[:1], latents_of(plan(corpus)[:1]))
    with pytest.raises(ValueError, match="found 320, expected a multiple of 640"):
        LatentStore(tmp_path, corpus).cut(0, 320, 640)
    shorter = Corpus(corpus.utterances[1:], corpus.samples)
    with pytest.raises(ValueError, match="found a, which the corpus does not hold"):
        LatentStore(tmp_path, shorter)
