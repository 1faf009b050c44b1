"""The vector-quantized bottleneck of the paper's transcription path, to measure what it costs.

Echo as published reads words from one codebook; what ships reads the continuous latents.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DECAY = 0.99
RARE = 0.01
"""A code used less than this share of its fair part is replaced by a latent of the batch."""


class VectorQuantizer(nn.Module):
    """One codebook learned by moving averages, straight-through gradient (van den Oord et al.,
    NeurIPS 2017, with the averages of its appendix)."""

    codes: Tensor
    counts: Tensor

    def __init__(self, n_codes: int, d: int) -> None:
        super().__init__()
        self.register_buffer("codes", torch.randn(n_codes, d))
        self.register_buffer("counts", torch.ones(n_codes))

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Latents `[B, S, d]` to their nearest codes, and the loss that keeps them near."""
        x = F.layer_norm(latents, latents.shape[-1:])
        flat = x.detach().flatten(0, 1)
        distance = self.codes.square().sum(1) - 2.0 * flat @ self.codes.T
        index = distance.argmin(1)
        if self.training:
            self._learn(flat, index)
        chosen = self.codes[index].view_as(x)
        return x + (chosen - x).detach(), F.mse_loss(x, chosen)

    @torch.no_grad()
    def _learn(self, flat: Tensor, index: Tensor) -> None:
        used = torch.zeros_like(self.counts).index_add_(0, index, flat.new_ones(len(index)))
        sums = torch.zeros_like(self.codes).index_add_(0, index, flat)
        total = DECAY * self.counts + (1.0 - DECAY) * used
        moved = DECAY * self.counts[:, None] * self.codes + (1.0 - DECAY) * sums
        self.codes.copy_(moved / total[:, None].clamp(min=1e-6))
        self.counts.copy_(total)
        rare = self.counts < RARE * self.counts.mean()
        if rare.any():
            drawn = torch.randint(len(flat), (int(rare.sum()),))
            self.codes[rare] = flat[drawn]
            self.counts[rare] = self.counts.mean()
