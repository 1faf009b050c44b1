"""Losses of words, voices and sources, from latents of a batch, for every stage of training."""

import torch
from torch import Tensor
from torch.nn import functional as F

from echo_edge_export.model.echo import Echo, Latents
from training.objectives.losses import ArcFace, ctc_loss, separation_loss
from training.simulation.batches import Batch

CHARACTER_WEIGHT = 0.5
"""Characters are read only where there is no language model; phones are the words' sounds."""

CLEAR_STEPS = 12
"""A voice that is alone for less than half a second in a conversation stays unknown."""
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
) -> tuple[Tensor, Tensor]:
    """ArcFace, and one minus the cosine to what a pretrained speaker encoder says of the clean
    voice, over two excerpts of every read item and every voice of the conversations where it speaks
    alone; voices with less than 12 clean steps, or of whom nothing is known, are left out."""
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
    embeddings = model.speaker.embed(model.speaker.batch_norm(rows[known]))
    labels, wanted, print_known = labels[known], wanted[known], print_known[known]
    named = labels >= 0
    margin_loss = arcface(embeddings[named], labels[named], margin) if named.any() else nothing
    if not print_known.any():
        return margin_loss, nothing
    cosine = (embeddings[print_known] * wanted[print_known]).sum(1)
    return margin_loss, (1.0 - cosine).mean()


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
