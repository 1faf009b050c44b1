"""Sounds that nobody speaks: seeded, finite, of one length and level, each kind another sound; and
the scenes that teach with them."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from training.corpora.data import Corpus, Utterance
from training.nonspeech import HELD_OUT, KINDS, Kind, sound
from training.simulation.conversations import Conversations
from training.simulation.mixtures import STEP_SAMPLES
from training.simulation.nonspeech_scenes import ALONE, MIXED, SPEECH, scene, silent_scene

RATE = 16_000
ALL = [pytest.param(kind, id=name) for name, kind in {**KINDS, **HELD_OUT}.items()]


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def spectrum(pcm: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean power in third octaves, dB, loudest 0."""
    power = np.abs(np.fft.rfft(pcm)) ** 2
    edges = np.geomspace(60, 7800, 22) * len(pcm) / RATE
    bands = np.array([power[int(a) : int(b)].sum() for a, b in pairwise(edges)])
    level = 10 * np.log10(bands + 1e-9)
    return np.asarray(level - level.max())


@pytest.mark.parametrize("kind", ALL)
def test_a_sound_is_a_function_of_its_seed(kind: Kind) -> None:
    once, again, other = (sound(kind, 5 * RATE, rng(seed)) for seed in (1, 1, 2))

    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("n_samples", [RATE, 7 * RATE + 13])
def test_a_sound_is_finite_as_long_as_asked_and_peaks_at_one(kind: Kind, n_samples: int) -> None:
    for seed in range(4):
        pcm = sound(kind, n_samples, rng(3, seed))

        assert (pcm.dtype, pcm.shape) == (np.float32, (n_samples,))
        assert np.isfinite(pcm).all()
        assert np.abs(pcm).max() in (0.0, pytest.approx(1.0))  # a second may fall into a pause


@pytest.mark.parametrize("kind", ALL)
def test_ten_seconds_are_never_silent(kind: Kind) -> None:
    for seed in range(4):
        assert np.sqrt(np.mean(sound(kind, 10 * RATE, rng(5, seed)) ** 2)) > 10 ** (-55 / 20)


@pytest.mark.parametrize("kind", ALL)
def test_a_kind_varies(kind: Kind) -> None:
    made = [spectrum(sound(kind, 5 * RATE, rng(7, seed))) for seed in range(6)]

    levels = np.maximum(made, -40)
    apart = [np.abs(a - b).mean() for a, b in combinations(levels, 2)]

    assert max(apart) > 1.0


def test_what_measures_does_not_teach() -> None:
    assert not set(KINDS) & set(HELD_OUT)
    assert not set(KINDS.values()) & set(HELD_OUT.values())


@pytest.fixture
def conversations() -> Conversations:
    """Three voices of modulated noise, five utterances of 3 s each; no rooms."""
    speech = [
        0.2 * rng(9, i).standard_normal(3 * RATE) * (np.arange(3 * RATE) // 4000 % 3 > 0)
        for i in range(15)
    ]
    samples = np.rint(np.concatenate(speech) * 32767).clip(-32768, 32767).astype(np.int16)
    utterances = tuple(
        Utterance(f"u{i}", f"voice{i % 3}", "", "made", i * 3 * RATE, 3 * RATE) for i in range(15)
    )
    return Conversations(Corpus(utterances, samples), None, 9.6)


class TestScenes:
    def test_every_sort_is_labelled(self, conversations: Conversations) -> None:
        made = [scene(conversations, KINDS, rng(1, i)) for i in range(40)]

        assert {each.sort for each in made} == {ALONE, MIXED, SPEECH}
        for each in made:
            assert each.pcm.shape == (240 * STEP_SAMPLES,)
            assert each.active.shape == (3, 240)
            assert np.isfinite(each.pcm).all()
            assert each.active.any() <= (each.sort != ALONE)
        assert all(each.active.any() for each in made if each.sort == SPEECH)

    def test_a_scene_is_a_function_of_its_seed(self, conversations: Conversations) -> None:
        for i in range(6):
            once, again = (scene(conversations, KINDS, rng(2, i)) for _ in range(2))

            np.testing.assert_array_equal(once.pcm, again.pcm)
            np.testing.assert_array_equal(once.active, again.active)

    def test_levels_of_silence(self) -> None:
        peaks = [np.abs(silent_scene(KINDS, None, 4.8, rng(3, i)).pcm).max() for i in range(40)]

        assert max(peaks) <= 1.0
        assert min(peaks) < 10 ** (-35 / 20)
        assert np.median(peaks) > 10 ** (-30 / 20)
