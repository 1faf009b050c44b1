"""The separation figures: the paper's in latent space, and what a listener gains.

All blind and through the runtime: whose voices there are, and how many, is what diarization finds
in the same mixture, which is then heard once more (`Session.separate`). A separated voice's latents
are what the encoder says of it alone. *PIT separation accuracy*: share of active slots, chunk by
chunk, whose nearest clean-source latents (squared error) are those that the best permutation of the
mixture gives; once more with the whole mixture for a chunk. *Latent SI-SDR* compares separated with
clean latents, *SI-SDRi* waveforms with the mixture. *K accuracy*: share of mixtures whose number of
voices is right.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from echo_edge.result import Result
from echo_edge.session import Session
from training.objectives.losses import ORDERS
from training.scoring.voices import latents
from training.simulation.mixtures import MAX_SPEAKERS, Mixture

MIXTURES, MIXTURE_S = 32, 19.2
"""So many, of a whole number of chunks of 4, 12, 24 and 48 steps: a voice taken for another changes
one mixture by 10 to 30 dB, so 16 of them leave a standard error of 2 to 3 dB of SI-SDRi, 32 one
below 2."""
CHUNK = 12
"""Steps over which PIT accuracy looks for the nearest latents: 0.48 s."""


def si_sdr(estimate: Tensor, reference: Tensor) -> Tensor:
    """Scale-invariant SDR in dB over the last dimension (Le Roux et al., ICASSP 2019)."""
    scale = (estimate * reference).sum(-1) / (reference.square().sum(-1) + 1e-9)
    target = scale[..., None] * reference
    noise = (estimate - target).square().sum(-1) + 1e-9
    return 10.0 * torch.log10(target.square().sum(-1) / noise + 1e-9)


def separation_figures(session: Session, mixtures: Sequence[Mixture]) -> dict[str, float]:
    """Means over `mixtures`, each a whole number of chunks long."""
    sums: dict[str, list[float]] = {}
    for mixture in mixtures:
        result, audible = apart(session, mixture)
        found = {
            **latent_figures(session, audible, mixture),
            "separation.si_sdri_db": [audible_gain(audible, mixture)],
            "separation.k_accuracy": [100.0 * (len(result.speakers) == len(mixture.speakers))],
            "separation.si_sdri_db_streamed": [audible_gain(streamed(session, mixture), mixture)],
        }
        for name, values in found.items():
            sums.setdefault(name, []).extend(values)
    return {name: float(np.mean(values)) for name, values in sums.items()}


def apart(session: Session, mixture: Mixture) -> tuple[Result, Tensor]:
    """Estimates for a mixture, and waveforms `[3, N]`: of the three who talk most in it or, if
    there are fewer, of them and the rest; silence after that."""
    stream = session.stream(math.inf, language_model=False)
    result = Result.joined([stream.push(mixture.pcm), stream.finish()])
    audible = np.zeros((MAX_SPEAKERS, len(mixture.pcm)), np.float32)
    voices = np.concatenate(list(session.separate(stream, result, [mixture.pcm])), axis=1)
    speech_s = [speaker.speech_s for speaker in result.speakers]
    order = np.argsort([*(-s for s in speech_s), 0.0], kind="stable")[:MAX_SPEAKERS]
    audible[: len(order)] = voices[order]
    return result, torch.from_numpy(audible)


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


def latent_figures(session: Session, audible: Tensor, mixture: Mixture) -> dict[str, list[float]]:
    """PIT accuracies per chunk and per voice, and latent SI-SDR per voice, of waveforms `[3, N]`
    that were made of the mixture; the target of an empty slot is silence."""
    separated, clean = (
        torch.from_numpy(np.stack([latents(session, voice)["latents"] for voice in voices]))
        for voices in (audible.numpy(), mixture.sources)
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
