"""Gradients of the heads into the encoder: fading in, and their norms."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from echo_edge_export.model.echo import Encoder, Latents


@dataclass(frozen=True)
class FadeIn:
    """Heads that are new only read the encoder for `read_only` steps; within `fade` more, their
    gradient comes in full. At once it would drown the latents' (norm 4 to 12 beside 0.5)."""

    read_only: int = 0
    fade: int = 0

    def share(self, step: int) -> float:
        """Share of the heads' gradient that reaches the encoder, 0 to 1."""
        if self.fade == 0:
            return float(step >= self.read_only)
        return min(1.0, max(0.0, (step - self.read_only) / self.fade))


def fade(encoder: Encoder, layers: list[Tensor], share: float) -> Latents:
    """Latents of the `n_layers + 1` outputs; the heads' mixes learn in full, the layers below get
    that share of the heads' gradient. The final latent, which the predictor reads, keeps all."""
    if share == 1.0:
        return encoder.mixes(layers)
    faded = encoder.mixes([x.detach().lerp(x, share) for x in layers])
    return replace(faded, final=encoder.norm(layers[-1]))


def gradient_norms(losses: Mapping[str, Tensor], block: nn.Module) -> dict[str, float]:
    """Norm of each loss's gradient on the parameters of `block`, as `norm_NAME`."""
    parameters = list(block.parameters())
    norms = {}
    for name, loss in losses.items():
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        squares = [g.square().sum() for g in gradients if g is not None]
        norms[f"norm_{name}"] = float(torch.stack(squares).sum().sqrt()) if squares else 0.0
    return norms
