"""When a measurement counts: each rule refuses what it must, and nothing else."""

from dataclasses import replace
from typing import Any

import pytest

from echo_edge.bench import validity as valid
from echo_edge.bench.machine import MachineSample
from echo_edge.bench.validity import Conditions
from echo_edge.board.info import Throttling

GOOD_MS = [100.0, 110.0] * 100


def slow_second_half(factor: float) -> list[float]:
    return GOOD_MS[:100] + [factor * sample for sample in GOOD_MS[100:]]


@pytest.mark.parametrize(
    ("samples_ms", "passed", "reason"),
    [
        (GOOD_MS, True, None),
        (GOOD_MS[:100], True, None),
        (GOOD_MS[:98], True, "98 samples"),
        ([1.0] * 200, True, "measured for 0.2 s"),
        (slow_second_half(1.04), True, None),
        (slow_second_half(1.06), True, "not repeatable"),
        (slow_second_half(0.94), True, "not repeatable"),
        (GOOD_MS, False, "the self-test failed"),
    ],
)
def test_what_was_measured(
    conditions: Conditions, samples_ms: list[float], passed: bool, reason: str | None
) -> None:
    check(valid.reasons(samples_ms, passed, conditions), reason)


def check(why: list[str], reason: str | None) -> None:
    if reason is None:
        assert why == []
    else:
        assert [each for each in why if each.startswith(reason)], why
        assert len(why) <= (2 if reason == "98 samples" else 1)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"emulated": True}, "emulated"),
        ({"governor": "powersave"}, "CPU governor powersave"),
        ({"governor": "schedutil + performance"}, "CPU governor schedutil + performance"),
        ({"governor": None}, None),
    ],
)
def test_the_board(conditions: Conditions, facts: dict[str, Any], reason: str | None) -> None:
    changed = replace(conditions, board=replace(conditions.board, **facts))
    check(valid.reasons(GOOD_MS, True, changed), reason)


@pytest.mark.parametrize(
    ("background", "reason"),
    [(0.2, None), (0.21, "background load: others used 0.21 processors"), (None, None)],
)
def test_others(conditions: Conditions, background: float | None, reason: str | None) -> None:
    check(valid.reasons(GOOD_MS, True, replace(conditions, background=background)), reason)


@pytest.mark.parametrize(
    ("during", "after", "reason"),
    [
        (Throttling(()), Throttling(()), None),
        (None, None, None),
        (Throttling(()), Throttling(("throttled",)), "throttled: throttled"),
        (Throttling(("frequency_capped",)), Throttling(()), "throttled: frequency_capped"),
        (Throttling(()), Throttling((), ("throttled",)), "throttled: throttled"),
        (Throttling(()), Throttling((), ("under_voltage",)), None),  # so it was before
        (Throttling(()), Throttling((), (), {"oc1_event_cnt": 3}), None),
        (Throttling(()), Throttling((), (), {"oc1_event_cnt": 4}), "throttled: oc1_event_cnt"),
    ],
)
def test_heat(
    conditions: Conditions,
    during: Throttling | None,
    after: Throttling | None,
    reason: str | None,
) -> None:
    before = Throttling((), ("under_voltage",), {"oc1_event_cnt": 3}) if after else None
    samples = [MachineSample(0.0, None, {}, None, each) for each in (before, during, after)]
    check(valid.reasons(GOOD_MS, True, replace(conditions, samples=samples)), reason)


def test_rounds_are_whole() -> None:
    assert valid.round_means([1.0] * 25 + [3.0] * 25 + [9.0]) == [1.0, 3.0]
    assert valid.round_means([1.0, 2.0]) == [1.5]
    assert valid.round_means([1.0, 3.0, 5.0, 7.0], length=2) == [2.0, 6.0]
