"""Distance of predicted latents from the target encoder's on development speech."""

import numpy as np
import torch

from echo_edge_export.model.echo import Echo
from training.objectives.latents import LatentPredictor
from training.scoring.quick import CHUNK_STEPS, encode
from training.simulation.windows import LatentSource, Windows

WINDOWS, WINDOW_SAMPLES, SEED = 64, 128_000, 5


@torch.no_grad()
def latent_figures(
    model: Echo, predictor: LatentPredictor, source: LatentSource
) -> dict[str, float]:
    """Loss and mean cosine over windows of 8 s of clean speech in chunks of 480 ms, nothing
    hidden."""
    windows, rng = Windows(source, None), np.random.default_rng(SEED)
    model.eval()
    figures = []
    for _ in range(0, WINDOWS, 16):
        drawn = [windows.clean(WINDOW_SAMPLES, rng) for _ in range(16)]
        pcm = torch.from_numpy(np.stack([w.pcm for w in drawn]))
        final = encode(model, pcm, CHUNK_STEPS)[0]
        latents = torch.from_numpy(np.stack([w.latents for w in drawn])).to(final.device)
        valid = torch.from_numpy(np.stack([w.valid for w in drawn])).to(final.device)
        figures.append(torch.stack(predictor(final, latents, valid)))
    loss, cosine = torch.stack(figures).mean(0).tolist()
    return {"dev_latents": loss, "dev_cos": cosine}
