"""What the objectives do on their own: hidden spans, fading, take-over, stored starts."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from echo_edge_export.checkpoint import FORMAT
from echo_edge_export.model.attention import MASKED
from echo_edge_export.model.config import EchoConfig
from echo_edge_export.model.echo import Echo
from tests.training.fake_teacher import FakeTeacher
from tests.training.test_joint import SMALL
from training.objectives.latents import MAX_BAND, LatentPredictor, hide
from training.stages.loop import Average
from training.stages.starting import read_start
from training.stages.takeover import OPEN_GATE, take_over
from training.stages.teaching import FadeIn, fade, gradient_norms


def test_hidden_spans_and_one_band() -> None:
    features = torch.randn(3, 2000, 80)

    hidden = hide(features, 0.3, torch.Generator().manual_seed(0))

    gone = hidden == 0.0
    torch.testing.assert_close(hidden[~gone], features[~gone])
    for item in gone:
        frames, bands = item.all(1), item.all(0)
        assert 0.15 < frames.float().mean() <= 0.3  # spans overlap
        assert bands.sum() <= MAX_BAND
        assert torch.equal(item, frames[:, None] | bands[None])
    assert torch.equal(hidden, hide(features, 0.3, torch.Generator().manual_seed(0)))
    short = hide(features[:, :8], 0.3, torch.Generator().manual_seed(0))
    assert short.shape == (3, 8, 80)


def test_a_perfect_prediction_costs_nothing_and_padding_does_not_count() -> None:
    mean, std = torch.randn(6), torch.rand(6) + 0.5
    predictor = LatentPredictor(6, mean, std)
    predictor.start_as_target()
    final = torch.randn(2, 5, 6)
    latents, valid = final.repeat_interleave(2, 1), torch.ones(2, 10, dtype=torch.bool)

    loss, cosine = predictor(final, latents, valid)

    torch.testing.assert_close(
        torch.stack([loss, cosine]), torch.tensor([0.0, 1.0]), atol=1e-5, rtol=0
    )
    wrong = latents.clone()
    wrong[:, 6:] += 3.0
    assert predictor(final, wrong, valid)[0] > 0.1
    valid[:, 6:] = False
    assert predictor(final, wrong, valid)[0] < 1e-5
    assert predictor(final, wrong, valid & False)[0] == 0.0
    with pytest.raises(ValueError, match="found a model of width 8, expected the target's 6"):
        LatentPredictor(8, mean, std).start_as_target()


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0.0), (0.25, 0.25), (1.0, 1.0)])
def test_heads_teach_as_much_as_they_may(share: float, expected: float) -> None:
    torch.manual_seed(0)
    encoder = Echo(SMALL).encoder
    layers = encoder.layers(torch.randn(1, 80, 80), 12)
    latents = encoder.mixes(layers)

    faded = fade(encoder, layers, share)

    torch.testing.assert_close(faded.asr, latents.asr)
    block = encoder.blocks[-1]
    norms = gradient_norms(
        {"words": faded.asr.square().sum(), "all": latents.asr.square().sum()}, block
    )
    assert norms["norm_words"] == pytest.approx(expected * norms["norm_all"], rel=1e-4)
    assert gradient_norms({"latents": faded.final.sum()}, block)["norm_latents"] > 0
    (learned,) = torch.autograd.grad(faded.asr.square().sum(), [encoder.mix])
    assert learned.abs().sum() > 0


def test_the_share_grows_after_reading_only() -> None:
    fading = FadeIn(10, 20)

    assert [fading.share(step) for step in (0, 10, 20, 30, 99)] == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert FadeIn().share(0) == 1.0


@torch.no_grad()
def test_taken_over_layers_say_what_the_teachers_say() -> None:
    """Gates all open, no null key, no bias by distance and the teacher's MLP a ReLU: then the
    blocks are the teacher's layers to 1e-4."""
    config = EchoConfig(d_model=64, n_layers=5, n_heads=4, d_mlp=128)
    model, teacher = Echo(config), FakeTeacher(config, 3)
    limit = config.max_distance

    take_over(model.encoder, teacher, teacher.mean_scores([], limit))

    torch.testing.assert_close(model.encoder.relative_bias[1:4, :, limit], torch.zeros(3, 4))
    assert torch.all(model.encoder.blocks[1].qkv_gate.bias[-4:] == OPEN_GATE)
    x = torch.randn(2, 30, 64)
    bias = torch.zeros(1, 4, 30, 31)
    bias[..., 0] = MASKED
    said = x
    for block, expected in zip(list(model.encoder.blocks)[1:4], teacher.outputs(x), strict=True):
        block.qkv_gate.bias[-4:] = 30.0
        said = block(said, bias)
        torch.testing.assert_close(said, expected, rtol=1e-4, atol=1e-4)
    last = model.encoder.blocks[4](said, bias)
    assert (last - said).norm() < 0.05 * said.norm()
    torch.testing.assert_close(model.encoder.norm.weight, teacher.norm[0])


def test_a_start_of_int8_rows_is_read(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Echo(SMALL)
    tensors: dict[str, torch.Tensor] = {}
    for name, value in model.state_dict().items():
        if value.ndim >= 2:
            scale = value.flatten(1).abs().amax(1).clamp(min=1e-9) / 127
            rows = value / scale.view(-1, *[1] * (value.ndim - 1))
            tensors[name], tensors[f"{name}.scale"] = rows.round().to(torch.int8), scale
        else:
            tensors[name] = value.reshape(-1)
    tensors |= {"predictor.weight": torch.ones(16, 64), "predictor.bias": torch.zeros(16)}
    tensors |= {
        "latent.mean": torch.zeros(8),
        "latent.std": torch.ones(8),
        "second.x": torch.ones(1),
    }
    metadata = {"format": FORMAT, "config": json.dumps(SMALL.to_dict()), "step": "0"}
    save_file(tensors, tmp_path / "start.safetensors", metadata)

    start = read_start(tmp_path / "start.safetensors")

    for name, value in model.state_dict().items():
        found = start.model.state_dict()[name].float()
        limit = float(value.abs().max()) / 127 * 0.51
        torch.testing.assert_close(found, value.float(), rtol=0, atol=limit + 1e-9)
    assert start.predictor is not None
    assert start.predictor.out.weight.shape == (16, 64)


def test_what_is_no_checkpoint_cannot_be_a_start(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "other.safetensors")

    with pytest.raises(ValueError, match="found None, expected echo-edge"):
        read_start(tmp_path / "other.safetensors")


def test_the_average_lags_and_resumes() -> None:
    torch.manual_seed(0)
    linear = torch.nn.Linear(2, 2)
    average = Average({"model": linear}, decay=0.9)
    with torch.no_grad():
        linear.weight.fill_(1.0)
        for _ in range(200):
            average.follow({"model": linear})
        torch.testing.assert_close(
            average.modules["model"].weight, linear.weight, rtol=0, atol=1e-5
        )
        linear.weight.fill_(2.0)
        average.follow({"model": linear})
    torch.testing.assert_close(
        average.modules["model"].weight, torch.full((2, 2), 1.1), rtol=0, atol=1e-4
    )
    other = Average({"model": torch.nn.Linear(2, 2)}, decay=0.9)
    other.load_state_dict(average.state_dict())
    assert other.n_steps == 201
    torch.testing.assert_close(other.modules["model"].weight, average.modules["model"].weight)


START = Path(__file__).parents[3].parent / "shared" / "start" / "start.safetensors"


@pytest.mark.shared_data
@pytest.mark.skipif(not START.exists(), reason="needs ../shared/start")
@torch.no_grad()
def test_the_shared_start_is_read() -> None:
    start = read_start(START)

    assert start.predictor is not None
    assert start.predictor.out.weight.shape == (1024, 512)
    noise = 0.1 * torch.randn(1, 5 * 16_000, generator=torch.Generator().manual_seed(0))
    model = start.model.eval()
    final = model.encoder(model.frontend.whole(noise)[0], 12).final
    assert 0.3 < float(start.predictor.predict(final).std()) < 3.0
