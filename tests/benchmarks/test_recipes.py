"""Recipes side by side: exported where they are missing, held against float, written down."""

import argparse
import json
from pathlib import Path

import pytest

from benchmarks import recipes

pytest.importorskip("torch", reason="needs echo-edge[export]")
pytest.importorskip("onnxruntime", reason="the engine is not installed")


def save(path: Path) -> None:
    from echo_edge_export.checkpoint import save_checkpoint
    from tests import small_echo

    made = small_echo.make_checkpoint(small_echo.make_model())
    save_checkpoint(path, made.model, made.step, made.calibration)


@pytest.mark.slow
def test_a_table_is_made_of_what_is_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, work, out = tmp_path / "a.safetensors", tmp_path / "work", tmp_path / "new/recipes"
    save(checkpoint)
    command = ["--checkpoint", str(checkpoint), "--engine", "onnx", "--chunk-steps", "4"]
    command += ["--recipe", "float32", "static_w8a8", "--rounds", "1", "--work", str(work)]

    assert recipes.main([*command, "--out", str(out)]) == 0

    floating, int8 = map(json.loads, out.with_suffix(".jsonl").read_text().splitlines())
    assert (floating["recipe"], int8["recipe"]) == ("float32", "static_w8a8")
    assert floating["latents_db"]["labelled"] > 60 > int8["latents_db"]["labelled"] > 15
    assert floating["from_float"] == {"der": 0.0, "wer": 0.0, "relabelled": 0}
    assert int8["accuracy"]["true_speakers"] == 3
    assert int8["encoder_ms_per_s"] == pytest.approx(int8["encoder_ms"]["min"] / 0.16, abs=0.01)
    table = out.with_suffix(".md").read_text()
    assert capsys.readouterr().out.strip() in table
    assert len([line for line in table.splitlines() if line.startswith("| onnx ")]) == 2

    save_other(checkpoint)
    assert recipes.main([*command, "--out", str(out)]) == 2
    assert "bundle of another checkpoint" in capsys.readouterr().err.splitlines()[-1]


def save_other(path: Path) -> None:
    from echo_edge_export.checkpoint import save_checkpoint
    from tests import small_echo

    save_checkpoint(path, small_echo.make_model(), 8)


def test_seven_bits_are_for_onnx_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(recipes, "export", lambda _checkpoint, options: made.append(options[5]))
    args = argparse.Namespace(
        checkpoint=tmp_path, language_model=None, chunk_steps=[4, 12],
        engine=["onnx", "tflite"], recipe=["static_w7a8", "default"],
    )  # fmt: skip

    found = recipes.exported(args, tmp_path)

    assert [path.name for path in found] == [
        "onnx-static_w7a8-160ms", "onnx-default-160ms", "tflite-default-160ms",
        "onnx-static_w7a8-480ms", "onnx-default-480ms", "tflite-default-480ms",
    ]  # fmt: skip
    assert made == [str(path) for path in found]


def test_no_checkpoint_is_refused_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recipes.main(["--checkpoint", str(tmp_path / "none")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
