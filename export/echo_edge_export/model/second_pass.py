"""The two fixed-shape graphs of the second pass of words: what a chunk leaves in the memory of the
text decoder, and one token of its text.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echo_edge_export.model.attention import MASKED, attend
from echo_edge_export.model.streaming import GraphJob, zeros
from echo_edge_export.model.text_decoder import TextDecoder, TextDecoderLayer

MEMORY_CHUNKS = 32
"""Chunks of a turn that can be read again at once: 15.4 s with chunks of 480 ms."""
MAX_TOKENS = 96
"""Of a turn's text: six a second."""


def _layers(decoder: TextDecoder) -> list[TextDecoderLayer]:
    return [layer for layer in decoder.layers if isinstance(layer, TextDecoderLayer)]


class TextMemory(nn.Module):
    """Graph `asr_memory`: latents of one chunk to the keys and values of every layer."""

    def __init__(self, decoder: TextDecoder, n_steps: int) -> None:
        """`n_steps` of memory have positions."""
        super().__init__()
        self.bridge = decoder.bridge
        self.layers = decoder.layers
        self._decoder_layers = _layers(decoder)
        self.positions = nn.Parameter(decoder.positions[:n_steps].detach().clone())

    def forward(self, latents: Tensor, steps: Tensor) -> tuple[Tensor, ...]:
        """Final latents `[1, C, d]` and the places of their steps in the turn `[1, C]` to keys and
        values `[1, H, C, d/H]` of each layer in turn."""
        x = self.bridge(latents) + F.embedding(steps.to(torch.int64), self.positions)
        pairs = [layer.keys_and_values(x) for layer in self._decoder_layers]
        return tuple(tensor for pair in pairs for tensor in pair)


class TextStep(nn.Module):
    """Graph `asr_decoder`: one token in, log-probabilities of the next out. All state starts at
    zero; caches are rolled, so nothing in them depends on a token's place."""

    def __init__(self, decoder: TextDecoder, max_tokens: int) -> None:
        super().__init__()
        self.embedding = decoder.embedding
        self.order = nn.Parameter(decoder.order[:max_tokens].detach().clone())
        self.layers = decoder.layers
        self._decoder_layers = _layers(decoder)
        self.norm = decoder.norm
        self.max_tokens = max_tokens

    def forward(
        self, token: Tensor, place: Tensor, memory_valid: Tensor, valid: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        """Token and its place `[1, 1]`, which steps of the memory are the turn's `[1, M]`, which of
        the caches are filled `[1, T]`, each layer's memory (keys, values `[1, H, M, d/H]`), then
        each layer's caches (`[1, H, T, d/H]`), to log-probabilities `[1, N]` and the next states.
        """
        n = 2 * len(self._decoder_layers)
        memory, caches = tensors[:n], tensors[n:]
        x = F.embedding(token.to(torch.int64), self.embedding.weight)
        x = x + F.embedding(place.to(torch.int64), self.order)
        seen = torch.cat([valid, torch.ones_like(token)], 1)
        own_bias = ((seen - 1.0) * -MASKED)[:, None, None]
        memory_bias = ((memory_valid - 1.0) * -MASKED)[:, None, None]
        rolled = []
        for i, layer in enumerate(self._decoder_layers):
            query, key, value = (layer.split(y) for y in layer.qkv(layer.norm1(x)).chunk(3, -1))
            key = torch.cat([caches[2 * i], key], 2)
            value = torch.cat([caches[2 * i + 1], value], 2)
            mixed = attend(query, key, value, own_bias)
            x = x + layer.proj(mixed.transpose(1, 2).flatten(2))
            query = layer.split(layer.query(layer.norm2(x)))
            mixed = attend(query, memory[2 * i], memory[2 * i + 1], memory_bias)
            x = x + layer.cross_proj(mixed.transpose(1, 2).flatten(2))
            x = x + layer.fc2(F.gelu(layer.fc1(layer.norm3(x))))
            rolled += [key[:, :, -self.max_tokens :], value[:, :, -self.max_tokens :]]
        logits = F.linear(self.norm(x), self.embedding.weight)[:, 0]
        return torch.log_softmax(logits, -1), seen[:, -self.max_tokens :], *rolled


def tensor_names(n_layers: int, kind: str) -> list[str]:
    """Names of each layer's keys and values, `kind` being `memory` or `cache`."""
    return [f"{part}_{kind}_{i}" for i in range(n_layers) for part in ("key", "value")]


def second_pass_jobs(decoder: TextDecoder, chunk_steps: int) -> dict[str, GraphJob]:
    """The two graphs by name, for memories of `MEMORY_CHUNKS` chunks of `chunk_steps`."""
    config = decoder.config
    n_steps, heads = MEMORY_CHUNKS * chunk_steps, config.n_heads
    d_head = config.d_model // heads
    memory, caches = (tensor_names(config.n_layers, kind) for kind in ("memory", "cache"))
    inputs = zeros(
        token=(1, 1),
        place=(1, 1),
        memory_valid=(1, n_steps),
        valid=(1, MAX_TOKENS),
        **dict.fromkeys(memory, (1, heads, n_steps, d_head)),
        **dict.fromkeys(caches, (1, heads, MAX_TOKENS, d_head)),
    )
    outputs = ("logprobs", "valid_next", *(f"{name}_next" for name in caches))
    latents = zeros(latents=(1, chunk_steps, config.d_model), steps=(1, chunk_steps))
    return {
        "asr_memory": GraphJob("asr_memory", TextMemory(decoder, n_steps), latents, tuple(memory)),
        "asr_decoder": GraphJob("asr_decoder", TextStep(decoder, MAX_TOKENS), inputs, outputs),
    }
