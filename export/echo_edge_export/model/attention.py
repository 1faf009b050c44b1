"""The one attention of the encoder and of the heads, in plain products that every engine takes."""

import torch
from torch import Tensor

MASKED = -1e4
"""Added to the score of a key that may not be seen; finite, so that int8 ranges stay finite."""


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Attention on `[..., steps, width]` with an added score bias; plain products, no fused op."""
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    return torch.softmax(scores + bias, dim=-1) @ value
