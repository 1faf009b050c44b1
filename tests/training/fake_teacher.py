"""A pretend pretrained encoder: latents that a small model can learn, layers to take over."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from echo_edge_export.model.config import EchoConfig
from training.corpora.data import Corpus, Pcm

FRAME, STEP = 320, 640


class FakeStore:
    """Two utterances per window, the second at the next whole step; latents `[d]` are the loudness
    of each frame along a random direction."""

    def __init__(self, corpus: Corpus, d: int = 8) -> None:
        self.corpus, self.d = corpus, d
        self.directions = np.random.default_rng(0).choice([-1.0, 1.0], d)
        self.pairs = list(zip(corpus.utterances[::2], corpus.utterances[1::2], strict=True))
        self.places = {}
        for window, (one, two) in enumerate(self.pairs):
            self.places[one.id] = (window, 0, one.n_samples)
            self.places[two.id] = (window, -(-one.n_samples // STEP) * STEP, two.n_samples)
        self.windows = self.pairs
        everything = np.concatenate([self._latents(self._pcm(w)) for w in range(len(self.pairs))])
        self.mean, self.std = everything.mean(0), everything.std(0) + np.float32(1e-3)

    def _pcm(self, window: int) -> Pcm:
        one, two = (self.corpus.pcm(u) for u in self.pairs[window])
        return np.concatenate([np.pad(one, (0, -len(one) % STEP)), two])

    def _latents(self, pcm: Pcm) -> NDArray[np.float32]:
        frames = pcm[: len(pcm) // FRAME * FRAME].reshape(-1, FRAME)
        loudness = np.log10((frames**2).mean(1, keepdims=True) + 1e-6)
        return np.asarray(np.tanh(loudness + 4.0) * self.directions, np.float32)

    def length(self, window: int) -> int:
        return len(self._pcm(window))

    def cut(self, window: int, start: int, n: int) -> tuple[Pcm, NDArray[np.float32]]:
        assert start % STEP == 0
        pcm = self._pcm(window)
        kept, rows = np.zeros(n, np.float32), np.zeros((n // FRAME, self.d), np.float32)
        piece, found = pcm[start : start + n], self._latents(pcm)[start // FRAME :][: n // FRAME]
        kept[: len(piece)], rows[: len(found)] = piece, found
        return kept, rows

    def place(self, utterance_id: str) -> tuple[int, int, int]:
        return self.places[utterance_id]

    def __contains__(self, utterance_id: str) -> bool:
        return utterance_id in self.places


class FakeVoices:
    """Frames `[width]` that are a random direction of their speaker where there is sound; the first
    `n` speakers of a corpus are known."""

    def __init__(self, corpus: Corpus, width: int, embedding_dim: int, n: int = 99) -> None:
        rng = np.random.default_rng(1)
        self.corpus, self.pools = corpus, dict(list(corpus.by_speaker().items())[:n])
        self.names = tuple(self.pools)
        self.directions = {
            name: np.maximum(rng.standard_normal(width), 0.0).astype(np.float32)
            for name in self.names
        }
        weight = rng.standard_normal((embedding_dim, 2 * width)) / np.sqrt(2 * width)
        self.pooling = weight.astype(np.float32), np.zeros(embedding_dim, np.float32)
        self.mean = np.mean(list(self.directions.values()), axis=0)
        self.std = np.ones(width, np.float32)
        rows = {name: weight[:, :width] @ row for name, row in self.directions.items()}
        self.centroids = {
            name: (row / np.linalg.norm(row)).astype(np.float32) for name, row in rows.items()
        }

    def crop(
        self, name: str, n_steps: int, rng: np.random.Generator
    ) -> tuple[Pcm, NDArray[np.float32]]:
        pcm = self.corpus.pcm(self.pools[name][0])
        n = min(n_steps, len(pcm) // STEP)
        start = int(rng.integers(len(pcm) // STEP - n + 1)) * STEP
        return pcm[start : start + n * STEP], np.tile(self.directions[name], (n, 1))


class FakeTeacher:
    """`n` random pre-norm layers of the config's width, with a ReLU as ours."""

    def __init__(self, config: EchoConfig, n: int) -> None:
        torch.manual_seed(7)
        d, mlp, self.n_heads = config.d_model, config.d_mlp, config.n_heads
        shapes = {"qkv": (3 * d, d), "proj": (d, d), "fc1": (mlp, d), "fc2": (d, mlp)}
        self.layers = []
        for _ in range(n):
            layer = {f"{k}.weight": torch.randn(shape) * 0.1 for k, shape in shapes.items()}
            layer |= {f"{k}.bias": torch.randn(shape[0]) * 0.1 for k, shape in shapes.items()}
            for name in ("norm1", "norm2"):
                layer |= {f"{name}.weight": torch.rand(d) + 0.5, f"{name}.bias": torch.randn(d)}
            self.layers.append(layer)
        self.norm = (torch.rand(d), torch.randn(d))
        self.projection = torch.randn(FRAME, d) * 0.1

    def stem(self, pcm: Tensor) -> Tensor:
        return torch.tanh(pcm.unflatten(1, (-1, FRAME)) @ self.projection)

    def mean_scores(self, speech: Sequence[Pcm], limit: int) -> Tensor:
        assert all(pcm.ndim == 1 for pcm in speech)
        distances = torch.arange(-limit, limit + 1).abs().float()
        return (-0.01 * distances).expand(len(self.layers), self.n_heads, -1)

    def outputs(self, x: Tensor) -> list[Tensor]:
        """Every layer's output `[B, S, d]` with full context, straight from its definition."""
        said = []
        for p in self.layers:
            y = F.layer_norm(x, x.shape[-1:], p["norm1.weight"], p["norm1.bias"])
            qkv = F.linear(y, p["qkv.weight"], p["qkv.bias"]).unflatten(-1, (3, self.n_heads, -1))
            query, key, value = (qkv[:, :, i].transpose(1, 2) for i in range(3))
            mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
            x = x + F.linear(mixed, p["proj.weight"], p["proj.bias"])
            y = F.layer_norm(x, x.shape[-1:], p["norm2.weight"], p["norm2.bias"])
            hidden = F.relu(F.linear(y, p["fc1.weight"], p["fc1.bias"]))
            x = x + F.linear(hidden, p["fc2.weight"], p["fc2.bias"])
            said.append(x)
        return said
