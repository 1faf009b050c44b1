from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from echo_edge.clustering import NOBODY, LinkRules, OnlineClusters, group_clusters

Array = NDArray[np.float32]


def _rules(max_clusters: int = 4, continuity_weight: float = 0.6) -> LinkRules:
    return LinkRules(0.75, continuity_weight, 1.0, max_clusters)


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
    clusters: OnlineClusters,
    angles_deg: Sequence[float],
    speech_s: Sequence[float],
    continuity: Array | None = None,
) -> list[int]:
    if continuity is None:
        continuity = np.zeros((len(angles_deg), len(clusters.speech_s)), np.float32)
    return clusters.link(_voices(*angles_deg), np.array(speech_s, np.float32), continuity)


class TestLink:
    @pytest.mark.parametrize(
        ("angles_deg", "speech_s", "expected"),
        [
            pytest.param([10], [2], [0], id="the nearest"),
            pytest.param([80], [2], [1], id="the other"),
            pytest.param([80, 10], [2, 2], [1, 0], id="both"),
            pytest.param([-10], [0.1], [0], id="short but alike"),
            pytest.param([45], [2], [2], id="alike to none founds"),
            pytest.param([45], [0.9], [NOBODY], id="alike to none and short"),
            pytest.param([10, 5], [2, 2], [2, 0], id="the better of two alike, the other founds"),
            pytest.param([10, 5], [0.5, 2], [NOBODY, 0], id="the better, the other is short"),
            pytest.param([200, 270], [1, 3], [3, 2], id="who speaks longer founds first"),
            pytest.param([200, 270], [2, 2], [2, 3], id="equally long: in order"),
            pytest.param([], [], [], id="nobody there"),
        ],
    )
    def test_two_known_voices(
        self, angles_deg: list[float], speech_s: list[float], expected: list[int]
    ) -> None:
        assert _link(_clusters(_rules(), 0, 90), angles_deg, speech_s) == expected

    def test_first_window_founds(self) -> None:
        clusters = OnlineClusters(2, _rules())

        assert clusters.centroids.shape == (0, 2)
        assert _link(clusters, [0, 90, 45], [1.0, 0.5, 3.0]) == [1, NOBODY, 0]
        assert clusters.count == 2

    def test_continuity_can_tip_the_scale(self) -> None:
        continuity = np.zeros((1, 4), np.float32)
        continuity[0, 1] = 1.0

        assert _link(_clusters(_rules(), 0, 90), [45], [0.5], continuity) == [1]
        unweighted = _clusters(_rules(continuity_weight=0.0), 0, 90)
        assert _link(unweighted, [45], [0.5], continuity) == [NOBODY]

    def test_continuity_of_clusters_that_do_not_exist_counts_for_nothing(self) -> None:
        assert _link(_clusters(_rules(), 0), [90], [0.5], np.ones((1, 4), np.float32)) == [NOBODY]

    def test_centroid_is_the_mean_weighted_by_speech(self) -> None:
        clusters = _clusters(_rules(), 0, speech_s=3.0)
        assert _link(clusters, [30], [1.0]) == [0]

        expected = 3 * _voices(0)[0] + _voices(30)[0]
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
            pytest.param([200], [0.5], [NOBODY], id="not for short speech"),
            pytest.param([5, 200], [2, 2], [0, 1], id="the free one"),
            pytest.param([170, 200], [2, 3], [0, 1], id="each its own"),
            pytest.param([5, 85, 200], [2, 2, 2], [0, 1, NOBODY], id="none is free"),
            pytest.param([200, 210, 220], [2, 3, 4], [NOBODY, 0, 1], id="more than there are"),
        ],
    )
    def test_when_all_are_taken(
        self, angles_deg: list[float], speech_s: list[float], expected: list[int]
    ) -> None:
        clusters = _clusters(_rules(max_clusters=2), 0, 90)

        assert _link(clusters, angles_deg, speech_s) == expected
        assert clusters.count == 2

    def test_first_window_with_more_voices_than_clusters(self) -> None:
        clusters = OnlineClusters(2, _rules(max_clusters=1))

        assert _link(clusters, [0, 90, 180], [1.0, 3.0, 2.0]) == [NOBODY, 0, NOBODY]

    @given(
        windows=st.lists(
            st.lists(st.tuples(st.integers(0, 35), st.floats(0.0, 3.0)), min_size=1, max_size=3),
            max_size=8,
        ),
        max_clusters=st.integers(1, 4),
    )
    def test_no_two_local_speakers_share_a_voice(
        self, windows: list[list[tuple[int, float]]], max_clusters: int
    ) -> None:
        clusters = OnlineClusters(2, _rules(max_clusters))
        for window in windows:
            before = clusters.count
            links = _link(clusters, [10 * a for a, _ in window], [s for _, s in window])
            voices = [voice for voice in links if voice != NOBODY]
            assert len(set(voices)) == len(voices)
            assert before <= clusters.count <= max_clusters
            assert all(0 <= voice < clusters.count for voice in voices)


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

        found = group_clusters(_voices(*angles_deg), weights, 0.55, *limits)

        assert found.groups == groups

    def test_weights_decide_what_a_merged_voice_sounds_like(self) -> None:
        voices = _voices(0, 40, 85)
        light, heavy = np.array([1.0, 9.0, 1.0]), np.array([9.0, 1.0, 1.0])

        # The first two merge; their mean is near the second, then the third is alike too, or near
        # the first, then it is not.
        assert group_clusters(voices, light, 0.6, 1, 20).groups == (0, 0, 0)
        assert group_clusters(voices, heavy, 0.6, 1, 20).groups == (0, 0, 1)

    @pytest.mark.parametrize(
        ("angles_deg", "limits", "low", "high"),
        [
            pytest.param([0, 5, 90], (1, 20), 0.9, 1.0, id="clear"),
            pytest.param([0, 56], (1, 20), 0.5, 0.52, id="just merged"),
            pytest.param([0, 57], (1, 20), 0.5, 0.52, id="just not merged"),
            pytest.param([0, 90], (1, 1), 0.0, 0.1, id="merged by force"),
            pytest.param([0, 5], (2, 2), 0.0, 0.1, id="kept apart by force"),
        ],
    )
    def test_confidence(
        self, angles_deg: list[float], limits: tuple[int, int], low: float, high: float
    ) -> None:
        weights = np.ones(len(angles_deg), np.float32)

        found = group_clusters(_voices(*angles_deg), weights, 0.55, *limits)

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

        found = group_clusters(_voices(*[10 * a for a in angles]), weights, 0.55, minimum, maximum)

        n_groups = len(set(found.groups))
        assert min(minimum, len(angles)) <= n_groups <= maximum
        assert sorted(set(found.groups)) == list(range(n_groups))
        assert 0.0 <= found.confidence <= 1.0
