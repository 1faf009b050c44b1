"""Training end to end on a corpus made here: it learns, stops, resumes and can be varied."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echo_edge_export.checkpoint import load_checkpoint
from echo_edge_export.model.config import EchoConfig
from echo_edge_export.model.echo import Echo
from echo_edge_export.quantize.calibrate import calibrate
from echo_edge_export.quantize.weights import quantize_weight
from tests.training.simulation.test_pipeline import aligned, write_split
from training import joint
from training.corpora.data import load_splits
from training.objectives.qat import fake_quantize
from training.objectives.vq import VectorQuantizer
from training.stages import command, stage

SMALL = EchoConfig(d_model=64, n_layers=2, n_heads=8, d_mlp=128, d_slot=32, d_mask=32)
Figures = dict[str, float]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_split(root / "train", [f"s{i}" for i in range(6)], 0)
    write_split(root / "dev", [f"d{i}" for i in range(3)], 1)
    return root


@pytest.fixture
def trained(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `training.joint` with a small model and these options; the figures of every step."""
    corpus, _ = load_splits(data, tmp_path / "cache")
    monkeypatch.setattr(joint, "EchoConfig", lambda **_: SMALL)
    monkeypatch.setattr(command, "default_rooms", lambda _: None)
    monkeypatch.setattr(command, "load_alignment", lambda _: aligned(corpus))
    monkeypatch.setattr(command, "quick_figures", lambda *_: {"look": 0.0})
    monkeypatch.setattr(joint, "set_statistics", lambda model, _: model.frontend.std.fill_(5))

    def run(*options: str, stop: int | None = None) -> list[Figures]:
        seen: list[Figures] = []
        losses = stage.step_losses

        def spy(*arguments: Any) -> tuple[dict[str, Tensor], Figures]:
            if len(seen) == stop:
                raise KeyboardInterrupt
            each, figures = losses(*arguments)
            seen.append(figures)
            return each, figures

        monkeypatch.setattr(stage, "step_losses", spy)
        fixed = ["--data", str(data), "--cache", str(tmp_path / "cache"), "--save-every", "2"]
        sizes = ["--read-items", "2", "--conversations", "2", "--peak", "3e-3"]
        try:
            joint.main([*fixed, *sizes, *options])
        except KeyboardInterrupt:
            assert stop is not None
        finally:
            monkeypatch.setattr(stage, "step_losses", losses)
        return seen

    return run


@pytest.mark.slow
def test_losses_fall_and_beat_chance(trained: Any, tmp_path: Path) -> None:
    seen = trained("--out", str(tmp_path / "run"), "--steps", "150", "--conversations", "3")
    first, last = seen[:5], seen[-20:]

    def mean(rows: list[Figures], name: str) -> float:
        return sum(row[name] for row in rows) / len(rows)

    assert mean(last, "phones") < 0.4 * mean(first, "phones")
    assert mean(last, "phones_right") > 85.0  # half of all frames are silence
    assert mean(last, "ctc") < 0.8 * mean(first, "ctc")
    assert mean(last, "aam") < mean(first, "aam")
    assert mean(last, "presence") < 0.85 * mean(first, "presence")
    assert mean(last, "diar") < 0.6 * mean(first, "diar")


def test_a_stopped_run_goes_on_as_if_it_had_not(trained: Any, tmp_path: Path) -> None:
    whole = trained("--out", str(tmp_path / "whole"), "--steps", "6")
    before = trained("--out", str(tmp_path / "parts"), "--steps", "6", stop=4)
    after = trained("--out", str(tmp_path / "parts"), "--steps", "6")

    assert len(before) == 4
    assert len(after) == 2
    for row, same in zip([*before, *after], whole, strict=True):
        assert row == pytest.approx(same, rel=1e-3)
    one, other = (load_checkpoint(tmp_path / n / "model.safetensors") for n in ("whole", "parts"))
    for name, value in one.model.state_dict().items():
        torch.testing.assert_close(other.model.state_dict()[name], value, rtol=1e-3, atol=1e-4)


def test_training_goes_on_from_a_checkpoint(trained: Any, tmp_path: Path) -> None:
    trained("--out", str(tmp_path / "first"), "--steps", "2")
    checkpoint = str(tmp_path / "first" / "model.safetensors")
    trained("--out", str(tmp_path / "second"), "--steps", "1", "--start", checkpoint)

    old, new = (load_checkpoint(tmp_path / n / "model.safetensors") for n in ("first", "second"))
    moved = (new.model.encoder.patch.weight - old.model.encoder.patch.weight).abs().max()
    assert 0 < moved < 0.01


@pytest.mark.parametrize(
    ("options", "figure"),
    [
        (["--vq", "16"], "vq"),
        (["--qat", "0.5"], "ctc"),
        (["--token-frames", "8"], "ctc"),
        ([], "ctc"),
    ],
)
def test_every_variant_trains(
    options: list[str], figure: str, trained: Any, tmp_path: Path
) -> None:
    seen = trained("--out", str(tmp_path / "run"), "--steps", "4", *options)

    assert all(torch.isfinite(torch.tensor(row[figure])) for row in seen)
    assert (tmp_path / "run" / "log.csv").exists() or len(seen) < 20


def test_codes_settle_on_clusters_and_gradients_pass() -> None:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(8, 16)
    centres = torch.randn(4, 16) * 3
    first = last = 0.0
    for step in range(300):
        drawn = centres[torch.randint(4, (2, 50))] + 0.1 * torch.randn(2, 50, 16)
        latents = drawn.requires_grad_()
        codes, near = quantizer(latents)
        first, last = (near.item() if step == 0 else first), near.item()

    assert last < 0.1 * first
    codes.sum().backward(retain_graph=True)
    normal = F.layer_norm(latents.detach().requires_grad_(), (16,))
    assert codes.shape == normal.shape
    assert latents.grad is not None
    quantizer.eval()
    kept = quantizer.codes.clone()
    quantizer(drawn.detach())
    torch.testing.assert_close(quantizer.codes, kept)


def test_fake_rounding_is_what_the_engine_does() -> None:
    torch.manual_seed(0)
    model = Echo(SMALL)
    linear = model.encoder.blocks[0].fc1
    x = torch.rand(1, 7, 64)
    x[0, 0, :2] = torch.tensor([0.0, 1.0])
    integers, scale = quantize_weight(linear.weight.detach().numpy(), 8)

    count = fake_quantize(model)
    found = linear(x)

    weight = torch.from_numpy(integers * scale[:, None])
    rounded = (x * 255).round() / 255
    torch.testing.assert_close(found, F.linear(rounded, weight, linear.bias), rtol=1e-4, atol=1e-4)
    found.sum().backward()
    assert linear.weight.grad is not None
    _, calibration = calibrate(Echo(SMALL), [torch.randn(16000 * 11).numpy() * 0.1], 12)
    floats = sum(isinstance(m, nn.Linear) for m in model.modules()) - count
    assert count + floats >= len(calibration.ranges) > count / 2
