"""The fixed-shape streaming graphs: one chunk in, one chunk out, all state explicit, no loops.

These modules hold no weights of their own; every exporter takes them whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from echo_edge.bundle.manifest import GraphSpec, TensorSpec
from echo_edge_export.model.attention import MASKED, attend
from echo_edge_export.model.config import POWERSET, EchoConfig
from echo_edge_export.model.echo import Block, Echo


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
        self, features: Tensor, conv_state: Tensor, cache_valid: Tensor, *caches: Tensor
    ) -> tuple[Tensor, ...]:
        """Features `[1, 4C, n_mels]`, conv_state `[1, 4, d]`, cache_valid `[1, L]` and each block's
        keys and values `[1, H, L, d/H]` in turn, to the five latents `[1, C, d]` and the next
        states.

        Every block has caches of its own: cutting them out of one tensor and writing them back
        costs three more copies of all of them per chunk, a tenth of the int8 step.
        """
        encoder = self.encoder
        patches = torch.cat([conv_state, encoder.embed(features)], dim=1)
        x = encoder.convolve(patches)
        n_steps = x.shape[1]
        seen = torch.cat([torch.ones_like(cache_valid[:, :1]), cache_valid], dim=1)
        seen = torch.cat([seen, torch.ones_like(x[:, :, 0])], dim=1)
        bias = self.bias + (seen - 1.0) * -MASKED
        layers, rolled = [x], []
        for i, block in enumerate(self.blocks):
            query, new_key, new_value, gate = block.project(x)
            null = block.null_key[None]
            key = torch.cat([null, caches[2 * i], new_key], dim=2)
            value = torch.cat([torch.zeros_like(null), caches[2 * i + 1], new_value], dim=2)
            x = block.finish(x, attend(query, key, value, bias[i : i + 1]) * gate)
            layers.append(x)
            rolled += [key[:, :, -self.left :], value[:, :, -self.left :]]
        latents = encoder.mixes(layers)
        return (
            latents.final,
            latents.diarization,
            latents.speaker,
            latents.asr,
            latents.separation,
            patches[:, n_steps:],
            seen[:, -self.left :],
            *rolled,
        )


def zeros(**shapes: tuple[int, ...]) -> dict[str, Tensor]:
    """Named zero tensors: the inputs of a graph, in order."""
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


def cache_names(config: EchoConfig) -> list[str]:
    """The encoder's caches in the order of its blocks."""
    return [f"{kind}_cache_{i}" for i in range(config.n_layers) for kind in ("key", "value")]


def graph_inputs(config: EchoConfig, chunk_steps: int) -> dict[str, dict[str, Tensor]]:
    """Every graph's inputs by name, zero-filled; those that hold state come back as `*_next`."""
    left, d, frames = config.left_context_steps, config.d_model, config.patch_frames * chunk_steps
    window, bins = config.window_steps, config.n_fft // 2 + 1
    cache = (1, config.n_heads, left, config.d_head)
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
            cache_valid=(1, left),
            **dict.fromkeys(cache_names(config), cache),
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


def graph_outputs(config: EchoConfig) -> dict[str, tuple[str, ...]]:
    """Every graph's outputs in order; the runtime passes `x_next` as `x` in the next call."""
    return {
        "frontend": ("features", "spectrum", "pcm_state_next"),
        "encoder": (
            "latents", "latents_diarization", "latents_speaker", "latents_asr",
            "latents_separation", "conv_state_next", "cache_valid_next",
            *(f"{name}_next" for name in cache_names(config)),
        ),
        "diarization": ("logprobs",),
        "speaker": ("embeddings",),
        "asr": ("logprobs", "phones", "asr_state_next"),
        "separation": (
            "sources", "presence",
            "slot_key_cache_next", "slot_value_cache_next", "slot_valid_next",
        ),
    }  # fmt: skip


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


@dataclass(frozen=True)
class GraphJob:
    """A module of fixed shapes that is to become one graph file."""

    name: str
    """The graph's name in the bundle; parameters are named after it."""
    module: nn.Module
    inputs: Mapping[str, Tensor]
    """Example tensors by input name, in the module's order; they fix the shapes."""
    outputs: tuple[str, ...]
    """Output names in the module's order."""

    def describe(self, path: Path, shapes: list[tuple[int, ...]]) -> GraphSpec:
        """The manifest's entry for the file `path`, whose outputs have these `shapes`.

        An input `x` for which there is an output `x_next` is state.
        """
        sizes = zip(self.outputs, shapes, strict=True)
        return GraphSpec(
            file=path.name,
            inputs=tuple(TensorSpec(k, tuple(v.shape), "float32") for k, v in self.inputs.items()),
            outputs=tuple(TensorSpec(name, shape, "float32") for name, shape in sizes),
            state={k: f"{k}_next" for k in self.inputs if f"{k}_next" in self.outputs},
        )


def graph_jobs(model: Echo, chunk_steps: int) -> dict[str, GraphJob]:
    """The six graphs of a bundle by name, in the order in which audio passes through them."""
    inputs, outputs = graph_inputs(model.config, chunk_steps), graph_outputs(model.config)
    return {
        name: GraphJob(name, module, inputs[name], outputs[name])
        for name, module in graph_modules(model, chunk_steps).items()
    }
