"""Losses of words and sources, from latents of a batch, for every stage of training."""

import torch
from torch import Tensor
from torch.nn import functional as F

from echo_edge_export.model.echo import Echo, Latents
from training.objectives.losses import ctc_loss, separation_loss
from training.objectives.voices import CLEAR_STEPS
from training.simulation.batch import Batch

CHARACTER_WEIGHT = 0.5
"""Characters are read only where there is no language model; phones are the words' sounds."""

KNOWN_SHARE, STRANGER_SHARE = 0.8, 0.3


def features_of(model: Echo, pcm: Tensor) -> Tensor:
    """Log-mel features `[B, T, n_mels]` of `[B, N]` PCM, no gradient."""
    with torch.no_grad():
        return model.frontend.whole(pcm)[0]


def words_loss(model: Echo, latents: Tensor, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    """CTC of phones and characters of the read items, from their asr latents `[U, S, d]`."""
    state = latents.new_zeros(len(latents), model.asr.memory, latents.shape[-1])
    characters, sounds, _ = model.asr(latents, state)
    ctc = ctc_loss(characters, batch.targets, batch.target_lengths)
    phones = ctc_loss(sounds, batch.phone_targets, batch.phone_target_lengths)
    return phones + CHARACTER_WEIGHT * ctc, {"ctc": ctc.item(), "said": phones.item()}


@torch.no_grad()
def known_voices(
    model: Echo, mixed: Latents, active: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Known voices of the slots, for conversations with voices active `[B, 3, S]`: embeddings
    `[B, 3, E]`, and flags of the slots that know one. Most voices are known, some are not yet;
    some empty slots wait for a voice from elsewhere, which never comes."""
    clean = active * (active.sum(1, keepdim=True) == 1)
    voices = model.speaker(mixed.speaker, clean)
    clear = clean.sum(2) >= CLEAR_STEPS
    chance = torch.rand(clear.shape, generator=generator).to(clear.device)
    known = clear & (chance < KNOWN_SHARE)
    absent = ~(active.sum(2) > 0) & clear.roll(1, 0)[:, :1] & (chance < STRANGER_SHARE)
    voices = torch.where(absent[..., None], voices.roll(1, 0)[:, :1], voices)
    known = known | absent
    return voices * known[..., None], known


def sources_loss(
    model: Echo,
    batch: Batch,
    mixed: Latents,
    chunk: int,
    left: int,
    generator: torch.Generator,
) -> tuple[Tensor, dict[str, float]]:
    """Loss of the separation head on the batch's simulated conversations."""
    head, n = model.separation, len(batch.sources)
    mixed = Latents(**{name: latents[:n] for name, latents in vars(mixed).items()})
    mixture_active = batch.mixture_active[:n]
    with torch.no_grad():
        features, spectrum = model.frontend.whole(batch.mixture[:n])
        sources = torch.stack(
            [model.frontend.spectrum(model.frontend.pad(s)) for s in batch.sources.unbind(1)], 1
        )
    voices, known = known_voices(model, mixed, mixture_active, generator)
    masks, presence = head.whole(mixed.separation, features, voices, chunk, left)
    estimates = spectrum[:, None] * (masks @ head.bands)[..., None]
    present = mixture_active.sum(2) > 0
    loss, parts, order = separation_loss(estimates, sources, present, known)
    spoken = F.max_pool1d(mixture_active, chunk, chunk).cumsum(2) > 0
    target = spoken.gather(1, order[:, :, None].expand(-1, -1, spoken.shape[2])).transpose(1, 2)
    known = F.binary_cross_entropy_with_logits(presence, target.float())
    return loss + 0.3 * known, {**parts, "presence": known.item()}
