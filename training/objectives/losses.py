"""The losses of the four heads; each returns a scalar and knows nothing of the encoder."""

import math
from itertools import permutations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echo_edge_export.model.config import POWERSET
from echo_edge_export.model.heads import DiarizationHead

ORDERS = tuple(permutations(range(3)))

AFFINITY_SCALE = 6.0


def ctc_loss(logprobs: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
    """Nats per character of log-posteriors `[B, T, tokens]`; padding is heard as silence."""
    n_frames = torch.full_like(target_lengths, logprobs.shape[1])
    total = F.ctc_loss(
        logprobs.transpose(0, 1).float(), targets, n_frames, target_lengths,
        blank=0, reduction="sum", zero_infinity=True,
    )  # fmt: skip
    return total / target_lengths.sum().clamp(min=1)


class PhoneHead(nn.Module):
    """Frame-wise phones from the transcription latents, two frames per step; training only."""

    def __init__(self, d_model: int, n_phones: int, n_frames: int = 2) -> None:
        super().__init__()
        self.n_frames = n_frames
        self.norm = nn.LayerNorm(d_model)
        self.out = nn.Linear(d_model, n_frames * n_phones)

    def forward(self, latents: Tensor, phones: Tensor) -> tuple[Tensor, float]:
        """Latents `[B, S, d]`, phones `[B, 2 S]` (-100 where unknown) to cross entropy in nats per
        frame and the share of frames that are right, in per cent."""
        logits = self.out(self.norm(latents)).unflatten(-1, (self.n_frames, -1)).flatten(1, 2)
        known = phones >= 0
        right = float((logits.argmax(-1) == phones)[known].float().mean())
        return F.cross_entropy(logits.transpose(1, 2), phones), 100.0 * right


def powerset_targets(active: Tensor) -> Tensor:
    """Active speakers `[..., 3, S]` in {0, 1} to classes `[..., S]`; a third voice is dropped."""
    lookup = torch.zeros(8, dtype=torch.long, device=active.device)
    for index, speakers in enumerate(POWERSET):
        lookup[sum(1 << k for k in speakers)] = index
    lookup[7] = POWERSET.index((0, 1))
    bits = active.long() * torch.tensor([1, 2, 4], device=active.device)[:, None]
    return lookup[bits.sum(-2)]


def turns_loss(head: DiarizationHead, latents: Tensor, active: Tensor) -> tuple[Tensor, Tensor]:
    """Powerset and affinity loss of whole windows `[B, S, d]` with voices active `[B, 3, S]`."""
    states = head.states(latents, latents.new_ones(latents.shape[:2]))
    return powerset_loss(head.classify(states[-1]), active), affinity_loss(states[0], active)


def powerset_loss(logprobs: Tensor, active: Tensor) -> Tensor:
    """Permutation-invariant cross entropy: logprobs `[B, S, 7]`, active `[B, 3, S]`."""
    losses = [
        F.nll_loss(logprobs.transpose(1, 2), powerset_targets(active[:, order]), reduction="none")
        for order in ORDERS
    ]
    return torch.stack([loss.mean(1) for loss in losses]).amin(0).mean()


def affinity_loss(states: Tensor, active: Tensor) -> Tensor:
    """Same-voice loss of pairs of steps in a window: binary cross entropy over all pairs of
    steps where one voice speaks alone; states `[B, S, d]`, active `[B, 3, S]`.

    Powerset targets alone leave the head for long with one voice per window; pairs have no
    permutation to wait for (after Hershey et al., "Deep clustering", ICASSP 2016).
    """
    unit = F.normalize(states - states.mean(1, keepdim=True), dim=2)
    logits = AFFINITY_SCALE * (unit @ unit.transpose(1, 2))
    clean = (active.sum(1) == 1).float()
    same = active.transpose(1, 2) @ active
    pairs = clean[:, :, None] * clean[:, None, :]
    wrong = F.binary_cross_entropy_with_logits(logits, same.clamp(max=1.0), reduction="none")
    # Same and different pairs weigh alike, whatever the shares of the voices.
    balance = pairs / torch.where(
        same > 0, (pairs * same).sum((1, 2), True), (pairs * (1 - same)).sum((1, 2), True)
    ).clamp(min=1.0)
    return (wrong * balance).sum((1, 2)).mean() / 2


class ArcFace(nn.Module):
    """Additive angular margin softmax over speaker classes (Deng et al., CVPR 2019)."""

    def __init__(self, embedding_dim: int, n_classes: int, scale: float = 30.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_classes, embedding_dim) * 0.05)
        self.scale = scale

    def forward(self, embeddings: Tensor, classes: Tensor, margin: float) -> Tensor:
        """Unit embeddings `[N, E]`, classes `[N]`, margin in radians."""
        cosine = (embeddings @ F.normalize(self.weight, dim=1).T).clamp(-1 + 1e-6, 1 - 1e-6)
        target = cosine.gather(1, classes[:, None])
        sine = (1.0 - target.square()).sqrt()
        shifted = target * math.cos(margin) - sine * math.sin(margin)
        logits = cosine.scatter(1, classes[:, None], shifted)
        return F.cross_entropy(self.scale * logits, classes)


def separation_loss(
    estimates: Tensor,
    sources: Tensor,
    present: Tensor,
    bound: Tensor,
) -> tuple[Tensor, dict[str, float], Tensor]:
    """Permutation-invariant separation over whole utterances.

    Spectra `[B, K, T, bins, 2]`: negative SNR in units of 10 dB, thresholded at 25 dB; the target
    of a slot without a source (`present [B, K]` false) is null: 25 dB below the mixture. Slots that
    were told a voice are `bound [B, K]` to the source of the same index. Returns the loss, its
    parts, and the best order `[B, K]`: estimate k is source `order[k]`.
    """
    power = sources.square().sum((2, 3, 4))
    cross = torch.einsum("bktfc,bjtfc->bkj", estimates, sources)
    error = estimates.square().sum((2, 3, 4))[:, :, None] + power[:, None] - 2.0 * cross
    error = error.clamp(min=0.0)
    mixture = power.sum(1)[:, None, None] + 1e-6
    floor = 10**-2.5
    active = torch.log10((error + floor * power[:, None]) / (power[:, None] + 1e-6) + 1e-9)
    silent = torch.log10(error / mixture + floor)
    audible = torch.where(present[:, None, :], active, silent)
    other = ~torch.eye(3, dtype=torch.bool, device=bound.device)
    strangers = (bound[:, :, None] | bound[:, None]) & other
    pairs = audible + strangers * 1e3
    totals = torch.stack([pairs[:, range(3), order].mean(1) for order in ORDERS], dim=1)
    order = torch.tensor(ORDERS, device=totals.device)[totals.argmin(1)]
    chosen = audible.gather(2, order[:, :, None])[..., 0]
    parts = {"snr": -10.0 * chosen[present.gather(1, order)].mean().item()}
    return totals.amin(1).mean(), parts, order
