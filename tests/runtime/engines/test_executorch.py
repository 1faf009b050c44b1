"""The ExecuTorch engine on a small graph: `fixtures/executorch/make.py` says what it computes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from echo_edge.bundle.manifest import GraphSpec
from echo_edge.engines.executorch import SEAL, ExecutorchEngine, open_graph, sealed
from echo_edge.errors import EngineError
from tests.runtime.engines.executorch_graph import FIXTURE, MISSING, ONES, SPEC, WEIGHT

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@pytest.fixture
def engine() -> Iterator[ExecutorchEngine]:
    opened = ExecutorchEngine(FIXTURE, SPEC, threads=1)
    yield opened
    opened.close()


def test_it_computes_the_graph_and_carries_its_state(engine: ExecutorchEngine) -> None:
    random, total = np.random.default_rng(0), np.zeros((1, 8), np.float32)
    expected = total
    for _ in range(5):
        x = random.standard_normal((1, 8)).astype(np.float32)
        expected = expected + x
        outputs = engine.run({"x": x, "total": total})
        total = outputs["total_next"]

        np.testing.assert_array_equal(total, expected)
        product = np.maximum(expected @ WEIGHT.T, 0.0)
        step = np.ptp(np.append(expected, 0.0)) / 255  # of the integers that the row becomes
        np.testing.assert_allclose(outputs["y"], product, atol=step * np.abs(WEIGHT).sum(1).max())


def test_outputs_outlive_the_next_run(engine: ExecutorchEngine) -> None:
    first = engine.run(ONES)
    kept = {name: value.copy() for name, value in first.items()}
    engine.run({name: 3.0 * value - 1.0 for name, value in ONES.items()})

    for name, value in first.items():
        np.testing.assert_array_equal(value, kept[name])


def test_any_memory_layout_and_type_of_input(engine: ExecutorchEngine) -> None:
    wide = np.ones((1, 16))  # float64, every second value used

    outputs = engine.run({"x": wide[:, ::2], "total": ONES["total"]})

    np.testing.assert_array_equal(outputs["y"], engine.run(ONES)["y"])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        pytest.param({"x": ONES["x"]}, "found nothing for total", id="missing"),
        pytest.param(
            ONES | {"x": np.ones(8, np.float32)}, r"found shape \[8\] for x", id="fewer dimensions"
        ),
        pytest.param(
            ONES | {"x": np.ones((1, 9), np.float32)}, r"found shape \[1, 9\] for x", id="too long"
        ),
    ],
)
def test_wrong_inputs(engine: ExecutorchEngine, inputs: dict, message: str) -> None:
    with pytest.raises(EngineError, match=f"^running.pte: executorch failed: {message}, expected"):
        engine.run(inputs)


def test_close_twice_and_nothing_runs_afterwards(engine: ExecutorchEngine) -> None:
    engine.close()
    engine.close()

    with pytest.raises(EngineError, match="the graph is closed"):
        engine.run(ONES)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param(
            replace(SPEC, inputs=SPEC.inputs[:1]), "inputs: found 2, expected 1", id="count"
        ),
        pytest.param(
            replace(SPEC, outputs=(replace(SPEC.outputs[0], shape=(1, 4)), SPEC.outputs[1])),
            r"outputs: found y \[1, 8\], expected \[1, 4\]",
            id="shape",
        ),
        pytest.param(
            replace(SPEC, inputs=(replace(SPEC.inputs[0], shape=(8,)), SPEC.inputs[1])),
            r"inputs: found x \[1, 8\], expected \[8\]",
            id="dimensions",
        ),
    ],
)
def test_a_file_that_is_not_what_the_manifest_says(spec: GraphSpec, message: str) -> None:
    with pytest.raises(EngineError, match=f"^running.pte: {message}, as manifest.json says"):
        open_graph(FIXTURE, spec, 1)


def _refused(path: Path) -> str:
    with pytest.raises(EngineError) as caught:
        open_graph(path, SPEC, 1)
    message = str(caught.value)
    assert message.startswith(f"{path.name}: ")
    assert "\n" not in message
    return message


def test_a_file_of_another_engine(tmp_path: Path) -> None:
    path = tmp_path / "other.pte"
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(100))

    assert "found no ExecuTorch program, expected ET12 at byte 4" in _refused(path)


def test_no_file(tmp_path: Path) -> None:
    assert "cannot be read (No such file or directory)" in _refused(tmp_path / "absent.pte")


def test_truncated_anywhere(tmp_path: Path) -> None:
    data, path = FIXTURE.read_bytes(), tmp_path / "short.pte"
    for length in [*range(0, 64, 7), *range(64, len(data), 131), len(data) - 1]:
        path.write_bytes(data[:length])
        _refused(path)


def test_one_wrong_bit_anywhere(tmp_path: Path) -> None:
    data, path = FIXTURE.read_bytes(), tmp_path / "damaged.pte"
    for bit in range(0, 8 * len(data), 61):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        _refused(path)


def test_a_program_that_the_exporter_did_not_write(tmp_path: Path) -> None:
    path = tmp_path / "bare.pte"
    path.write_bytes(FIXTURE.read_bytes()[: -len(SEAL) - 4])

    assert "found a damaged file, expected what the exporter wrote" in _refused(path)


def test_a_sealed_file_that_the_library_refuses(tmp_path: Path) -> None:
    """In its own words, on one line."""
    path = tmp_path / "empty.pte"
    path.write_bytes(sealed(FIXTURE.read_bytes()[:64] + bytes(64)))

    assert "executorch cannot load it: cannot read it: " in _refused(path)


def test_threads() -> None:
    """One thread is always to be had; other numbers only one at a time, for the whole process."""
    with_two = ExecutorchEngine(FIXTURE, SPEC, threads=2)
    beside = ExecutorchEngine(FIXTURE, SPEC, threads=1)
    np.testing.assert_array_equal(with_two.run(ONES)["y"], beside.run(ONES)["y"])

    with pytest.raises(EngineError, match="found graphs open with 2 threads, expected 3"):
        ExecutorchEngine(FIXTURE, SPEC, threads=3)

    with_two.close()
    with_three = ExecutorchEngine(FIXTURE, SPEC, threads=3)
    np.testing.assert_array_equal(with_three.run(ONES)["y"], beside.run(ONES)["y"])
    with_three.close()
    beside.close()


def test_many_graphs_open_and_close_in_any_order() -> None:
    expected = ExecutorchEngine(FIXTURE, SPEC, threads=1).run(ONES)["y"]
    random, opened = np.random.default_rng(0), []
    for _ in range(60):
        if opened and random.random() < 0.5:
            opened.pop(random.integers(len(opened))).close()
        else:
            opened.append(ExecutorchEngine(FIXTURE, SPEC, threads=1))
        for graph in opened:
            np.testing.assert_array_equal(graph.run(ONES)["y"], expected)
