"""Calibration of names and of the speaker count: the arithmetic behind the tables."""

from itertools import combinations

import numpy as np
import pytest

from training import tune_count, tune_voices
from training.corpora.data import Utterance
from training.scoring.voice_trials import TEST_POOL_S, Trials, split_pool


def _random(seed: int = 0, n_speakers: int = 6) -> Trials:
    rng = np.random.default_rng(seed)
    speaker = np.repeat(np.arange(n_speakers), 3)
    scores = rng.uniform(-0.2, 0.9, (len(speaker), n_speakers)).astype(np.float32)
    return Trials(scores, speaker)


def _every_set(trials: Trials, threshold: float, n_people: int) -> dict[str, float]:
    """The same shares by looking at every set of people."""
    seen: dict[str, list[bool]] = {"named": [], "missed": [], "wrong": [], "false": []}
    n_speakers = trials.scores.shape[1]
    for row, own in zip(trials.scores, trials.speaker.tolist(), strict=True):
        for people in combinations(range(n_speakers), n_people):
            best = max(people, key=lambda person, row=row: float(row[person]))
            heard = row[best] >= threshold
            if own in people:
                seen["named"].append(bool(heard and best == own))
                seen["missed"].append(not heard)
                seen["wrong"].append(bool(heard and best != own))
            else:
                seen["false"].append(bool(heard))
    return {name: 100.0 * float(np.mean(kind)) for name, kind in seen.items()}


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("n_people", [1, 2, 4])
def test_shares_are_those_over_all_sets_of_people(threshold: float, n_people: int) -> None:
    trials = _random()

    expected = _every_set(trials, threshold, n_people)

    assert trials.shares(threshold, n_people) == pytest.approx(expected)


def test_some_speakers_only() -> None:
    trials = _random().select([4, 1])

    assert trials.scores.shape == (6, 2)
    assert trials.speaker.tolist() == [1, 1, 1, 0, 0, 0]
    np.testing.assert_array_equal(trials.scores[0], _random().scores[3, [4, 1]])


def test_the_threshold_is_the_least_with_few_false_names() -> None:
    trials = {(15.0, 5.0): _random(n_speakers=12), (5.0, 5.0): _random(1, n_speakers=12)}

    chosen = tune_voices.choose(trials)

    assert tune_voices.false_names(trials, chosen) <= tune_voices.FALSE
    assert tune_voices.false_names(trials, round(chosen - 0.01, 2)) > tune_voices.FALSE


def test_enrolment_and_tests_share_no_utterance() -> None:
    pool = [Utterance(str(n), "a", "", "s", n * 80_000, 80_000) for n in range(12)]

    before, after = split_pool(pool)

    assert before + after == pool
    assert sum(u.duration_s for u in after) >= TEST_POOL_S
    assert sum(u.duration_s for u in after[1:]) < TEST_POOL_S
    with pytest.raises(ValueError, match="expected more than 16"):
        split_pool(pool[:3])


class TestCount:
    def test_the_curve_is_found_again(self) -> None:
        rng = np.random.default_rng(0)
        margins = rng.uniform(-0.2, 0.4, 4000)
        right = (rng.random(4000) < tune_count.curve(margins, 0.3, 5.0)).astype(float)

        assert tune_count.fit(margins, right) == pytest.approx((0.3, 5.0), abs=0.5)

    def test_all_right_has_a_curve_too(self) -> None:
        offset, slope = tune_count.fit(np.linspace(0, 0.3, 20), np.ones(20))

        assert np.isfinite([offset, slope]).all()
        assert tune_count.curve(np.array([0.1]), offset, slope)[0] > 0.9

    def test_held_out_does_not_know_the_answer(self) -> None:
        """Of answers that nothing tells, the share is all that is learned."""
        rng = np.random.default_rng(1)
        right = (rng.random(400) < 0.7).astype(float)

        found = tune_count.held_out(rng.uniform(-0.1, 0.3, 400), right, seed=0)

        assert found.mean() == pytest.approx(0.7, abs=0.06)

    def test_equal_margins_stay_together(self) -> None:
        margins = np.array([0.3] * 50 + list(np.linspace(-0.1, 0.29, 50)))

        parts = tune_count.bins(margins)

        assert sorted(np.concatenate(parts).tolist()) == list(range(100))
        for part in parts:
            whole = set(margins[part].tolist())
            outside = set(np.delete(margins, part).tolist())
            assert not whole & outside
