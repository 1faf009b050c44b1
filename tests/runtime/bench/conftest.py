"""A run of the benchmark whose every number is known."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from echo_edge.bench.accuracy import Accuracy
from echo_edge.bench.live import Live
from echo_edge.bench.machine import MachineSample
from echo_edge.bench.measurement import Measurement, make_record
from echo_edge.bench.probe import Probe
from echo_edge.bench.record import (
    LoadTimes,
    Record,
    ResidentMemory,
    from_document,
    to_json,
)
from echo_edge.bench.validity import Conditions
from echo_edge.board.info import Board, Throttling
from echo_edge.bundle.manifest import GRAPH_NAMES
from echo_edge.bundle.verify import open_bundle
from echo_edge.selftest import SelfTest

BOARD = Board(
    *("Pi 5", "Cortex-A76", ("neon",), 4, "performance", 8192, "Linux", "6.12", False), 2400
)
COOL = MachineSample(0.0, 0.4, {"cpu": 50.0}, 2400.0, Throttling((), ("under_voltage",)))
GOOD_MS = [8.0, 12.0] * 600
PROBE = Probe(
    load_ms=LoadTimes(200.0, 150.0),
    first_result_ms=210.0,
    rss_mib=ResidentMemory(30.0, 80.0, 100.0, 15.0, 35.0, 20.0),
    pss_mib=70.0,
    anonymous_mib=60.0,
    rss_mib_over_time=(90.0, 95.0, 95.0),
)


@pytest.fixture
def conditions() -> Conditions:
    """A quiet board."""
    samples = (COOL, replace(COOL, t_s=20.0))
    return Conditions(datetime(2026, 1, 2, tzinfo=UTC), "c0ffee", False, BOARD, samples, 0.05)


@pytest.fixture
def measurement(null_bundle: Path) -> Measurement:
    """Chunks of 80 ms that take 10 ms on average, beside a reference work of 12 ms."""
    return Measurement(
        open_bundle(null_bundle),
        1,
        samples_ms=GOOD_MS,
        spent_s=dict.fromkeys(GRAPH_NAMES, 1.8),
        overhead_ms=[1.0, 3.0],
        reference_ms=[12.0] * 100,
        probe=PROBE,
        selftest=SelfTest({"latents": 40.0}, {"latents": 30.0}),
        accuracy=Accuracy(7.0, 61.0, 3, 3, 214, 63.08),
        live=Live(0.08, [9.0, 11.0, 90.0], [0.1, 0.1, 0.1]),
        energy_why="no sensor",
    )


Document = dict[str, Any]


@pytest.fixture
def document(measurement: Measurement, conditions: Conditions) -> Document:
    """A record as JSON has it."""
    found: Document = json.loads(to_json(make_record(measurement, conditions)))
    return found


MakeRecord = Callable[..., Record]


@pytest.fixture
def make(document: Document) -> MakeRecord:
    """A record; facts of the board and of the bundle and top-level keys can be others."""

    def changed(
        board: Document | None = None, bundle: Document | None = None, **keys: Any
    ) -> Record:
        inner = {
            "board": document["board"] | (board or {}),
            "bundle": document["bundle"] | (bundle or {}),
        }
        return from_document(document | keys | inner, "test")

    return changed
