"""What voices ask of a batch: ArcFace, and what a pretrained speaker encoder says."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from echo_edge_export.model.echo import Echo, Latents
from echo_edge_export.model.heads import SpeakerHead
from training.objectives.losses import ArcFace
from training.simulation.batch import Batch

CLEAR_STEPS = 12
"""A voice that is alone for less than half a second in a conversation stays unknown."""


class SpeakerTeacher(nn.Module):
    """The end of a pretrained speaker encoder: frames `[B, S, C]` to embeddings `[B, E]`, the one
    fixed, the other what the student learns to say."""

    weight: Tensor
    bias: Tensor
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        pooling: tuple[NDArray[np.float32], NDArray[np.float32]],
        mean: NDArray[np.float32],
        std: NDArray[np.float32],
    ) -> None:
        super().__init__()
        rows = {"weight": pooling[0], "bias": pooling[1], "mean": mean, "std": std}
        for name, row in rows.items():
            self.register_buffer(name, torch.from_numpy(np.array(row, np.float32)))

    def embed(self, frames: Tensor) -> Tensor:
        """Unit embeddings of whole crops."""
        deviation = (frames.var(1, unbiased=False) + 1e-5).sqrt()
        return F.normalize(torch.cat([frames.mean(1), deviation], 1) @ self.weight.T + self.bias)

    @torch.no_grad()
    def hand_over(self, head: SpeakerHead) -> None:
        """The student pools as the teacher does, every step alike, and ends in its last layer; its
        frames begin at the teacher's mean. ValueError if the widths differ."""
        if head.out.weight.shape != self.weight.shape:
            raise ValueError(
                f"speaker head: found pooling {tuple(head.out.weight.shape)}, expected the "
                f"teacher's {tuple(self.weight.shape)}"
            )
        head.frame.weight.normal_(0.0, 0.02)
        head.frame.bias.copy_(self.mean)
        head.score.weight.zero_()
        head.score.bias.zero_()
        norm = head.batch_norm
        assert norm.running_mean is not None and norm.running_var is not None  # noqa: S101, PT018
        norm.running_mean.zero_()
        norm.running_var.fill_(1.0 - norm.eps)
        norm.weight.fill_(1.0)
        norm.bias.zero_()
        head.out.weight.copy_(self.weight)
        head.out.bias.copy_(self.bias)


def excerpt(active: Tensor, generator: torch.Generator) -> Tensor:
    """Keep one random stretch of 1 to 5 s of each row `[B, S]`: short turns must identify too."""
    kept = torch.zeros_like(active)
    for row, source in zip(kept, active, strict=True):
        spoken = torch.nonzero(source)[:, 0]
        if len(spoken) == 0:
            continue
        length = int(torch.randint(25, 126, (), generator=generator))
        first = int(torch.randint(0, max(1, len(spoken) - length + 1), (), generator=generator))
        chosen = spoken[first : first + length]
        row[chosen] = source[chosen]
    return kept


def voice_loss(
    model: Echo,
    arcface: ArcFace,
    batch: Batch,
    read: Latents,
    mixed: Latents | None,
    margin: float,
    generator: torch.Generator,
    taught: bool = False,
) -> tuple[Tensor, Tensor]:
    """ArcFace, and one minus the cosine to what a pretrained speaker encoder says of the clean
    voice, over two excerpts of every read item and every voice of the conversations where it speaks
    alone; voices with less than 12 clean steps, or of whom nothing is known, are left out.
    A head that is `taught` pools as its teacher does and keeps that one's statistics."""
    excerpts = torch.stack([excerpt(batch.active, generator) for _ in range(2)], 1)
    pooled = [model.speaker.pool(read.speaker, excerpts).flatten(0, 1)]
    classes, prints = (
        [batch.voices.repeat_interleave(2)],
        [batch.voiceprints.repeat_interleave(2, 0)],
    )
    spoken = [excerpts.sum(2).flatten()]
    if mixed is not None:
        clean = batch.mixture_active * (batch.mixture_active.sum(1, keepdim=True) == 1)
        pooled.append(model.speaker.pool(mixed.speaker, clean).flatten(0, 1))
        classes.append(batch.mixture_voices.flatten())
        prints.append(batch.mixture_voiceprints.flatten(0, 1))
        spoken.append(clean.sum(2).flatten())
    wanted, labels, rows = torch.cat(prints), torch.cat(classes), torch.cat(pooled)
    print_known = wanted.abs().sum(1) > 0
    known = (torch.cat(spoken) >= CLEAR_STEPS) & ((labels >= 0) | print_known)
    nothing = rows.sum() * 0.0
    if known.sum() < 2:
        return nothing, nothing
    normalize = model.speaker.normalize if taught else model.speaker.batch_norm
    embeddings = model.speaker.embed(normalize(rows[known]))
    labels, wanted, print_known = labels[known], wanted[known], print_known[known]
    named = labels >= 0
    margin_loss = arcface(embeddings[named], labels[named], margin) if named.any() else nothing
    if not print_known.any():
        return margin_loss, nothing
    cosine = (embeddings[print_known] * wanted[print_known]).sum(1)
    return margin_loss, (1.0 - cosine).mean()


def crops_loss(
    head: SpeakerHead,
    teacher: SpeakerTeacher,
    arcface: ArcFace,
    latents: Tensor,
    batch: Batch,
    margin: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """ArcFace, one minus cosine to the teacher's embedding, and the squared error of its frames in
    units of their variance, over the batch's crops with speaker latents `[V, S, d]`."""
    error = ((head.frames(latents) - batch.crop_frames) / teacher.std).square().mean()
    whole = latents.new_ones(len(latents), 1, latents.shape[1])
    embeddings = head.embed(head.normalize(head.pool(latents, whole)[:, 0]))
    likeness = 1.0 - (embeddings * teacher.embed(batch.crop_frames)).sum(1).mean()
    return arcface(embeddings, batch.crop_voices, margin), likeness, error
