"""Windows of 25 steps every 5, and a segmentation graph that reads the truth from the latents."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from echo_edge.bundle.manifest import DiarizationSpec, GraphSpec
from echo_edge.engines.stateful import GraphStream
from echo_edge.frontend import Chunk
from echo_edge.heads.clustering import LinkRules
from echo_edge.heads.diarization import Activity, DiarizationDecoder, TurnRules, find_stretches
from tests.conftest import DECODING

Array = NDArray[np.float32]
Graph = Callable[[Mapping[str, Array]], dict[str, Array]]

NONE = np.zeros(0, np.float32)
POWERSET = ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2))
WINDOW, HOP, STEP_S = 25, 5, 0.04
SPEC = DiarizationSpec(WINDOW, HOP, POWERSET, 4)
ORDERS = list(permutations(range(3)))
TURNS = TurnRules(onset=0.5, min_off_steps=2, min_on_steps=2)
CONSTANTS = replace(DECODING, gap_s=2 * STEP_S, shortest_turn_s=2 * STEP_S)


class _Call:
    """A function as an engine."""

    def __init__(self, graph: Graph) -> None:
        self.run = graph

    def close(self) -> None:
        """Nothing to free."""


class _Segmentation:
    """The true powerset class with speakers numbered differently in each window."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        truth, valid = inputs["latents"][0, :, 0].astype(int), inputs["valid"][0]
        assert truth.shape == valid.shape == (WINDOW,)
        order = ORDERS[self.calls % len(ORDERS)]
        self.calls += 1
        posteriors = np.full((1, WINDOW, len(POWERSET)), 0.01, np.float32)
        for step, index in enumerate(truth):
            active = tuple(sorted(order[speaker] for speaker in POWERSET[index]))
            posteriors[0, step, POWERSET.index(active)] = 0.94
        return {"logprobs": np.log(posteriors)}


def _embedding(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The direction of whoever speaks alone where the weights are."""
    truth, weights = inputs["latents"][0, :, 0].astype(int), inputs["weights"][0]
    directions = np.zeros((WINDOW, 4), np.float32)
    for speaker in range(3):
        directions[truth == POWERSET.index((speaker,)), speaker] = 1.0
    sums = weights @ directions
    return {"embeddings": (sums / (np.linalg.norm(sums, axis=1, keepdims=True) + 1e-6))[None]}


def _decoder(
    latency_steps: int,
    max_clusters: int = 5,
    segmentation: Graph | None = None,
    embedding: Graph = _embedding,
) -> DiarizationDecoder:
    def graph(function: Graph) -> GraphStream:
        return GraphStream(_Call(function), GraphSpec("graph", (), (), {}))

    rules = LinkRules(0.2, 0.3, max_clusters)
    segment = graph(segmentation or _Segmentation())
    return DiarizationDecoder(
        segment, graph(embedding), SPEC, rules, CONSTANTS, STEP_S, latency_steps
    )


def _truth(*runs: tuple[int, tuple[int, ...]]) -> list[int]:
    """Powerset class per step, from runs of steps and speakers."""
    return [POWERSET.index(speakers) for n_steps, speakers in runs for _ in range(n_steps)]


def _latents(truth: list[int]) -> Array:
    return np.array(truth, np.float32).reshape(1, -1, 1)


def _chunk(latents: Array) -> Chunk:
    """The same latents for both heads, nothing for the others."""
    n_steps = latents.shape[1]
    return Chunk(NONE, NONE, NONE, latents, latents, NONE, n_steps, math.inf, NONE)


def _decode(
    decoder: DiarizationDecoder, truth: list[int], cuts: list[int] | None = None
) -> list[tuple[int, Activity]]:
    """Each decision with the number of steps that had been pushed then."""
    bounds = sorted({0, len(truth), *(cuts or range(0, len(truth), 3))})
    decided = []
    for start, end in pairwise(bounds):
        latents = _latents(truth[start:end])
        decided += [(end, activity) for activity in decoder.push(_chunk(latents))]
    return decided + [(len(truth), activity) for activity in decoder.finish()]


def _decode_part(
    decoder: DiarizationDecoder, truth: list[int], last: bool = False
) -> list[Activity]:
    latents = _latents(truth)
    return decoder.push(_chunk(latents)) + (decoder.finish() if last else [])


def _scores(decided: list[tuple[int, Activity]]) -> Array:
    """All decisions in one; they follow one another without a gap."""
    at = 0
    for _, activity in decided:
        assert activity.first_step == at
        at += len(activity.scores)
    return np.concatenate([activity.scores for _, activity in decided])


CONVERSATION = _truth(
    (10, ()), (40, (0,)), (10, ()), (40, (1,)), (8, (0, 1)), (30, (0,)), (40, (2,)), (30, (1,)),
    (7, ()),
)  # fmt: skip


class TestStretches:
    @pytest.mark.parametrize(
        ("row", "spans", "owned"),
        [
            pytest.param("......", [], [], id="silence"),
            pytest.param(".XX...", [(1, 3)], [(0, 6)], id="one has all steps"),
            pytest.param("X.....", [], [], id="too short"),
            pytest.param("XX..XX", [(0, 6)], [(0, 6)], id="a pause within"),
            pytest.param("XX...XX", [(0, 2), (5, 7)], [(0, 3), (3, 7)], id="two"),
            pytest.param("XX...X", [(0, 2)], [(0, 6)], id="one and another too short"),
            pytest.param(
                "XXX....XX...XXXX",
                [(0, 3), (7, 9), (12, 16)],
                [(0, 5), (5, 10), (10, 16)],
                id="three",
            ),
        ],
    )
    def test_of_one(
        self, row: str, spans: list[tuple[int, int]], owned: list[tuple[int, int]]
    ) -> None:
        active = np.array([[0.9 if mark == "X" else 0.1] for mark in row], np.float32)

        found = find_stretches(active, TURNS)

        assert [(each.start, each.end) for each in found] == spans
        assert [(each.first, each.last) for each in found] == owned

    def test_of_several(self) -> None:
        active = np.zeros((8, 3), np.float32)
        active[:4, 2] = active[3:, 0] = 0.5

        assert [(s.local, s.start, s.end) for s in find_stretches(active, TURNS)] == [
            (0, 3, 8),
            (2, 0, 4),
        ]


class TestVoices:
    @pytest.mark.parametrize("latency_steps", [0, 5, 10, 20, 2**31])
    def test_are_those_who_speak(self, latency_steps: int) -> None:
        decoder = _decoder(latency_steps)

        scores = _scores(_decode(decoder, CONVERSATION))

        assert decoder.clusters.count == 3
        assert scores.shape == (len(CONVERSATION), 5)
        wrong = [
            tuple(np.flatnonzero(row >= 0.5).tolist()) != POWERSET[index]
            for row, index in zip(scores, CONVERSATION, strict=True)
        ]
        # A voice is known a window or two after it starts: late for what is decided at once.
        changes = np.flatnonzero(np.diff(CONVERSATION)) + 1
        since = np.flatnonzero(wrong)[:, None] - changes
        assert np.all(((since >= 0) & (since < 10)).any(axis=1))
        assert sum(wrong) < (10 if latency_steps >= 10 else 30)

    def test_speech_is_counted_once_per_window(self) -> None:
        decoder = _decoder(0)

        _decode(decoder, _truth((50, (0,))))

        # Windows of 10, 15, 20 steps and six whole ones; that of 5 steps is too short to count.
        expected = 0.94 * STEP_S * (10 + 15 + 20 + 6 * 25)
        assert decoder.clusters.speech_s[0] == pytest.approx(expected, rel=0.01)

    def test_are_told_apart_by_what_they_say_alone(self) -> None:
        def spy(inputs: Mapping[str, Array]) -> dict[str, Array]:
            weights.append(inputs["weights"][0].sum(0))
            return _embedding(inputs)

        weights: list[Array] = []
        truth = _truth((9, (0,)), (8, (0, 1)), (8, (1,)))

        _decode(_decoder(0, embedding=spy), truth)

        alone = np.array([len(POWERSET[index]) == 1 for index in truth])
        assert np.all(weights[-1][alone] > 0.9)
        assert np.all(weights[-1][~alone] < 0.1)

    def test_two_who_are_taken_for_one_local_speaker(self) -> None:
        """They talk after each other: their stretches are told apart."""

        def one_for_all(inputs: Mapping[str, Array]) -> dict[str, Array]:
            heard = inputs["latents"][0, :, 0] > 0
            posteriors = np.full((1, WINDOW, len(POWERSET)), 1e-6, np.float32)
            posteriors[0, ~heard, 0] = posteriors[0, heard, 1] = 1.0
            return {"logprobs": np.log(posteriors)}

        truth = _truth((10, ()), (20, (0,)), (5, ()), (20, (1,)), (5, ()), (20, (0,)), (4, ()))
        decoder = _decoder(2**31, segmentation=one_for_all)

        scores = _scores(_decode(decoder, truth))

        found = [tuple(np.flatnonzero(row >= 0.5).tolist()) for row in scores]
        assert found == [POWERSET[index] for index in truth]

    def test_more_stretches_than_the_graph_takes_at_once(self) -> None:
        def spy(inputs: Mapping[str, Array]) -> dict[str, Array]:
            assert inputs["weights"].shape == (1, 3, WINDOW)
            n_rows.append(int(inputs["weights"][0].any(axis=1).sum()))
            return _embedding(inputs)

        n_rows: list[int] = []
        truth = _truth((2, ()), (10, (0,)), (3, ()), *[(4, (0,)), (3, ())] * 4)

        scores = _scores(_decode(_decoder(2**31, embedding=spy), truth, [0]))

        assert (3, 1) in pairwise(n_rows)
        assert [index > 0 for index in truth] == (scores.max(1) >= 0.5).tolist()

    def test_joined(self) -> None:
        """Half way voices 0 and 2 turn out to be one; what is decided from then on says so."""
        truth, half = CONVERSATION + CONVERSATION, len(CONVERSATION)
        decoder, apart = _decoder(10), _decoder(10)
        before = _decode_part(decoder, truth[:half])
        _decode_part(apart, truth[:half])

        decoder.join((0, 1, 0))
        scores = _scores(
            [(0, each) for each in before + _decode_part(decoder, truth[half:], last=True)]
        )
        expected = _scores(
            [(0, each) for each in before + _decode_part(apart, truth[half:], last=True)]
        )

        assert decoder.clusters.count == 2
        at = sum(len(activity.scores) for activity in before)
        assert not expected[at : at + 10, 3:].any()
        np.testing.assert_array_equal(scores[at:, 2:], 0.0)
        np.testing.assert_allclose(scores[at:, 1], expected[at:, 1], atol=0.2)
        np.testing.assert_allclose(scores[at:, 0], expected[at:, [0, 2]].sum(1), atol=0.2)

    def test_no_more_than_allowed(self) -> None:
        decoder = _decoder(10, max_clusters=2)

        scores = _scores(_decode(decoder, CONVERSATION))

        assert decoder.clusters.count == scores.shape[1] == 2

    @pytest.mark.parametrize(
        "truth",
        [
            pytest.param(_truth((100, ())), id="silence"),
            pytest.param(_truth((40, ()), (3, (0,)), (40, ())), id="a sound too short"),
            pytest.param(_truth((100, (0, 1))), id="nobody is ever alone"),
            pytest.param([], id="nothing"),
        ],
    )
    def test_none(self, truth: list[int]) -> None:
        decoder = _decoder(10)

        decided = _decode(decoder, truth)

        assert decoder.clusters.count == 0
        assert sum(len(activity.scores) for _, activity in decided) == len(truth)
        assert all(not activity.scores.any() for _, activity in decided)


class TestLatency:
    @pytest.mark.parametrize("latency_steps", [0, 1, 5, 7, 20])
    def test_no_decision_is_held_back_longer(self, latency_steps: int) -> None:
        decided = _decode(_decoder(latency_steps), CONVERSATION, list(range(len(CONVERSATION))))

        pushed, n_decided = np.zeros(len(CONVERSATION) + 1, int), 0
        for n_pushed, activity in decided:
            pushed[n_decided : n_decided + len(activity.scores)] = n_pushed
            n_decided += len(activity.scores)
        waited = pushed[:-1] - np.arange(len(CONVERSATION))
        assert n_decided == len(CONVERSATION)
        assert waited.max() == latency_steps + HOP
        assert waited[: -latency_steps - HOP].min() > latency_steps

    @pytest.mark.parametrize("latency_steps", [WINDOW - HOP, WINDOW, 2**31])
    def test_is_at_most_what_a_window_sees(self, latency_steps: int) -> None:
        decided = _decode(_decoder(latency_steps), CONVERSATION)
        longest = _decode(_decoder(WINDOW - HOP), CONVERSATION)

        np.testing.assert_array_equal(_scores(decided), _scores(longest))
        assert [pushed for pushed, _ in decided] == [pushed for pushed, _ in longest]


@given(
    runs=st.lists(st.tuples(st.integers(1, 40), st.sampled_from(POWERSET)), max_size=8),
    cuts=st.lists(st.integers(0, 300), max_size=12),
    latency_steps=st.sampled_from([0, 3, 10, 2**31]),
)
def test_any_chunking_gives_the_same_decisions(
    runs: list[tuple[int, tuple[int, ...]]], cuts: list[int], latency_steps: int
) -> None:
    truth = _truth(*runs)
    whole, pieces = _decoder(latency_steps), _decoder(latency_steps)

    decided = _decode(pieces, truth, [cut for cut in cuts if cut < len(truth)] or [0])
    expected = _decode(whole, truth, [0])

    if not truth:
        assert decided == expected == []
        return
    np.testing.assert_array_equal(_scores(decided), _scores(expected))
    np.testing.assert_array_equal(pieces.clusters.centroids, whole.clusters.centroids)


def test_steps_that_do_not_exist_have_no_vote() -> None:
    """A graph that hears a speaker even in the padding before the first step."""

    def everywhere(inputs: Mapping[str, Array]) -> dict[str, Array]:
        valid = inputs["valid"][0]
        seen.append(int(valid.sum()))
        assert np.all(np.diff(valid) >= 0)
        assert np.all(inputs["latents"][0, valid == 0] == 0)
        posteriors = np.full((1, WINDOW, len(POWERSET)), 1e-6, np.float32)
        posteriors[0, :, 1] = 1.0
        return {"logprobs": np.log(posteriors)}

    seen: list[int] = []
    decoder = _decoder(0, segmentation=everywhere)

    scores = _scores(_decode(decoder, _truth((12, (0,)))))

    assert seen == [5, 10, 12]
    assert decoder.clusters.speech_s[0] == pytest.approx(STEP_S * (10 + 12), rel=1e-3)
    assert scores.max() <= 1.0 + 1e-5


def test_memory_does_not_grow() -> None:
    decoder = _decoder(10)
    sizes = []
    for _ in range(40):
        latents = _latents(_truth((12, (0,))))
        decoder.push(_chunk(latents))
        arrays = [v for v in vars(decoder).values() if isinstance(v, np.ndarray)]
        assert decoder._latents is not None
        sizes.append(sum(a.nbytes for a in (*arrays, *decoder._latents)))

    assert max(sizes[5:]) <= max(sizes[:15])
