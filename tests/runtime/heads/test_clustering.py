from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from echo_edge.heads.clustering import (
    NOBODY,
    GroupRules,
    LinkRules,
    OnlineClusters,
    group_clusters,
)
from tests.conftest import DECODING

Array = NDArray[np.float32]


def _rules(max_clusters: int = 4, min_clusters: int = 1) -> LinkRules:
    return LinkRules.from_manifest(DECODING, min_clusters, max_clusters)


BRIEF = GroupRules.from_manifest(DECODING)
PLAIN = replace(BRIEF, brief_s=0.0)


def _voices(*angles_deg: float) -> Array:
    """Unit vectors in a plane: their cosine is that of the difference of the angles."""
    radians = np.deg2rad(np.array(angles_deg))
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def _clusters(rules: LinkRules, *angles_deg: float, speech_s: float = 2.0) -> OnlineClusters:
    """One window per voice, each founding a cluster."""
    clusters = OnlineClusters(2, rules)
    for angle in angles_deg:
        assert _link(clusters, [angle], [speech_s]) == [clusters.count - 1]
    assert clusters.count == len(angles_deg)
    return clusters


def _link(
    clusters: OnlineClusters, angles_deg: Sequence[float], speech_s: Sequence[float]
) -> list[int]:
    embeddings = _voices(*angles_deg).reshape(-1, 2)
    return clusters.link(embeddings, np.array(speech_s, np.float32))


class TestLink:
    @pytest.mark.parametrize(
        ("angles_deg", "speech_s", "expected"),
        [
            pytest.param([10], [2], [0], id="the nearest"),
            pytest.param([80], [2], [1], id="the other"),
            pytest.param([80, 10], [2, 2], [1, 0], id="both"),
            pytest.param([10, 5], [2, 2], [0, 0], id="two stretches of one voice"),
            pytest.param([-10], [0.1], [0], id="short but alike"),
            pytest.param([45], [2], [2], id="alike to none founds"),
            pytest.param([44], [0.9], [0], id="alike to none and short: the nearest"),
            pytest.param([200, 270], [1, 3], [3, 2], id="who speaks longer founds first"),
            pytest.param([200, 270], [2, 2], [2, 3], id="equally long: in order"),
            pytest.param([200, 200], [0.5, 2], [2, 2], id="short, alike to one just founded"),
            pytest.param([], [], [], id="nobody there"),
        ],
    )
    def test_two_known_voices(
        self, angles_deg: list[float], speech_s: list[float], expected: list[int]
    ) -> None:
        assert _link(_clusters(_rules(), 0, 90), angles_deg, speech_s) == expected

    def test_first_window_founds(self) -> None:
        clusters = OnlineClusters(2, _rules())

        assert clusters.centroids.shape == clusters.means.shape == (0, 2)
        assert _link(clusters, [0, 90], [0.9, 0.5]) == [NOBODY, NOBODY]
        assert _link(clusters, [0, 90, 45], [1.0, 0.5, 3.0]) == [1, 0, 0]
        assert clusters.count == 2

    def test_centroid_is_the_mean_weighted_by_speech(self) -> None:
        clusters = _clusters(_rules(), 0, speech_s=3.0)
        assert _link(clusters, [30], [1.0]) == [0]

        expected = 3 * _voices(0)[0] + _voices(30)[0]
        np.testing.assert_allclose(clusters.means[0], expected / 4, atol=1e-6)
        np.testing.assert_allclose(
            clusters.centroids[0], expected / np.linalg.norm(expected), atol=1e-6
        )
        assert clusters.speech_s.tolist() == [4.0, 0.0, 0.0, 0.0]

    def test_short_speech_does_not_move_a_centroid(self) -> None:
        clusters = _clusters(_rules(), 0)
        assert _link(clusters, [30], [0.9]) == [0]

        np.testing.assert_allclose(clusters.centroids, _voices(0), atol=1e-6)
        assert clusters.speech_s[0] == 2.0


class TestBound:
    @pytest.mark.parametrize(
        ("angles_deg", "speech_s", "expected"),
        [
            pytest.param([200], [2], [1], id="the nearest, however far"),
            pytest.param([5, 200], [2, 2], [0, 1], id="each the nearest"),
            pytest.param([170, 100, 95], [2, 2, 2], [1, 1, 1], id="all the same"),
        ],
    )
    def test_when_all_are_taken(
        self, angles_deg: list[float], speech_s: list[float], expected: list[int]
    ) -> None:
        clusters = _clusters(_rules(max_clusters=2), 0, 90)

        assert _link(clusters, angles_deg, speech_s) == expected
        assert clusters.count == 2

    @pytest.mark.parametrize(
        ("min_clusters", "expected"),
        [
            pytest.param(1, [0, 0], id="alike enough"),
            pytest.param(2, [1, 1], id="not where two are expected"),
            pytest.param(3, [1, 2], id="nor where three are"),
        ],
    )
    def test_fewer_than_there_should_be(self, min_clusters: int, expected: list[int]) -> None:
        """Cosines between 0.75 and 0.95."""
        clusters = _clusters(_rules(min_clusters=min_clusters), 0)

        assert [_link(clusters, [angle], [2.0])[0] for angle in (30, 50)] == expected

    @given(
        windows=st.lists(
            st.lists(st.tuples(st.integers(0, 35), st.floats(0.0, 3.0)), min_size=1, max_size=5),
            max_size=8,
        ),
        max_clusters=st.integers(1, 4),
    )
    def test_everybody_has_a_voice_once_there_is_one(
        self, windows: list[list[tuple[int, float]]], max_clusters: int
    ) -> None:
        clusters = OnlineClusters(2, _rules(max_clusters))
        for window in windows:
            before = clusters.count
            voices = _link(clusters, [10 * a for a, _ in window], [s for _, s in window])
            assert before <= clusters.count <= max_clusters
            assert all((NOBODY if before == 0 else 0) <= v < clusters.count for v in voices)
            assert clusters.count == 0 or NOBODY not in voices
            assert np.all(clusters.speech_s[: clusters.count] >= 1.0)


class TestJoin:
    def test_sums_what_was_heard(self) -> None:
        clusters = _clusters(_rules(), 0, 90, 180)

        clusters.join((0, 1, 0))

        assert (clusters.count, clusters.speech_s.tolist()) == (2, [4.0, 2.0, 0.0, 0.0])
        np.testing.assert_allclose(clusters.means, [[0, 0], [0, 1]], atol=1e-6)
        assert _link(clusters, [45], [2.0]) == [2]  # a place is free again

    def test_nobody(self) -> None:
        clusters = OnlineClusters(2, _rules())
        clusters.join(())
        assert clusters.count == 0


HOURS, PEOPLE, DIM = 8, 6, 192


def _hours(rng: np.random.Generator) -> Iterator[tuple[NDArray[np.int64], Array, Array]]:
    """A window per second: who speaks, what each stretch sounds like, and for how long. Person 0 is
    there in the first and in the last hour. Embeddings of one person have a cosine of 0.6, of two
    of 0."""
    directions = np.linalg.qr(rng.normal(size=(DIM, PEOPLE)))[0].T
    for second in range(3600 * HOURS):
        away = 3600 <= second < 3600 * (HOURS - 1)
        people = rng.integers(int(away), PEOPLE, rng.integers(1, 3))
        embeddings = directions[people] + 0.8 * rng.normal(size=(len(people), DIM)) / DIM**0.5
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        yield people, embeddings.astype(np.float32), rng.uniform(1.0, 5.0, len(people))


class TestHours:
    def test_whoever_was_silent_for_hours_is_known_again(self) -> None:
        clusters = OnlineClusters(DIM, LinkRules(0.3, 1.0, 20))
        n_bytes = sum(v.nbytes for v in vars(clusters).values() if isinstance(v, np.ndarray))
        heard = np.zeros((PEOPLE, 20), int)
        for people, embeddings, speech_s in _hours(np.random.default_rng(1)):
            np.add.at(heard, (people, clusters.link(embeddings, speech_s)), 1)

        assert clusters.count == PEOPLE
        assert (heard > 0).sum() == PEOPLE  # nobody ever has another voice
        assert n_bytes == sum(
            v.nbytes for v in vars(clusters).values() if isinstance(v, np.ndarray)
        )

    def test_parts_that_are_joined_now_and_then_stay_pure(self) -> None:
        """As with a latency of infinity, where places are few: here nearly every stretch is a part
        of its own."""
        clusters = OnlineClusters(DIM, LinkRules(0.65, 1.0, 32, 32, margin=0.2))
        heard, n_joined = np.zeros((PEOPLE, 32), int), 0
        for people, embeddings, speech_s in _hours(np.random.default_rng(2)):
            np.add.at(heard, (people, clusters.link(embeddings, speech_s)), 1)
            if clusters.count > 16:
                heard, n_joined = _joined(clusters, heard, 1.0, 8), n_joined + 1
        heard = _joined(clusters, heard, 0.3, 20)

        assert n_joined > 10
        assert clusters.count == PEOPLE
        assert (heard > 0).sum() == PEOPLE


def _joined(
    clusters: OnlineClusters, heard: NDArray[np.int64], threshold: float, maximum: int
) -> NDArray[np.int64]:
    groups = clusters.group(replace(BRIEF, threshold=threshold), 1, maximum).groups
    joined = np.zeros_like(heard)
    np.add.at(joined.T, list(groups), heard.T[: clusters.count])
    clusters.join(groups)
    return joined


class TestGroup:
    @pytest.mark.parametrize(
        ("angles_deg", "limits", "groups"),
        [
            pytest.param([], (1, 20), (), id="none"),
            pytest.param([0], (1, 20), (0,), id="one"),
            pytest.param([0, 10, 90], (1, 20), (0, 0, 1), id="alike ones merge"),
            pytest.param([0, 90, 5, 95], (1, 20), (0, 1, 0, 1), id="numbered by appearance"),
            pytest.param([0, 90, 180], (1, 20), (0, 1, 2), id="different ones stay"),
            pytest.param([0, 10, 19], (2, 20), (0, 1, 1), id="not below the minimum"),
            pytest.param([0, 10, 20], (3, 20), (0, 1, 2), id="minimum as many as there are"),
            pytest.param([0, 10], (5, 20), (0, 1), id="minimum more than there are"),
            pytest.param([0, 90, 170], (1, 2), (0, 1, 1), id="not above the maximum"),
            pytest.param([0, 90, 170], (1, 1), (0, 0, 0), id="maximum of one"),
        ],
    )
    def test_groups(
        self, angles_deg: list[float], limits: tuple[int, int], groups: tuple[int, ...]
    ) -> None:
        weights = np.ones(len(angles_deg), np.float32)

        found = group_clusters(_voices(*angles_deg), weights, PLAIN, *limits)

        assert found.groups == groups

    def test_weights_decide_what_a_merged_voice_sounds_like(self) -> None:
        voices = _voices(0, 40, 85)
        light, heavy = np.array([1.0, 9.0, 1.0]), np.array([9.0, 1.0, 1.0])
        sixty = replace(PLAIN, threshold=0.6)

        # The first two merge; their mean is near the second, then the third is alike too, or near
        # the first, then it is not.
        assert group_clusters(voices, light, sixty, 1, 20).groups == (0, 0, 0)
        assert group_clusters(voices, heavy, sixty, 1, 20).groups == (0, 0, 1)

    @pytest.mark.parametrize(
        ("angle_deg", "weights", "minimum", "groups"),
        [
            pytest.param(70, (100, 100, 5), 1, (0, 1, 0), id="little speech, somewhat alike"),
            pytest.param(95, (100, 100, 5), 1, (0, 1, 2), id="little speech, like nobody"),
            pytest.param(70, (400, 400, 40), 1, (0, 1, 2), id="more speech"),
            pytest.param(70, (10, 10, 2), 1, (0, 1, 0), id="a small share"),
            pytest.param(70, (10, 10, 5), 1, (0, 1, 2), id="a good share of little speech"),
            pytest.param(70, (100, 100, 5), 3, (0, 1, 2), id="not below the minimum"),
        ],
    )
    def test_who_was_hardly_heard_joins_the_most_alike(
        self, angle_deg: float, weights: tuple[float, ...], minimum: int, groups: tuple[int, ...]
    ) -> None:
        voices, speech_s = _voices(0, 180, angle_deg), np.array(weights, np.float32)

        found = group_clusters(voices, speech_s, BRIEF, minimum, 20)
        without = group_clusters(voices, speech_s, PLAIN, minimum, 20)

        assert found.groups == groups
        assert without.groups == (0, 1, 2)

    def test_what_is_alike_joins_before_who_was_hardly_heard(self) -> None:
        """The third is most like the second, but so little that it waits; by then the first and the
        second are one."""
        voices, speech_s = _voices(0, 50, 125), np.array([100, 100, 5], np.float32)

        assert group_clusters(voices, speech_s, BRIEF, 1, 20).groups == (0, 0, 1)

    @pytest.mark.parametrize(
        ("angle_deg", "low", "high"),
        [
            pytest.param(77, 0.5, 0.6, id="just joined"),
            pytest.param(80, 0.5, 0.6, id="just not joined"),
            pytest.param(64, 0.85, 1.0, id="clearly joined"),
        ],
    )
    def test_how_sure_that_who_was_hardly_heard_is_nobody(
        self, angle_deg: float, low: float, high: float
    ) -> None:
        speech_s = np.array([100, 100, 5], np.float32)

        found = group_clusters(_voices(0, 180, angle_deg), speech_s, BRIEF, 1, 20)

        assert low <= found.confidence <= high

    @pytest.mark.parametrize(
        ("angles_deg", "limits", "low", "high"),
        [
            pytest.param([0, 5, 90], (1, 20), 0.9, 1.0, id="clear"),
            pytest.param([0, 56], (1, 20), 0.5, 0.55, id="just merged"),
            pytest.param([0, 57], (1, 20), 0.5, 0.55, id="just not merged"),
            pytest.param([0, 90], (1, 1), 0.0, 0.1, id="merged by force"),
            pytest.param([0, 5], (2, 2), 0.0, 0.1, id="kept apart by force"),
        ],
    )
    def test_confidence(
        self, angles_deg: list[float], limits: tuple[int, int], low: float, high: float
    ) -> None:
        weights = np.ones(len(angles_deg), np.float32)

        found = group_clusters(_voices(*angles_deg), weights, PLAIN, *limits)

        assert low <= found.confidence <= high

    @given(
        angles=st.lists(st.integers(0, 35), max_size=8),
        limits=st.tuples(st.integers(1, 6), st.integers(0, 6)),
    )
    def test_number_of_groups_is_within_the_limits(
        self, angles: list[int], limits: tuple[int, int]
    ) -> None:
        minimum, maximum = limits[0], limits[0] + limits[1]
        weights = np.ones(len(angles), np.float32)

        found = group_clusters(_voices(*[10 * a for a in angles]), weights, PLAIN, minimum, maximum)

        n_groups = len(set(found.groups))
        assert min(minimum, len(angles)) <= n_groups <= maximum
        assert sorted(set(found.groups)) == list(range(n_groups))
        assert 0.0 <= found.confidence <= 1.0
