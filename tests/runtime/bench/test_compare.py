"""What counts as worse: each figure against its allowance, on one board and across boards."""

from dataclasses import replace
from typing import Any

import pytest

from echo_edge.bench.report.compare import METRICS, allowances, compare
from echo_edge.errors import EchoError, UsageError

ALLOWED = allowances([])


def test_equal_runs_pass(make: Any) -> None:
    comparison = compare([make()], [make()], ALLOWED)
    assert comparison.problems == []
    assert comparison.text().endswith("comparison: passed\n")
    (pair,) = comparison.pairs
    names = {metric.name for metric in METRICS} - {"joules_per_audio_s"}  # no sensor
    assert {change.metric.name for change in pair.changes} == names


@pytest.mark.parametrize(
    ("rtf", "worse"), [(0.125, False), (0.1375, False), (0.1376, True), (0.05, False)]
)
def test_more_than_allowed_is_worse(make: Any, rtf: float, worse: bool) -> None:
    problems = compare([make(rtf=rtf)], [make()], ALLOWED).problems
    assert len(problems) == worse
    assert all("rtf 0.125 -> 0.1376 (+10.1 %), allowed +10 %" in problem for problem in problems)


def test_a_first_miss_is_worse_than_none(make: Any) -> None:
    record = make()
    old = replace(record, live=replace(record.live, deadline_misses=0))
    (problem,) = compare([make()], [old], ALLOWED).problems
    assert "live_misses 0 -> 1, allowed +0 %" in problem


def test_other_boards_compare_by_ratio_and_memory(make: Any) -> None:
    elsewhere = make(board={"model": "Pi 4"}, rtf=9.0)
    assert compare([elsewhere], [make()], ALLOWED).problems == []
    elsewhere = replace(elsewhere, reference=replace(elsewhere.reference, rtf_ratio=6.0))
    comparison = compare([elsewhere], [make()], ALLOWED)
    (problem,) = comparison.problems
    assert "x_gemm 5 -> 6 (+20.0 %)" in problem
    assert "other board" in comparison.text()


def test_the_same_board_is_preferred_and_then_the_last(make: Any) -> None:
    first, last, other = make(rtf=0.2), make(rtf=0.3), make(rtf=0.4, board={"model": "Pi 4"})
    (pair,) = compare([make()], [first, last, other], ALLOWED).pairs
    assert pair.old is last
    (pair,) = compare([make()], [other], ALLOWED).pairs
    assert pair.old is other


def test_what_has_no_counterpart_is_said(make: Any) -> None:
    comparison = compare([make(), make(threads=2)], [make()], ALLOWED)
    assert len(comparison.pairs) == 1
    assert "threads 2): no old record" in comparison.text()
    with pytest.raises(EchoError, match=r"found records of .*threads 1.* expected .*threads 2"):
        compare([make(threads=2)], [make()], ALLOWED)


@pytest.mark.parametrize("side", ["old", "new"])
def test_invalid_decides_nothing_unless_allowed(make: Any, side: str) -> None:
    invalid = make(valid=False, why=["throttled: hot"])
    new, old = (invalid, make()) if side == "new" else (make(), invalid)
    (problem,) = compare([new], [old], ALLOWED).problems
    assert f"INVALID ({side}: throttled: hot)" in problem
    assert compare([new], [old], ALLOWED, allow_invalid=True).problems == []


def test_allowances_replace_defaults() -> None:
    changed = allowances(["rtf=3", "rss_peak_mib=0%", "rtf=4.5"])
    assert (changed["rtf"], changed["rss_peak_mib"]) == (4.5, 0.0)
    assert changed["p90_ms"] == ALLOWED["p90_ms"]


@pytest.mark.parametrize("option", ["", "rtf", "rtf=", "rtf=-1", "rtf=inf", "rtf=x", "speed=5"])
def test_other_allowances_are_refused(option: str) -> None:
    with pytest.raises(UsageError, match="expected NAME=PERCENT"):
        allowances([option])
