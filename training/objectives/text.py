"""What the second pass of words learns: the text of a turn, token by token, from its latents.

The cross-attention, its norm and its positions learn, and the bridge to Echo's latents; the
teacher's other layers and its embedding stay as they are, so that its knowledge of language stays.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echo_edge_export.model.text_decoder import TextDecoder, TextDecoderLayer
from training.teachers.whisper_text import Tokens

SMOOTHING = 0.1
"""Of the labels: the loss of a token that is sure stays finite."""


def learn_cross_attention(decoder: TextDecoder) -> None:
    """Only what reads the latents gets a gradient."""
    decoder.requires_grad_(False)
    reading: list[nn.Module] = [decoder.bridge]
    for layer in decoder.layers:
        assert isinstance(layer, TextDecoderLayer)  # noqa: S101
        reading += [layer.norm2, layer.query, layer.memory, layer.cross_proj]
    for part in reading:
        part.requires_grad_(True)
    decoder.positions.requires_grad_(True)


def text_loss(
    decoder: TextDecoder, tokens: Tokens, final: Tensor, valid: Tensor, texts: Sequence[str]
) -> Tensor:
    """Mean cross-entropy of the texts' tokens and their end, given final latents `[B, S, d]` of
    which those in `valid` `[B, S]` are speech or near it. Texts that are empty do not count."""
    rows = [[*tokens.prompt, *tokens.encode(text), tokens.end] for text in texts]
    longest = min(max(map(len, rows)), decoder.config.max_tokens + 1)
    padded = [(row + [tokens.end] * longest)[:longest] for row in rows]
    given = torch.tensor(padded, device=final.device)
    lengths = torch.tensor([len(row) if text else 0 for row, text in zip(rows, texts, strict=True)])
    counted = torch.arange(1, longest)[None] < lengths[:, None]
    counted[:, : len(tokens.prompt) - 1] = False
    logits, _ = decoder(given[:, :-1], decoder.remember(final), valid)
    if not counted.any():
        return logits.sum() * 0.0
    return F.cross_entropy(
        logits[counted].float(), given[:, 1:][counted], label_smoothing=SMOOTHING
    )
