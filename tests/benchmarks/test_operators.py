"""What is outside of the fast path is named and has a time, for every engine."""

import json
from pathlib import Path

import pytest

from benchmarks import operators
from echo_edge.engines import ENGINES


@pytest.mark.parametrize(
    ("engine", "outside"),
    [("onnx", None), ("tflite", ["LOG_SOFTMAX"] * 2), ("executorch", ["aten::_log_softmax"] * 2)],
)
def test_operators_are_named(engine: str, outside: list[str] | None, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs echo-edge[export]")
    pytest.importorskip(ENGINES[engine][1], reason="the engine is not installed")
    from tests import small_echo

    bundle = small_echo.make_bundle(engine, tmp_path / "bundle")
    assert operators.main(["--bundle", str(bundle), "--out", str(tmp_path / "found")]) == 0
    record = json.loads((tmp_path / "found.jsonl").read_text())
    asr = record["graphs"]["asr"]
    if outside is None:
        assert asr["operators_ms"]["MatMulIntegerToFloat"] > 0
    else:
        assert asr["pieces"] == 1
        assert [each["operator"] for each in asr["outside"]] == outside
        assert all(each["ms"] > 0 for each in asr["outside"])
    assert f"| {record['bundle']} | encoder" in (tmp_path / "found.md").read_text()


def test_no_bundle_is_refused_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert operators.main(["--bundle", str(tmp_path / "none")]) == 3
    assert len(capsys.readouterr().err.splitlines()) == 1
