import pytest
import torch

from echo_edge_export.model.config import EchoConfig
from echo_edge_export.model.echo import Echo
from training.objectives.grow import grow

SMALL = EchoConfig(d_model=64, n_layers=2, d_mlp=128)


def test_a_grown_model_starts_near_the_shallow_one() -> None:
    torch.manual_seed(0)
    shallow = Echo(SMALL)
    features = torch.randn(1, 96, SMALL.n_mels)

    deep = grow(shallow, 4)
    before, after = shallow.encoder(features, 12).final, deep.encoder(features, 12).final
    fresh = Echo(EchoConfig(d_model=64, n_layers=4, d_mlp=128)).encoder(features, 12).final

    assert deep.config.n_layers == 4
    assert (after - before).square().mean() < 0.1 * (fresh - before).square().mean()


def test_grown_heads_are_the_shallow_ones() -> None:
    shallow = Echo(SMALL)

    deep = grow(shallow, 6)

    for name, value in shallow.asr.state_dict().items():
        torch.testing.assert_close(deep.asr.state_dict()[name], value)
    torch.testing.assert_close(
        deep.encoder.blocks[5].fc1.weight, shallow.encoder.blocks[1].fc1.weight
    )


def test_depth_must_be_a_multiple() -> None:
    with pytest.raises(ValueError, match="not a multiple"):
        grow(Echo(SMALL), 5)
