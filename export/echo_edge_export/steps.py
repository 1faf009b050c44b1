"""The fixed-shape streaming graphs: one chunk in, one chunk out, all state explicit, no loops.

These modules hold no weights of their own; every exporter takes them whole.
"""

import torch
from torch import Tensor, nn

from .attention import MASKED
from .config import POWERSET, EchoConfig
from .model import Block, Echo


def _roll(cache: Tensor, new: Tensor) -> Tensor:
    """The newest L steps of `[layers, H, L, d/H]` and, after them, `[layers, H, C, d/H]`."""
    if new.shape[2] >= cache.shape[2]:
        return new[:, :, -cache.shape[2] :]
    return torch.cat([cache[:, :, new.shape[2] :], new], dim=2)


class EncoderStep(nn.Module):
    """One chunk of the encoder. All state starts at zero; nothing in it depends on position."""

    bias: Tensor

    def __init__(self, model: Echo, chunk_steps: int) -> None:
        super().__init__()
        self.encoder = model.encoder
        self.blocks = [block for block in model.encoder.blocks if isinstance(block, Block)]
        self.left = model.config.left_context_steps
        keys = torch.arange(-self.left, chunk_steps)
        bias = self.encoder.position_bias(torch.arange(chunk_steps), keys).detach()
        self.register_buffer("bias", bias, persistent=False)

    def forward(
        self,
        features: Tensor,
        conv_state: Tensor,
        key_cache: Tensor,
        value_cache: Tensor,
        cache_valid: Tensor,
    ) -> tuple[Tensor, ...]:
        """Features `[1, 4C, n_mels]`, conv_state `[1, 4, d]`, caches `[layers, H, L, d/H]`,
        cache_valid `[1, L]` to the five latents `[1, C, d]` and the four next states."""
        encoder = self.encoder
        patches = torch.cat([conv_state, encoder.embed(features)], dim=1)
        x = encoder.convolve(patches)
        seen = torch.cat([torch.ones_like(cache_valid[:, :1]), cache_valid], dim=1)
        seen = torch.cat([seen, torch.ones_like(x[:, :, 0])], dim=1)
        bias = self.bias + (seen - 1.0) * -MASKED
        layers, keys, values = [x], [], []
        for i, block in enumerate(self.blocks):
            query, key, value, gate = block.project(x)
            cached_key, cached_value = key_cache[i : i + 1], value_cache[i : i + 1]
            query = query * query.shape[-1] ** -0.5
            scores = [query @ k.transpose(-1, -2) for k in (block.null_key[None], cached_key, key)]
            # The null value is zero. Cached and new steps stay apart: joining them would copy the
            # whole cache in every layer, which costs as much as a quarter of the int8 step.
            weights = torch.softmax(torch.cat(scores, dim=-1) + bias[i : i + 1], dim=-1)
            _, old, new = weights.split([1, self.left, x.shape[1]], dim=-1)
            attended = old @ cached_value + new @ value
            x = block.finish(x, attended * gate)
            layers.append(x)
            keys.append(key)
            values.append(value)
        latents = encoder.mixes(layers)
        return (
            latents.final,
            latents.diarization,
            latents.speaker,
            latents.asr,
            latents.separation,
            patches[:, x.shape[1] :],
            _roll(key_cache, torch.cat(keys)),
            _roll(value_cache, torch.cat(values)),
            seen[:, -self.left :],
        )


def zeros(**shapes: tuple[int, ...]) -> dict[str, Tensor]:
    """Named zero tensors: the inputs of a graph, in order."""
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


def graph_inputs(config: EchoConfig, chunk_steps: int) -> dict[str, dict[str, Tensor]]:
    """Every graph's inputs by name, zero-filled; state inputs are called `*_state`, `*_cache` or
    `*_valid` and come back as `*_next`."""
    left, d, frames = config.left_context_steps, config.d_model, config.patch_frames * chunk_steps
    window, bins = config.window_steps, config.n_fft // 2 + 1
    cache = (config.n_layers, config.n_heads, left, config.d_head)
    slot_cache = (4, left, config.d_slot // 4)
    n_local = max(len(speakers) for speakers in POWERSET) + 1
    memory = config.conv_kernel - 1
    return {
        "frontend": zeros(
            pcm=(1, chunk_steps * config.step_samples),
            pcm_state=(1, config.overlap_samples),
        ),
        "encoder": zeros(
            features=(1, frames, config.n_mels),
            conv_state=(1, memory, d),
            key_cache=cache,
            value_cache=cache,
            cache_valid=(1, left),
        ),
        "diarization": zeros(latents=(1, window, d), valid=(1, window)),
        "speaker": zeros(latents=(1, window, d), weights=(1, n_local, window)),
        "asr": zeros(latents=(1, chunk_steps, d), asr_state=(1, memory, d)),
        "separation": zeros(
            latents=(1, chunk_steps, d),
            features=(1, frames, config.n_mels),
            spectrum=(1, frames, bins, 2),
            voices=(1, config.max_sources, config.embedding_dim),
            slot_key_cache=slot_cache,
            slot_value_cache=slot_cache,
            slot_valid=(1, left),
        ),
    }


GRAPH_OUTPUTS: dict[str, tuple[str, ...]] = {
    "frontend": ("features", "spectrum", "pcm_state_next"),
    "encoder": (
        "latents", "latents_diarization", "latents_speaker", "latents_asr", "latents_separation",
        "conv_state_next", "key_cache_next", "value_cache_next", "cache_valid_next",
    ),
    "diarization": ("logprobs",),
    "speaker": ("embeddings",),
    "asr": ("logprobs", "asr_state_next"),
    "separation": (
        "sources", "presence",
        "slot_key_cache_next", "slot_value_cache_next", "slot_valid_next",
    ),
}  # fmt: skip
"""Every graph's outputs in order; `x_next` is what the runtime passes as `x` in the next call."""


def graph_modules(model: Echo, chunk_steps: int) -> dict[str, nn.Module]:
    """The six graphs of a bundle, in the order in which audio passes through them."""
    return {
        "frontend": model.frontend,
        "encoder": EncoderStep(model, chunk_steps),
        "diarization": model.diarization,
        "speaker": model.speaker,
        "asr": model.asr,
        "separation": model.separation,
    }
