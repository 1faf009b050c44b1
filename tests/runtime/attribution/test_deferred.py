from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from echo_edge.attribution.deferred import (
    BLOCK_STEPS,
    ActivityLog,
    DeferredAttribution,
    JoinRules,
)
from echo_edge.attribution.live import LiveAttribution
from echo_edge.attribution.names import NameGiver, NameRules
from echo_edge.errors import UsageError
from echo_edge.heads.clustering import LinkRules, OnlineClusters
from echo_edge.heads.diarization import Activity
from echo_edge.heads.separation import VoiceSlots
from echo_edge.result import Horizon, Result, Tentative, Word
from echo_edge.voices import Voices
from tests.conftest import DECODING

Array = NDArray[np.float32]


def _log(*parts: Array) -> ActivityLog:
    log, first_step = ActivityLog(DECODING.min_logged_score), 0
    for part in parts:
        log.add(Activity(first_step, part))
        first_step += len(part)
    return log


def _whole(log: ActivityLog, n_voices: int) -> Array:
    at, scores = 0, [np.zeros((0, n_voices), np.float32)]
    for block in log.blocks(n_voices):
        assert block.first_step == at
        scores.append(block.scores)
        at += len(block.scores)
    return np.concatenate(scores)


@given(
    lengths=st.lists(st.integers(0, 2 * BLOCK_STEPS), max_size=5), seed=st.integers(0, 2**32 - 1)
)
def test_what_was_added_comes_out(lengths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [(rng.random((n, 5)) * (rng.random((n, 5)) > 0.7)).astype(np.float32) for n in lengths]

    found = _whole(_log(*parts), 5)

    expected = np.concatenate([np.zeros((0, 5), np.float32), *parts])
    expected[expected < DECODING.min_logged_score] = 0.0
    np.testing.assert_allclose(found, expected, atol=0.51 / 255)


def test_joined_voices_are_added_up() -> None:
    log = _log(np.array([[0.4, 0.0, 0.4], [0.8, 0.2, 0.8], [0.0, 0.6, 0.2]], np.float32))
    log.join((0, 1, 0))
    log.add(Activity(3, np.array([[0.2, 1.0]], np.float32)))

    expected = [[0.8, 0.0], [1.0, 0.2], [0.2, 0.6], [0.2, 1.0]]
    np.testing.assert_allclose(_whole(log, 2), expected, atol=0.01)


@pytest.mark.parametrize("n_steps", [0, 3])
def test_nobody(n_steps: int) -> None:
    log = _log(np.zeros((n_steps, 4), np.float32))
    log.join(())

    assert _whole(log, 0).shape == (n_steps, 0)


def test_eight_hours_take_a_few_megabytes() -> None:
    scores = np.zeros((25, 128), np.float32)
    scores[:, [3, 90]] = 0.5, 0.1
    log = _log(*[scores] * (8 * 3600))

    n_bytes = sum(len(v) * v.itemsize for v in (log._steps, log._voices, log._scores))

    assert n_bytes == 8 * 3600 * 25 * 2 * 6


STEP_S = 0.04


class _Diarization:
    """Clusters as diarization has them: as many places as twice the voices, less one."""

    def __init__(self, *directions: tuple[float, float]) -> None:
        self.clusters = OnlineClusters(2, LinkRules(0.99, 0.5, 2 * len(directions)))
        for direction in directions:
            self.clusters.link(np.array([direction], np.float32), np.array([2.0]))
        self.join = self.clusters.join


def _attribution(diarization: _Diarization) -> DeferredAttribution:
    decoding = replace(DECODING, gap_s=2 * STEP_S, shortest_turn_s=3 * STEP_S, group_threshold=0.7)
    names = NameGiver(Voices(), NameRules(0.6, 3.0))
    live = LiveAttribution(diarization.clusters, decoding, STEP_S, names)
    rules = JoinRules(decoding, 1, 20)
    slots = VoiceSlots(3, alike=0.7)
    return DeferredAttribution(live, diarization, slots, rules, STEP_S)  # type: ignore[arg-type]


def _word(first: int, last: int, text: str) -> Word:
    return Word(first * STEP_S, last * STEP_S, text, None, 0.9)


def _activity(first_step: int, *voices: tuple[int, int, int]) -> Activity:
    """60 steps of 6 places; a voice is active from a step of these to another."""
    scores = np.zeros((60, 6), np.float32)
    for voice, start, end in voices:
        scores[start:end, voice] = 0.8
    return Activity(first_step, scores)


def test_nothing_is_final_before_the_end_and_then_everything() -> None:
    """Voices 0 and 2 are one person, who speaks second."""
    attribution = _attribution(_Diarization((1.0, 0.0), (0.0, 1.0), (0.9, 0.43589)))
    attribution.add(
        [_activity(0, (1, 5, 30), (0, 30, 55))], [_word(6, 10, "a"), _word(50, 58, "b")]
    )

    assert attribution.take(2.4) == Result(duration_s=2.4)
    assert attribution.horizon(2.0) == Horizon()
    coming = attribution.tentative(_activity(60), [_word(61, 62, "c")], 2.4)
    assert coming == Tentative((), (_word(50, 58, "b"), _word(61, 62, "c")))
    with pytest.raises(UsageError, match="speaker_1"):
        attribution.voiceprint("speaker_1", "c" * 64)

    attribution.finish([_activity(60, (2, 0, 20))], [_word(61, 62, "c")])
    result = attribution.take(4.8)

    assert [(turn.start_s, turn.end_s, turn.speaker) for turn in result.turns] == [
        pytest.approx((5 * STEP_S, 30 * STEP_S, "speaker_1")),
        pytest.approx((30 * STEP_S, 55 * STEP_S, "speaker_2")),
        pytest.approx((60 * STEP_S, 80 * STEP_S, "speaker_2")),
    ]
    assert [(word.text, word.speaker) for word in result.words] == [
        ("a", "speaker_1"),
        ("b", "speaker_2"),
        ("c", "speaker_2"),
    ]
    assert attribution.voiceprint("speaker_2", "c" * 64).speech_s == pytest.approx(45 * STEP_S)


def test_a_voice_of_which_only_a_word_is_left_is_nobody() -> None:
    attribution = _attribution(_Diarization((1.0, 0.0), (0.0, 1.0)))
    attribution.finish([_activity(0, (0, 5, 30), (1, 40, 42))], [_word(40, 42, "a")])

    result = attribution.take(2.4)

    assert [word.speaker for word in result.words] == [None]
    assert [speaker.id for speaker in result.speakers] == ["speaker_1"]


def test_half_of_the_places_taken_are_joined_to_a_quarter() -> None:
    directions = [(float(np.cos(angle)), float(np.sin(angle))) for angle in (0.0, 0.2, 1.5, 1.7)]
    diarization = _Diarization(*directions)
    attribution = _attribution(diarization)
    attribution.add([_activity(0, (0, 5, 30))], [])
    assert diarization.clusters.count == 4

    diarization.clusters.link(np.array([[-1.0, 0.0]], np.float32), np.array([2.0]))
    attribution.add([], [])

    assert diarization.clusters.count == 2
