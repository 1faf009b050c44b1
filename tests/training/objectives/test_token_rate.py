"""Tokens of another length: steps stay, the past is seen as far, nothing of the future."""

import pytest
import torch

from echo_edge_export.model.config import EchoConfig
from echo_edge_export.model.echo import Encoder
from training.objectives.token_rate import RatedEncoder

CONFIG = EchoConfig(d_model=16, d_mlp=32, n_heads=8, n_layers=2)
FEATURES = torch.randn(1, 4 * 9, CONFIG.n_mels, generator=torch.Generator().manual_seed(3))


def test_tokens_of_a_step_are_the_encoder_itself() -> None:
    plain = Encoder(CONFIG)
    rated = RatedEncoder(CONFIG, CONFIG.patch_frames)
    rated.load_state_dict(plain.state_dict(), strict=False)
    torch.testing.assert_close(rated(FEATURES, 4, 8).asr, plain(FEATURES, 4, 8).asr)


@pytest.mark.parametrize("token_frames", [1, 2, 8, 16])
def test_latents_are_per_step_and_chunks_hide_the_future(token_frames: int) -> None:
    rated = RatedEncoder(CONFIG, token_frames)
    changed = FEATURES.clone()
    changed[:, 4 * 8 :] += 1.0
    before, after = rated(FEATURES, 4, 8).asr, rated(changed, 4, 8).asr
    assert before.shape == (1, 9, CONFIG.d_model)
    torch.testing.assert_close(before[:, :8], after[:, :8])
    assert not torch.allclose(before[:, 8:], after[:, 8:])


def test_a_token_that_fits_no_step_is_refused() -> None:
    with pytest.raises(ValueError, match="token_frames: found 3"):
        RatedEncoder(CONFIG, 3)
