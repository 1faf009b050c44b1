"""What one step of training learns from.

Read utterances (words, one voice each), conversations (turns, voices, sources), windows of speech
without words with the latents of a target encoder, and crops of single voices with the frames of a
speaker encoder, where there are such.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Tensors of one training step (U read items of N samples, M conversations of P samples)."""

    pcm: Tensor
    """`[U, N]` read speech."""
    targets: Tensor
    """Characters of all U items, concatenated, int64."""
    target_lengths: Tensor
    """`[U]`."""
    phone_targets: Tensor
    """Phones of all U items, a space between words, concatenated, int64."""
    phone_target_lengths: Tensor
    """`[U]`."""
    phones: Tensor
    """`[U, N / 320]` index of the phone at every CTC frame, int64; -100 where unknown."""
    active: Tensor
    """`[U, N / 640]` in {0, 1}."""
    voices: Tensor
    """`[U]` speaker class, -1 where unknown."""
    mixture: Tensor
    """`[M, P]`: real conversations, if any, come last."""
    sources: Tensor
    """`[up to M, K, P]`, of those that are simulated."""
    mixture_active: Tensor
    """`[M, K, P / 640]` in {0, 1}."""
    mixture_voices: Tensor
    """`[M, K]` speaker class, -1 for an unused slot."""
    latents: Tensor
    """`[U, N / 320, d]` of the read items, float16; d is 0 without a target encoder."""
    latents_valid: Tensor
    """`[U, N / 320]`."""
    voiceprints: Tensor
    """`[U, E]` of the read items' clean voices; zero where unknown."""
    mixture_voiceprints: Tensor
    """`[M, K, E]`."""
    windows: Tensor
    """`[W, L]` speech as heard."""
    windows_latents: Tensor
    """`[W, L / 320, d]` of the same speech, clean; float16."""
    windows_valid: Tensor
    """`[W, L / 320]`."""
    crops: Tensor
    """`[V, R]` of one voice each, as heard."""
    crop_frames: Tensor
    """`[V, R / 640, C]` a speaker encoder's frames of the same speech, clean."""
    crop_voices: Tensor
    """`[V]` speaker class."""
    texts: tuple[str, ...]
    """Of the U read items."""
    chunk_steps: int
    left_steps: int

    def to(self, device: torch.device) -> "Batch":
        """The same batch with its tensors on `device`."""
        moved: Any = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **moved)
