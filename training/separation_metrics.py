"""The separation figures: the paper's in latent space, and what a listener gains.

*PIT separation accuracy*: share of active slots whose nearest clean-source latent (squared error
over the chunk) is the one that the best permutation of the utterance gives. *Latent SI-SDR*
compares separated with clean latents, *SI-SDRi* waveforms with the mixture. *K accuracy*: share of
chunks whose number of present slots is right.
"""

import numpy as np
import torch
from torch import Tensor

from echo_edge_export.frontend import Synthesis
from echo_edge_export.model import Echo

from .losses import ORDERS
from .mixtures import Mixture

CHUNK = 12


def si_sdr(estimate: Tensor, reference: Tensor) -> Tensor:
    """Scale-invariant SDR in dB over the last dimension (Le Roux et al., ICASSP 2019)."""
    scale = (estimate * reference).sum(-1) / (reference.square().sum(-1) + 1e-9)
    target = scale[..., None] * reference
    noise = (estimate - target).square().sum(-1) + 1e-9
    return 10.0 * torch.log10(target.square().sum(-1) / noise + 1e-9)


def separation_figures(model: Echo, mixtures: list[Mixture]) -> dict[str, float]:
    """Means over `mixtures`, each a whole number of chunks long; under the streaming mask."""
    sums: dict[str, list[float]] = {}
    for mixture in mixtures:
        for name, values in _one(model, mixture).items():
            sums.setdefault(name, []).extend(values)
    return {name: float(np.mean(values)) for name, values in sums.items()}


def _one(model: Echo, mixture: Mixture) -> dict[str, list[float]]:
    front, head, left = model.frontend, model.separation, model.config.left_context_steps
    pcm, sources = torch.from_numpy(mixture.pcm)[None], torch.from_numpy(mixture.sources)
    spectrum = front.spectrum(front.pad(pcm))
    features = front.features(spectrum)
    latents = model.encoder(features, CHUNK).separation
    separated, masks, presence = head.whole(latents, features, CHUNK, left)
    clean = model.encoder(front.features(front.spectrum(front.pad(sources))), CHUNK).final
    n_used = len(mixture.speakers)
    used = torch.arange(3) < n_used
    clean = clean * used[:, None, None]
    separated = separated[0]
    pairs = (separated[:, None] - clean[None]).square().mean((2, 3))
    order = min(ORDERS, key=lambda o: float(pairs[range(3), o].sum()))
    chunked = separated.unflatten(1, (-1, CHUNK)), clean.unflatten(1, (-1, CHUNK))
    distance = (chunked[0][:, None] - chunked[1][None]).square().mean((3, 4))
    spoken = torch.from_numpy(mixture.active).float().unflatten(1, (-1, CHUNK)).amax(2) > 0
    right, latent_db = [], []
    for slot, source in enumerate(order):
        if not used[source]:
            continue
        nearest = distance[slot, :n_used].argmin(0)
        right += (nearest[spoken[source]] == source).float().tolist()
        mask = spoken[source].repeat_interleave(CHUNK)
        latent_db.append(
            float(si_sdr(separated[slot][mask].flatten(), clean[source][mask].flatten()))
        )
    heard = torch.from_numpy(np.maximum.accumulate(mixture.active, axis=1)).float()
    target = heard.unflatten(1, (-1, CHUNK)).amax(2).sum(0)
    counted = (presence[0] > 0).sum(1)
    audible = Synthesis(model.config)(spectrum * (masks[0] @ head.bands)[..., None])
    overlap = model.config.overlap_samples
    audible = audible[:, overlap:]
    reference, mixed = sources[:, : audible.shape[1]], pcm[:, : audible.shape[1]]
    gains = {
        o: [float(si_sdr(audible[k], reference[s])) for k, s in enumerate(o) if used[s]]
        for o in ORDERS
    }
    best = max(gains.values(), key=sum)
    before = [float(si_sdr(mixed[0], reference[s])) for s in range(n_used)]
    return {
        "separation.pit_accuracy": [100.0 * r for r in right],
        "separation.latent_si_sdr_db": latent_db,
        "separation.k_accuracy": (100.0 * (counted == target).float()).tolist(),
        "separation.si_sdri_db": [float(np.mean(best) - np.mean(before))],
    }
