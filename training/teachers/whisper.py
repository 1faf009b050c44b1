"""Whisper base as target encoder: latents of 30 s of speech at 50 Hz, and its parts as tensors.

The same encoder in torch gives what the student starts from: the convolutions' output without
positions, the layers' weights, and how much every head listens how far away. The model is OpenAI's
(MIT).
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from training.corpora.data import SAMPLE_RATE, Pcm
from training.teachers.ctranslate2_file import read_variables
from training.teachers.latents import FRAMES, WINDOW

HEADS = 8
MELS, FFT, HOP = 80, 400, 160
"""Whisper's frontend: 80 mel bands of 25 ms every 10 ms."""

MASKED_SCORE = -12.0
"""Lowest score by distance: e to the -12 of the nearest one's weight is nothing."""

NEAR_STEPS = 100
"""Steps of 40 ms within which scores are compared: beyond 4 s few pairs are seen."""


def mel_filters() -> Tensor:
    """`[80, 201]` triangles on Slaney's mel scale (linear to 1 kHz, 27 steps per factor 6.4 above),
    each of area 1, from 0 to 8 kHz."""
    linear, step = 200 / 3, math.log(6.4) / 27

    def hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(mel < 15, linear * mel, 1000 * np.exp(step * (mel - 15)))

    top = 15 + math.log(SAMPLE_RATE / 2 / 1000) / step
    edges = hertz(np.linspace(0, top, MELS + 2))
    bins = np.linspace(0, SAMPLE_RATE / 2, FFT // 2 + 1)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])[:, None]
    return torch.from_numpy(triangles.astype(np.float32))


def log_mel(pcm: Tensor, filters: Tensor) -> Tensor:
    """`[B, N]` to Whisper's log-mel `[B, 80, N / 160]`: log10, 80 dB below the loudest at least."""
    window = torch.hann_window(FFT, device=pcm.device)
    spectrum = torch.stft(pcm, FFT, HOP, window=window, return_complex=True)[..., :-1]
    log = (filters @ spectrum.abs().square()).clamp(min=1e-10).log10()
    return (torch.maximum(log, log.amax((1, 2), keepdim=True) - 8.0) + 4.0) / 4.0


class Whisper:
    """The encoder's weights, and what is computed with them; all without gradient.

    `folder` is `whisper-base` of `training.teachers.fetch`. With `bf16` the layers' products are in
    bfloat16, which on processors with AMX takes a third of the time.
    """

    def __init__(self, folder: Path, bf16: bool = False) -> None:
        weights = {
            name: torch.from_numpy(np.array(value, np.float32))
            for name, value in read_variables(folder / "model.bin").items()
            if name.startswith("encoder/") and value.dtype.kind == "f"
        }
        self.convolutions = [
            (weights[f"encoder/conv{i}/weight"], weights[f"encoder/conv{i}/bias"]) for i in (1, 2)
        ]
        self.layers: list[dict[str, Tensor]] = []
        """Of each layer, by the names in `LAYER`: query, key and value stacked."""
        while f"encoder/layer_{len(self.layers)}/ffn/linear_0/weight" in weights:
            beginning = f"encoder/layer_{len(self.layers)}/"
            self.layers.append({k: weights[beginning + name] for k, name in LAYER.items()})
        if bf16:
            for p in self.layers:
                p |= {k: value.bfloat16() for k, value in p.items() if not k.startswith("norm")}
        self.norm = (weights["encoder/layer_norm/gamma"], weights["encoder/layer_norm/beta"])
        self.positions = sinusoids(FRAMES, len(self.norm[0]))
        self._filters = mel_filters()

    @torch.no_grad()
    def stem(self, pcm: Tensor) -> Tensor:
        """`[B, N]` to the convolutions' output `[B, N / 320, 512]`, positions not yet added."""
        (w1, b1), (w2, b2) = self.convolutions
        x = F.gelu(F.conv1d(log_mel(pcm, self._filters), w1, b1, padding=1))
        return F.gelu(F.conv1d(x, w2, b2, stride=2, padding=1)).transpose(1, 2)

    @torch.no_grad()
    def encode(self, pcm: Tensor) -> Tensor:
        """`[B, N]` to latents `[B, N / 320, 512]`; the model is made for N = 480,000, 30 s."""
        x = self.stem(pcm)
        x = x + self.positions[: x.shape[1]]
        for p in self.layers:
            q, k, v = projections(x, p)
            x = layer(x, F.scaled_dot_product_attention(q, k, v), p)
        return F.layer_norm(x, x.shape[-1:], *self.norm)

    def latents(self, speech: Sequence[Pcm]) -> NDArray[np.float32]:
        """Latents `[len(speech), 1500, 512]` of pieces of at most 30 s, each padded to 30 s."""
        pcm = torch.zeros(len(speech), WINDOW)
        for row, piece in zip(pcm, speech, strict=True):
            row[: len(piece)] = torch.from_numpy(piece)
        return self.encode(pcm).numpy()

    @torch.no_grad()
    def mean_scores(self, speech: Sequence[Pcm], limit: int) -> Tensor:
        """Mean attention score by distance in 40 ms steps, `[layers, heads, 2 limit + 1]`.

        Distance is query minus key, so index 0 is a key `limit` steps ahead. At most 0, the nearest
        best one being 0, at least -12: what a relative bias of the student begins as.
        """
        total = torch.zeros(len(self.layers), HEADS, 2 * limit + 1)
        seen = torch.zeros(2 * limit + 1)
        for pcm in speech:
            x = self.stem(torch.from_numpy(pcm)[None])
            n = torch.arange(x.shape[1])
            x = x + self.positions[: len(n)]
            apart = ((n[:, None] - n[None]) / 2).round().long().clamp(-limit, limit) + limit
            seen.index_add_(0, apart.flatten(), torch.ones(apart.numel()))
            for index, p in enumerate(self.layers):
                q, k, v = projections(x, p)
                scores = (q @ k.transpose(-1, -2)).float() / q.shape[-1] ** 0.5
                centred = scores[0] - scores[0].mean(-1, keepdim=True)
                total[index].index_add_(1, apart.flatten(), centred.flatten(1))
                x = layer(x, scores.softmax(-1).to(v.dtype) @ v, p)
        mean = total / seen.clamp(min=1)
        near = mean[..., max(0, limit - NEAR_STEPS) : limit + NEAR_STEPS + 1]
        return (mean - near.amax(-1, keepdim=True)).clamp(MASKED_SCORE, 0.0)


LAYER = {
    "norm1.weight": "self_attention/layer_norm/gamma",
    "norm1.bias": "self_attention/layer_norm/beta",
    "qkv.weight": "self_attention/linear_0/weight",
    "qkv.bias": "self_attention/linear_0/bias",
    "proj.weight": "self_attention/linear_1/weight",
    "proj.bias": "self_attention/linear_1/bias",
    "norm2.weight": "ffn/layer_norm/gamma",
    "norm2.bias": "ffn/layer_norm/beta",
    "fc1.weight": "ffn/linear_0/weight",
    "fc1.bias": "ffn/linear_0/bias",
    "fc2.weight": "ffn/linear_1/weight",
    "fc2.bias": "ffn/linear_1/bias",
}
"""Our name of each of a layer's weights -> its name in the file."""


def sinusoids(length: int, width: int) -> Tensor:
    """Whisper's absolute positions `[length, width]`: sines, then cosines."""
    rates = torch.exp(-math.log(10_000) / (width // 2 - 1) * torch.arange(width // 2))
    angles = torch.arange(length)[:, None] * rates[None]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def projections(x: Tensor, p: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value `[B, 8, T, 64]` of a layer on `[B, T, 512]`."""
    y = F.layer_norm(x, x.shape[-1:], p["norm1.weight"], p["norm1.bias"]).to(p["qkv.weight"].dtype)
    stacked = F.linear(y, p["qkv.weight"], p["qkv.bias"]).unflatten(-1, (3, HEADS, -1))
    q, k, v = stacked.permute(2, 0, 3, 1, 4)
    return q, k, v


def layer(x: Tensor, mixed: Tensor, p: dict[str, Tensor]) -> Tensor:
    """A layer's output `[B, T, 512]` from its input and what attention `mixed`, `[B, 8, T, 64]`."""
    x = x + F.linear(mixed.transpose(1, 2).flatten(2), p["proj.weight"], p["proj.bias"]).float()
    y = F.layer_norm(x, x.shape[-1:], p["norm2.weight"], p["norm2.bias"]).to(mixed.dtype)
    y = F.gelu(F.linear(y, p["fc1.weight"], p["fc1.bias"]))
    return x + F.linear(y, p["fc2.weight"], p["fc2.bias"]).float()
