"""Turns and words of a bundle beside those of the float model, written into its manifest."""

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from echo_edge.bench.accuracy import read_labelled
from echo_edge.bundle.verify import open_bundle
from echo_edge.errors import EngineError
from echo_edge.result import Result, Turn, Word
from echo_edge.selftest import trace
from echo_edge.session import Session, load
from echo_edge_export.checkpoint import Checkpoint
from echo_edge_export.parity import reference
from echo_edge_export.quantize.recipes import RECIPES
from echo_edge_export.task_parity import Tasks, eager, measure_tasks
from echo_edge_export.write_bundle import BundlePlan, write_bundle

pytest.importorskip("jiwer")
pytest.importorskip("simpleder")


@pytest.fixture(scope="module")
def written(
    small_checkpoint: Checkpoint,
    noise: NDArray[np.float32],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("tasks") / "bundle"
    plan = BundlePlan("onnx", RECIPES["float32"], 4, folder, score=False)
    write_bundle(small_checkpoint, plan, noise)
    return folder


@pytest.fixture
def plan(tmp_path: Path) -> BundlePlan:
    return BundlePlan("onnx", RECIPES["float32"], 4, tmp_path / "bundle")


def test_the_float_model_runs_in_the_place_of_an_engine(
    small_checkpoint: Checkpoint, noise: NDArray[np.float32], written: Path
) -> None:
    with load(written) as session:
        found = trace(eager(session, small_checkpoint.model), noise)

    for name, expected in reference(small_checkpoint.model, noise, 4).items():
        np.testing.assert_allclose(found[name], expected, atol=1e-5)


def test_figures_are_in_the_manifest(
    small_checkpoint: Checkpoint,
    noise: NDArray[np.float32],
    written: Path,
    plan: BundlePlan,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labelled = read_labelled(open_bundle(written))
    assert labelled is not None
    before = open_bundle(written).manifest.parity
    duration_s = len(labelled.pcm) / 16_000
    words = tuple(
        Word(i * 0.1, i * 0.1 + 0.1, w, None, 1.0) for i, w in enumerate(labelled.text.split())
    )
    perfect = Result(labelled.turns, words, duration_s=duration_s)
    one = Result((Turn(0.0, duration_s, "speaker_1", 1.0),), words[:-10], duration_s=duration_s)
    answers = iter([one, perfect])
    monkeypatch.setattr(Session, "process", lambda *_: next(answers))

    tasks = write_bundle(small_checkpoint, plan, noise).tasks

    manifest = open_bundle(plan.out).manifest
    assert manifest.metrics == tasks.metrics
    assert manifest.parity == before | tasks.parity
    wer = round(1000 / len(words), 2)
    assert tasks.metrics["labelled.wer"] == wer
    assert tasks.metrics["labelled.der"] > 40
    assert tasks.parity == {
        "labelled.der_change": tasks.metrics["labelled.der"],
        "labelled.wer_change": wer,
        "labelled.der_from_float": tasks.metrics["labelled.der"],
        "labelled.wer_from_float": wer,
    }


def test_where_float_finds_nothing_there_is_nothing_to_be_away_from(
    small_checkpoint: Checkpoint, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "process", lambda *_: Result((), (), duration_s=60.0))

    with load(written) as session:
        tasks = measure_tasks(session, small_checkpoint.model)

    assert tasks.metrics == {"labelled.der": 100.0, "labelled.wer": 100.0}
    assert tasks.parity == {"labelled.der_change": 0.0, "labelled.wer_change": 0.0}


def test_a_line_for_people() -> None:
    metrics = {"labelled.der": 7.0, "labelled.wer": 61.24}
    change = {"labelled.der_change": -0.5, "labelled.wer_change": 2.0}
    away = {"labelled.der_from_float": 0.3, "labelled.wer_from_float": 11.0}
    start = "  labelled minute: DER, WER 7.0, 61.2 %; change from float -0.5, +2.0"

    assert Tasks(metrics, change).line() == start
    line = Tasks(metrics, change | away).line()
    assert line == f"{start}; away from what float says 0.3, 11.0 %"


def test_without_the_libraries_that_score_a_bundle_is_written_all_the_same(
    small_checkpoint: Checkpoint,
    noise: NDArray[np.float32],
    plan: BundlePlan,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "jiwer", None)

    tasks = write_bundle(small_checkpoint, plan, noise).tasks

    assert "pip install 'echo-edge[metrics]'" in tasks.line()
    assert open_bundle(plan.out).manifest.metrics == {}


def test_tasks_that_cannot_be_measured_leave_no_bundle(
    small_checkpoint: Checkpoint,
    noise: NDArray[np.float32],
    plan: BundlePlan,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> Result:
        raise EngineError("the engine gave up")

    monkeypatch.setattr(Session, "process", fail)

    with pytest.raises(EngineError):
        write_bundle(small_checkpoint, plan, noise)
    assert not plan.out.exists()
    assert list(plan.out.parent.iterdir()) == []
