"""Anchored JEPA: what a slow copy of the encoder says of hidden speech, predicted from the rest.

The student sees read speech with stretches hidden; the teacher, an average of the student's past,
sees all of it. Alone such a loss collapses on speech; the frame-wise phones of a GMM-HMM, asked for
in the hidden stretches as well, are its anchor (arXiv 2602.09040; MODEL card, "training").
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echo_edge_export.model import Encoder

HIDDEN_SHARE = 0.2
SPAN_STEPS = 8
"""A hidden stretch lasts 0.32 s: longer than a phone, shorter than most words."""

TEACHER_DECAY = 0.998


class Jepa(nn.Module):
    """The teacher and the predictor; training only."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        d = encoder.config.d_model
        self.patch_frames = encoder.config.patch_frames
        self.teacher = copy.deepcopy(encoder).requires_grad_(False)
        self.predictor = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, d), nn.ReLU(), nn.Linear(d, d))

    def hide(self, features: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Features `[B, T, n_mels]` with stretches set to the mean, and which steps are hidden,
        bool `[B, S]`."""
        n_steps = features.shape[1] // self.patch_frames
        starts = torch.rand(features.shape[0], n_steps, generator=generator).to(features.device)
        first = (starts < HIDDEN_SHARE / SPAN_STEPS).float()
        spread = F.max_pool1d(F.pad(first, (SPAN_STEPS - 1, 0)), SPAN_STEPS, 1) > 0
        frames = spread.repeat_interleave(self.patch_frames, dim=1)
        return features.masked_fill(frames[..., None], 0.0), spread

    @torch.no_grad()
    def targets(self, features: Tensor, chunk_steps: int, left_steps: int) -> Tensor:
        """Mean of the teacher's upper layers, each normalized, `[B, S, d]` (Baevski et al.,
        "data2vec", ICML 2022)."""
        layers = self.teacher.layers(features, chunk_steps, left_steps)
        upper = layers[len(layers) // 2 :]
        return torch.stack([F.layer_norm(x, x.shape[-1:]) for x in upper]).mean(0)

    def forward(self, top: Tensor, targets: Tensor, hidden: Tensor) -> Tensor:
        """Mean squared error of what is predicted from the student's last layer `[B, S, d]`."""
        if not hidden.any():
            return top.sum() * 0.0
        return F.mse_loss(self.predictor(top[hidden]), targets[hidden])

    @torch.no_grad()
    def follow(self, encoder: Encoder) -> None:
        """Move the teacher a little towards the student."""
        for slow, fast in zip(self.teacher.parameters(), encoder.parameters(), strict=True):
            slow.lerp_(fast, 1.0 - TEACHER_DECAY)
