"""The separation figures: the paper's in latent space, and what a listener gains.

All blind: whose voices there are, and how many, is what the runtime's diarization found in the same
mixture. A separated voice's latents are what the encoder says of it alone. *PIT separation
accuracy*: share of active slots, chunk by chunk, whose nearest clean-source latent (squared error)
is the one that the best permutation of the mixture gives; once more with the whole mixture for a
chunk. *Latent SI-SDR* compares separated with clean latents, *SI-SDRi* waveforms with the mixture.
*K accuracy*: share of mixtures whose number of voices is right.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from echo_edge.results import Turn
from echo_edge.session import Session
from echo_edge_export.frontend import Synthesis
from echo_edge_export.model import Echo

from .losses import ORDERS
from .mixtures import STEP_SAMPLES, Mixture

CHUNK = 12
STEP_S = STEP_SAMPLES / 16_000


def si_sdr(estimate: Tensor, reference: Tensor) -> Tensor:
    """Scale-invariant SDR in dB over the last dimension (Le Roux et al., ICASSP 2019)."""
    scale = (estimate * reference).sum(-1) / (reference.square().sum(-1) + 1e-9)
    target = scale[..., None] * reference
    noise = (estimate - target).square().sum(-1) + 1e-9
    return 10.0 * torch.log10(target.square().sum(-1) / noise + 1e-9)


def separation_figures(
    model: Echo, session: Session, mixtures: Sequence[Mixture]
) -> dict[str, float]:
    """Means over `mixtures`, each a whole number of chunks long; under the streaming mask."""
    sums: dict[str, list[float]] = {}
    for mixture in mixtures:
        result = session.process(mixture.pcm)
        audible = separate(model, mixture, result.turns)
        found = {
            **latent_figures(model, audible, mixture),
            "separation.si_sdri_db": [audible_gain(audible, mixture)],
            "separation.k_accuracy": [100.0 * (len(result.speakers) == len(mixture.speakers))],
            "separation.si_sdri_db_streamed": [audible_gain(streamed(session, mixture), mixture)],
        }
        for name, values in found.items():
            sums.setdefault(name, []).extend(values)
    return {name: float(np.mean(values)) for name, values in sums.items()}


def streamed(session: Session, mixture: Mixture, latency_s: float = 2.0) -> Tensor:
    """Separated waveforms `[3, N]` as a listener gets them live."""
    pieces: list[Tensor] = []
    stream = session.stream(latency_s, on_sources=lambda piece: pieces.append(torch.tensor(piece)))
    stream.push(mixture.pcm)
    stream.finish()
    return torch.cat(pieces, dim=1)


def audible_gain(estimates: Tensor, mixture: Mixture) -> float:
    """SI-SDRi in dB of estimates `[3, N]`, best permutation, mean over the voices."""
    sources = torch.from_numpy(mixture.sources)[:, : estimates.shape[1]]
    mixed = torch.from_numpy(mixture.pcm)[: estimates.shape[1]]
    used = [k for k, source in enumerate(sources) if source.any()]
    gains = [
        [si_sdr(estimates[k], sources[s]) - si_sdr(mixed, sources[s])
         for k, s in enumerate(order) if s in used]
        for order in ORDERS
    ]  # fmt: skip
    return max(float(torch.stack(row).mean()) for row in gains)


def voices_of(model: Echo, latents: Tensor, turns: Sequence[Turn]) -> Tensor:
    """Embeddings `[1, 3, E]` of the three speakers who talk most, from where they are alone; zero
    where there are fewer."""
    speech: dict[str, Tensor] = {}
    for turn in turns:
        row = speech.setdefault(turn.speaker, torch.zeros(latents.shape[1]))
        row[round(turn.start_s / STEP_S) : round(turn.end_s / STEP_S)] = 1.0
    most = sorted(speech.values(), key=lambda row: -float(row.sum()))[:3]
    active = torch.stack([*most, *[torch.zeros(latents.shape[1])] * (3 - len(most))])[None]
    alone = active * (active.sum(1, keepdim=True) == 1)
    voices: Tensor = model.speaker(latents, alone) * (alone.sum(2) > 0)[..., None]
    return voices


def separate(model: Echo, mixture: Mixture, turns: Sequence[Turn]) -> Tensor:
    """Waveforms `[3, N]` of the mixture's voices, told by its turns."""
    front, head = model.frontend, model.separation
    features, spectrum = front.whole(torch.from_numpy(mixture.pcm)[None])
    mixed = model.encoder(features, CHUNK)
    voices = voices_of(model, mixed.speaker, turns)
    left = model.config.left_context_steps
    masks, _ = head.whole(mixed.separation, features, voices, CHUNK, left)
    audible = Synthesis(model.config)(spectrum * (masks[0] @ head.bands)[..., None])
    audible = audible[:, model.config.overlap_samples :]
    return F.pad(audible, (0, len(mixture.pcm) - audible.shape[1]))


def latent_figures(model: Echo, audible: Tensor, mixture: Mixture) -> dict[str, list[float]]:
    """PIT accuracies per chunk and per voice, and latent SI-SDR per voice, of waveforms `[3, N]`
    that were made of the mixture; the target of an empty slot is silence."""
    separated, clean = (
        model.encoder(model.frontend.whole(voices)[0], CHUNK).final
        for voices in (audible, torch.from_numpy(mixture.sources))
    )
    n_used = len(mixture.speakers)
    pairs = (separated[:, None] - clean[None]).square().mean((2, 3))
    order = min(ORDERS, key=lambda o: float(pairs[range(3), o].sum()))
    chunked = separated.unflatten(1, (-1, CHUNK)), clean.unflatten(1, (-1, CHUNK))
    distance = (chunked[0][:, None] - chunked[1][None]).square().mean((3, 4))
    spoken = torch.from_numpy(mixture.active).float().unflatten(1, (-1, CHUNK)).amax(2) > 0
    right, whole, latent_db = [], [], []
    for slot, source in enumerate(order):
        if source >= n_used:
            continue
        nearest = distance[slot, :n_used].argmin(0)
        right += (100.0 * (nearest[spoken[source]] == source).float()).tolist()
        whole.append(100.0 * (int(pairs[slot, :n_used].argmin()) == source))
        mask = spoken[source].repeat_interleave(CHUNK)
        latent_db.append(
            float(si_sdr(separated[slot][mask].flatten(), clean[source][mask].flatten()))
        )
    return {
        "separation.pit_accuracy": right,
        "separation.pit_accuracy_whole": whole,
        "separation.latent_si_sdr_db": latent_db,
    }
