import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from echo_edge.bundle.keys import generate, trusted_keys
from echo_edge.bundle.verify import open_bundle
from echo_edge.cli import main
from echo_edge.engines import ENGINES
from echo_edge.errors import BundleError, EchoError, OutputError, UsageError
from echo_edge.selftest import run_selftest
from echo_edge.session import load
from echo_edge_export.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from echo_edge_export.quantize.calibrate import stream
from echo_edge_export.quantize.recipes import RECIPES
from echo_edge_export.write_bundle import BundlePlan, write_bundle


def plan(out: Path, recipe: str = "static_w8a8") -> BundlePlan:
    return BundlePlan("onnx", RECIPES[recipe], 4, out, score=False)


@pytest.mark.parametrize("recipe", ["float32", "dynamic_w8", "static_w8a8"])
def test_a_written_bundle_verifies_and_runs(
    small_checkpoint: Checkpoint, noise: NDArray[np.float32], recipe: str, tmp_path: Path
) -> None:
    parity = write_bundle(small_checkpoint, plan(tmp_path / "b", recipe), noise).parity
    manifest = open_bundle(tmp_path / "b").manifest

    assert parity.sqnr_db["latents"] >= parity.min_db["latents"]
    assert manifest.recipe == recipe
    assert manifest.parity["latents.sqnr_db"] == pytest.approx(parity.sqnr_db["latents"], abs=0.01)
    with load(tmp_path / "b") as session:
        assert run_selftest(session).passed
        assert session.process(noise).duration_s == pytest.approx(len(noise) / 16_000)


def test_same_checkpoint_same_bundle(
    small_checkpoint: Checkpoint, noise: NDArray[np.float32], tmp_path: Path
) -> None:
    for name in ("first", "second"):
        write_bundle(small_checkpoint, plan(tmp_path / name), noise)
    files = [p.relative_to(tmp_path / "first") for p in (tmp_path / "first").rglob("*.*")]

    assert len(files) > 10
    for file in files:
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_over_budget_writes_nothing_unless_allowed(
    small_checkpoint: Checkpoint,
    noise: NDArray[np.float32],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("echo_edge_export.parity.BUDGET_DB", {"static_w8a8": 140.0})
    with pytest.raises(EchoError, match="parity budget missed, nothing written: latents"):
        write_bundle(small_checkpoint, plan(tmp_path / "b"), noise)
    assert list(tmp_path.iterdir()) == []

    write_bundle(small_checkpoint, replace(plan(tmp_path / "b"), allow_over_budget=True), noise)
    assert open_bundle(tmp_path / "b").manifest.parity["over_budget"] == 1.0


def test_refuses_to_write_over_something(
    small_checkpoint: Checkpoint, noise: NDArray[np.float32], tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match="exists already"):
        write_bundle(small_checkpoint, plan(tmp_path), noise)


def test_an_engine_without_exporter_is_refused(
    small_checkpoint: Checkpoint, noise: NDArray[np.float32], tmp_path: Path
) -> None:
    other = replace(plan(tmp_path / "b"), engine="abacus")
    with pytest.raises(UsageError, match="exports to onnx, tflite, executorch"):
        write_bundle(small_checkpoint, other, noise)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_checkpoint_round_trip(
    small_checkpoint: Checkpoint, dtype: torch.dtype, tmp_path: Path
) -> None:
    path = tmp_path / "echo.safetensors"
    save_checkpoint(path, small_checkpoint.model, 7, small_checkpoint.calibration, dtype)
    again = load_checkpoint(path)

    assert again.step == 7
    assert again.model.config == small_checkpoint.model.config
    assert again.calibration is not None
    for name, tensor in small_checkpoint.model.state_dict().items():
        torch.testing.assert_close(
            again.model.state_dict()[name], tensor, rtol=2e-3, atol=1e-3, check_dtype=False
        )


def test_files_that_are_no_checkpoint(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    good = tmp_path / "good.safetensors"
    save_checkpoint(good, small_checkpoint.model, 1)
    cut, text = tmp_path / "cut.safetensors", tmp_path / "text.safetensors"
    cut.write_bytes(good.read_bytes()[:-100])
    text.write_text(json.dumps({"weights": []}))

    for path in (tmp_path / "missing.safetensors", cut, text):
        with pytest.raises(EchoError, match="not a readable safetensors checkpoint"):
            load_checkpoint(path)
    shutil.copy(good, tmp_path / "other.safetensors")
    data = good.read_bytes().replace(b"echo-edge.checkpoint/1", b"some-other.checkpoint/")
    (tmp_path / "other.safetensors").write_bytes(data)
    with pytest.raises(EchoError, match="expected an Echo checkpoint"):
        load_checkpoint(tmp_path / "other.safetensors")


def test_a_bundle_can_be_signed_as_it_is_made(
    small_checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "echo.safetensors", tmp_path / "bundle"
    save_checkpoint(path, small_checkpoint.model, 7, small_checkpoint.calibration)
    generate(tmp_path / "our", None)
    options = ["--recipe", "float32", "--out", str(out), "--allow-over-budget"]

    assert main(["export", str(path), *options, "--sign", str(tmp_path / "our.key")]) == 0
    assert open_bundle(out, trusted_keys(tmp_path)).signer == "our.pub"
    assert main(["export", str(path), *options, "--sign", str(tmp_path / "no.key")]) == 1
    assert "no.key: cannot be read" in capsys.readouterr().err


def test_the_language_model_travels_in_the_bundle(
    small_checkpoint: Checkpoint, noise: NDArray[np.float32], tmp_path: Path
) -> None:
    english = Path(__file__).parents[2] / "models" / "english.npz"
    write_bundle(small_checkpoint, replace(plan(tmp_path / "b"), language_model=english), noise)
    wrong = replace(plan(tmp_path / "c"), language_model=Path(__file__))

    bundle = open_bundle(tmp_path / "b")
    assert bundle.language is not None
    assert bundle.manifest.asr.language_model in bundle.manifest.files
    with pytest.raises(BundleError, match="not a language model"):
        write_bundle(small_checkpoint, wrong, noise)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("engine", ["onnx", "tflite", "executorch"])
def test_chunks_of_another_length_from_the_command_line(
    engine: str, small_checkpoint: Checkpoint, noise: NDArray[np.float32], tmp_path: Path
) -> None:
    pytest.importorskip(ENGINES[engine][1], reason="the engine is not installed")
    path, out = tmp_path / "echo.safetensors", tmp_path / "bundle"
    save_checkpoint(path, small_checkpoint.model, 7, small_checkpoint.calibration)
    options = ["--engine", engine, "--chunk-steps", "7", "--recipe", "float32", "--out", str(out)]

    assert main(["export", str(path), *options]) == 0
    manifest = open_bundle(out).manifest
    assert (manifest.streaming.chunk_steps, manifest.audio.chunk_samples) == (7, 7 * 640)
    expected = stream(small_checkpoint.model, noise[: 7 * 640 * 4], 7)["latents"][0].numpy()
    with load(out) as session:
        frontend, encoder = session.graph("frontend"), session.graph("encoder")
        features = [
            frontend.run(pcm=noise[None, i : i + 7 * 640])["features"]
            for i in range(0, 7 * 640 * 4, 7 * 640)
        ]
        found = np.concatenate([encoder.run(features=each)["latents"][0] for each in features])
    np.testing.assert_allclose(found, expected, atol=2e-3)
