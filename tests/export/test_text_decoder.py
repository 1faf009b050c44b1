"""The text decoder: one token after the other gives what all at once give."""

import pytest
import torch

from echo_edge_export.model.text_decoder import TextDecoder, TextDecoderConfig

SMALL = TextDecoderConfig(
    n_tokens=30, n_layers=2, n_heads=2, d_model=16, d_mlp=32, max_tokens=20, max_steps=40
)


@pytest.fixture
def decoder() -> TextDecoder:
    torch.manual_seed(0)
    made = TextDecoder(SMALL).eval()
    torch.nn.init.normal_(made.positions)
    torch.nn.init.normal_(made.order)
    return made


@torch.no_grad()
def test_token_by_token_as_all_at_once(decoder: TextDecoder) -> None:
    memory = decoder.remember(torch.randn(3, 12, 16))
    valid = torch.ones(3, 12, dtype=torch.bool)
    tokens = torch.randint(0, 30, (3, 9))

    whole, _ = decoder(tokens, memory, valid)

    parts, past = [], None
    for piece in (tokens[:, :4], *tokens[:, 4:].split(1, dim=1)):
        logits, past = decoder(piece, memory, valid, past)
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_steps_behind_a_turn_are_not_seen(decoder: TextDecoder) -> None:
    final, other = torch.randn(1, 12, 16), torch.randn(1, 5, 16)
    tokens = torch.randint(0, 30, (1, 6))
    longer = torch.cat([final, other], 1)
    valid = torch.arange(17)[None] < 12

    alone, _ = decoder(tokens, decoder.remember(final), valid[:, :12])
    behind, _ = decoder(tokens, decoder.remember(longer), valid)

    torch.testing.assert_close(behind, alone, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_later_tokens_are_not_seen(decoder: TextDecoder) -> None:
    memory = decoder.remember(torch.randn(1, 12, 16))
    valid = torch.ones(1, 12, dtype=torch.bool)
    tokens = torch.randint(0, 30, (1, 8))
    changed = tokens.clone()
    changed[:, 5:] = (tokens[:, 5:] + 1) % 30

    logits, others = (decoder(t, memory, valid)[0] for t in (tokens, changed))

    torch.testing.assert_close(others[:, :5], logits[:, :5])
    assert not torch.allclose(others[:, 5:], logits[:, 5:])
