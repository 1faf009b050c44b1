"""Latent prediction (JEPA) with a frozen pretrained target encoder.

The target encoder heard 30 s of clean speech with full context; the student hears them disturbed,
with spans and bands hidden, under a streaming chunk mask, and one linear layer predicts the
target's latents from its final one. A frozen target cannot collapse and needs no anchor (Assran et
al., "Self-supervised learning from images with a joint-embedding predictive architecture", CVPR
2023, with the target of Baevski et al., "data2vec", ICML 2022, replaced by a pretrained one).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SPAN_FRAMES = 20
"""A hidden span lasts 200 ms: longer than most phones."""
MAX_BAND = 11
"""Mel bands that one hidden band covers at most."""


def hide(features: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Features `[B, T, n_mels]` with spans that cover up to `share` of the frames, and one band of
    up to `MAX_BAND` mels per item, set to the mean."""
    n_frames, n_mels = features.shape[1:]
    hidden = torch.zeros(features.shape, dtype=torch.bool)
    for item in hidden:
        starts = torch.randint(
            0, max(1, n_frames - SPAN_FRAMES), (int(n_frames * share / SPAN_FRAMES),),
            generator=generator,
        )  # fmt: skip
        for start in starts.tolist():
            item[start : start + SPAN_FRAMES] = True
        low = int(torch.randint(0, n_mels - MAX_BAND, (), generator=generator))
        width = int(torch.randint(0, MAX_BAND + 1, (), generator=generator))
        item[:, low : low + width] = True
    return features.masked_fill(hidden.to(features.device), 0.0)


class LatentPredictor(nn.Module):
    """Linear prediction of the target encoder's latents, `n_frames` of them in each encoder step;
    training only. They are standardized per dimension by `mean` and `std` `[d_target]`."""

    mean: Tensor
    std: Tensor

    def __init__(self, d_model: int, mean: Tensor, std: Tensor, n_frames: int = 2) -> None:
        super().__init__()
        self.n_frames = n_frames
        self.out = nn.Linear(d_model, n_frames * len(mean))
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())

    def start_as_target(self) -> None:
        """Predict that both frames of a step are its final latent, as a taken-over encoder says
        them. ValueError if the widths differ."""
        if self.out.in_features != len(self.mean):
            raise ValueError(
                f"predictor: found a model of width {self.out.in_features}, expected the target's "
                f"{len(self.mean)}"
            )
        with torch.no_grad():
            self.out.weight.copy_(torch.cat([torch.diag(1.0 / self.std)] * self.n_frames))
            self.out.bias.copy_(torch.cat([-self.mean / self.std] * self.n_frames))

    def predict(self, final: Tensor) -> Tensor:
        """Final latents `[B, S, d]` to standardized target latents `[B, n_frames S, d_target]`."""
        return self.out(final).unflatten(-1, (self.n_frames, -1)).flatten(1, 2)

    def forward(self, final: Tensor, latents: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Final latents `[B, S, d]`, target latents `[B, 2 S, d_target]` in the target's units and
        `valid` `[B, 2 S]` to the loss, mean squared error plus one minus cosine, and the mean
        cosine; both are zero where nothing is valid."""
        predicted = self.predict(final)
        wanted = (latents.to(predicted.dtype) - self.mean) / self.std
        cosine = F.cosine_similarity(predicted, wanted, dim=-1)
        error = (predicted - wanted).square().mean(-1) + 1.0 - cosine
        weights = valid.to(error.dtype)
        n_valid = weights.sum().clamp(min=1.0)
        return (error * weights).sum() / n_valid, (cosine.detach() * weights).sum() / n_valid
