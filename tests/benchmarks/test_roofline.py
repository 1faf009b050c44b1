"""The bare products of a real encoder, and the refusals."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import roofline
from echo_edge.session import load

pytest.importorskip("onnx", reason="needs echo-edge[export]")
pytest.importorskip("onnxruntime", reason="needs echo-edge[onnx]")


def test_shares_of_the_default_bundle(
    default_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert roofline.main(["--bundle", str(default_bundle), "--rounds", "1"]) == 0
    *table, line = capsys.readouterr().out.splitlines()
    (figures,) = json.loads(line)
    assert figures["products"] >= 33  # four in each of eight blocks, and the patch
    assert figures["bare_ms"] > 0
    assert figures["share"] == pytest.approx(figures["bare_ms"] / figures["encoder_ms"], rel=1e-3)
    assert figures["memory_floor_ms"] > 0
    assert sum(row.startswith("| ") for row in table) == 2


def test_bare_products_are_the_encoders_own(default_bundle: Path, tmp_path: Path) -> None:
    """Same weights and types: an output is what numpy makes of the file's numbers."""
    import onnx
    from onnx import numpy_helper

    with load(default_bundle) as session:
        path, bare = session.bundle.graph_path("encoder"), roofline.bare_products(session, tmp_path)
    graph = onnx.load(str(path)).graph
    weights = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    products = [n for n in graph.node if n.op_type in roofline.PRODUCTS and n.input[1] in weights]
    assert bare.n_products == len(products)
    shapes = [weights[node.input[1]].shape for node in products]
    assert bare.multiply_adds == sum(12 * k * n for k, n in shapes)
    outputs = bare.engine.run(bare.inputs)
    assert [outputs[f"y{n}"].shape for n in range(len(shapes))] == [(12, n) for _, n in shapes]
    at, first = next((i, n) for i, n in enumerate(products) if n.op_type == "MatMul")
    expected = bare.inputs[f"x{at}"] @ weights[first.input[1]]
    np.testing.assert_allclose(outputs[f"y{at}"], expected, rtol=1e-3, atol=1e-3)


def test_reading_has_a_speed() -> None:
    assert roofline.read_speed(rounds=1) > 1e8


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--rounds", "0"], 2, "expected 1 or more"),
        (["--threads", "0"], 2, "threads"),
        ([], 1, "found engine null, expected onnx, tflite or executorch"),
    ],
)
def test_refusals_are_one_line(
    null_bundle: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    code: int,
    message: str,
) -> None:
    assert roofline.main(["--bundle", str(null_bundle), *options]) == code
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert message in err


def test_bare_products_for_executorch_have_the_shapes_that_ship(tmp_path: Path) -> None:
    pytest.importorskip("executorch", reason="needs echo-edge[export]")
    from tests import small_echo

    with load(small_echo.make_bundle("executorch", tmp_path / "bundle")) as session:
        bare = roofline.bare_products(session, tmp_path)
    d, c = small_echo.CONFIG.d_model, small_echo.CONFIG.n_layers
    block = d * (3 * d + small_echo.CONFIG.n_heads) + d * d + 2 * d * 4 * d
    assert bare.n_products == 4 * c + 1
    assert bare.multiply_adds == small_echo.CHUNK_STEPS * (c * block + 320 * d)
    outputs = bare.engine.run(bare.inputs)
    bare.engine.close()
    assert all(np.isfinite(value).all() for value in outputs.values())
    assert outputs["y0"].shape == (1, small_echo.CHUNK_STEPS, d)
