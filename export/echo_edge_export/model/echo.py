"""Echo-25M: one streaming ViT audio encoder and the four light heads that read it.

`Encoder.forward` sees whole utterances under a chunk mask (training, evaluation); `EncoderStep` in
`streaming.py` is the same weights as one fixed-shape chunk with explicit state. Both give the same
latents, for any chunk size. This module knows nothing of losses, audio files or engines.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echo_edge_export.model.attention import MASKED, attend
from echo_edge_export.model.config import TASKS, EchoConfig
from echo_edge_export.model.frontend import Frontend
from echo_edge_export.model.heads import AsrHead, DiarizationHead, SeparationHead, SpeakerHead


def chunk_mask(steps: Tensor, chunk_steps: int, left_steps: int) -> Tensor:
    """Attention mask of steps `[S]`, bool `[S, S]`: a query sees its own chunk and `left_steps`
    before.

    The streaming graph's view of the past, written as a mask (dynamic chunk training: Zhang et al.,
    "Unified streaming and non-streaming two-pass end-to-end model", 2020).
    """
    start = (steps // chunk_steps * chunk_steps)[:, None]
    return (steps >= start - left_steps) & (steps < start + chunk_steps)


class Block(nn.Module):
    """Pre-norm attention with a null key and a sigmoid gate per head, then a ReLU MLP.

    The null key lets a head attend to nothing and the gate lets it say nothing, so no residual
    outliers grow and int8 activations keep their resolution (Bondarenko et al., arXiv 2306.12929;
    Qiu et al., arXiv 2505.06708).
    """

    def __init__(self, config: EchoConfig) -> None:
        super().__init__()
        d = config.d_model
        self.n_heads = config.n_heads
        self.norm1 = nn.LayerNorm(d)
        self.qkv_gate = nn.Linear(d, 3 * d + config.n_heads)
        self.null_key = nn.Parameter(torch.randn(config.n_heads, 1, config.d_head) * 0.1)
        self.proj = nn.Linear(d, d)
        self.norm2 = nn.LayerNorm(d)
        self.fc1 = nn.Linear(d, config.d_mlp)
        self.fc2 = nn.Linear(config.d_mlp, d)
        with torch.no_grad():
            self.qkv_gate.bias[: 3 * d] = 0.0
            self.qkv_gate.bias[3 * d :] = 2.0  # gates start open

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """`[B, S, d]` to query, key, value `[B, H, S, d/H]` and gate `[B, H, S, 1]`."""
        d = x.shape[-1]
        parts = self.qkv_gate(self.norm1(x)).split([d, d, d, self.n_heads], dim=-1)
        query, key, value = (p.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for p in parts[:3])
        gate = parts[3].sigmoid().transpose(1, 2)[..., None]
        return query, key, value, gate

    def with_null(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Prepend the null key and its zero value to `[B, H, T, d/H]`."""
        null = self.null_key.to(key.dtype).expand(key.shape[0], -1, -1, -1)
        return torch.cat([null, key], dim=2), torch.cat([torch.zeros_like(null), value], dim=2)

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """Residual sums of the attention `[B, H, S, d/H]` and of the MLP."""
        x = x + self.proj(attended.transpose(1, 2).flatten(2))
        return x + self.fc2(F.relu(self.fc1(self.norm2(x))))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """`[B, S, d]` under a score bias `[1 or B, H, S, 1 + S]`."""
        query, key, value, gate = self.project(x)
        key, value = self.with_null(key, value)
        return self.finish(x, attend(query, key, value, bias) * gate)


def local_bias(config: EchoConfig) -> Tensor:
    """Initial position bias: five heads look at one step each (now, one and three back and ahead),
    two at their surroundings, one everywhere; `[layers, H, distances]`.

    Without it every head starts with the mean of all it sees, and learning speech from a few hours
    takes several times longer. Slopes as in Press et al., "Train short, test long", ICLR 2022.
    """
    distance = torch.arange(-config.max_distance, config.max_distance + 1)
    centres, slopes = (0, 1, -1, 3, -3, 0, 0, 0), (1.0, 1.0, 1.0, 1.0, 1.0, 0.2, 0.05, 0.0)
    rows = [
        (-(distance - centres[h % 8]).abs() * slopes[h % 8]).clamp(min=-8.0)
        for h in range(config.n_heads)
    ]
    return torch.stack(rows).expand(config.n_layers, -1, -1).clone()


def layer_preference(config: EchoConfig) -> Tensor:
    """Layer mix logits before training `[tasks, layers + 1]`: voices low, words high, rest even."""
    rising = torch.linspace(-1.0, 1.0, config.n_layers + 1)
    return (
        rising * torch.tensor([{"speaker": -1.0, "asr": 2.0}.get(t, 0.0) for t in TASKS])[:, None]
    )


@dataclass(frozen=True)
class Latents:
    """Outputs of the encoder: the final latent and each head's mix of layers, all `[B, S, d]`."""

    final: Tensor
    diarization: Tensor
    speaker: Tensor
    asr: Tensor
    separation: Tensor


class Encoder(nn.Module):
    """Patch embedding, causal depthwise convolution, pre-norm blocks, one layer mix per head."""

    def __init__(self, config: EchoConfig) -> None:
        super().__init__()
        self.config = config
        d = config.d_model
        self.patch = nn.Linear(config.patch_frames * config.n_mels, d)
        self.patch_norm = nn.LayerNorm(d)
        self.conv = nn.Conv1d(d, d, config.conv_kernel, groups=d)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.relative_bias = nn.Parameter(local_bias(config))
        self.mix = nn.Parameter(layer_preference(config))
        self.norm = nn.LayerNorm(d)
        for name, parameter in self.named_parameters():
            if name.endswith(("proj.weight", "fc2.weight")):  # residual branches start small
                nn.init.normal_(parameter, std=0.02 / (2 * config.n_layers) ** 0.5)

    def embed(self, features: Tensor) -> Tensor:
        """`[B, T, n_mels]` to patches `[B, T / patch_frames, d]`."""
        patches = features.unflatten(1, (-1, self.config.patch_frames)).flatten(2)
        return self.patch_norm(self.patch(patches))

    def convolve(self, patches: Tensor) -> Tensor:
        """Depthwise convolution over `[B, kernel - 1 + S, d]`, residual: `[B, S, d]`."""
        mixed = self.conv(patches.transpose(1, 2)).transpose(1, 2)
        return patches[:, self.config.conv_kernel - 1 :] + F.relu(mixed)

    def position_bias(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Learned bias per layer and head `[layers, H, Q, 1 + K]`; column 0 is the null key's."""
        limit = self.config.max_distance
        distance = (queries[:, None] - keys[None, :]).clamp(-limit, limit) + limit
        return F.pad(self.relative_bias[:, :, distance], (1, 0))

    def mixes(self, layers: list[Tensor]) -> Latents:
        """Softmax-weighted sums of the `n_layers + 1` layer outputs, and the final latent."""
        stacked = torch.stack(layers)
        weights = self.mix.softmax(dim=1)
        mixed = (weights @ stacked.flatten(1)).unflatten(1, stacked.shape[1:])
        return Latents(self.norm(layers[-1]), *mixed)

    def layers(
        self, features: Tensor, chunk_steps: int, left_steps: int | None = None
    ) -> list[Tensor]:
        """The `n_layers + 1` outputs `[B, S, d]` of whole utterances `[B, T, n_mels]`, seen as the
        streaming graph sees them."""
        patches = self.embed(features)
        x = self.convolve(F.pad(patches, (0, 0, self.config.conv_kernel - 1, 0)))
        steps = torch.arange(x.shape[1], device=x.device)
        left = self.config.left_context_steps if left_steps is None else left_steps
        seen = F.pad(chunk_mask(steps, chunk_steps, left), (1, 0), value=True)
        bias = self.position_bias(steps, steps).masked_fill(~seen, MASKED)
        layers = [x]
        for block, block_bias in zip(self.blocks, bias, strict=True):
            x = block(x, block_bias[None].to(x.dtype))
            layers.append(x)
        return layers

    def forward(self, features: Tensor, chunk_steps: int, left_steps: int | None = None) -> Latents:
        """Latents of whole utterances `[B, T, n_mels]`, seen as the streaming graph sees them."""
        return self.mixes(self.layers(features, chunk_steps, left_steps))


class Echo(nn.Module):
    """The whole model: frontend, encoder and heads, trained and exported together."""

    def __init__(self, config: EchoConfig | None = None) -> None:
        super().__init__()
        self.config = config or EchoConfig()
        self.frontend = Frontend(self.config)
        self.encoder = Encoder(self.config)
        self.diarization = DiarizationHead(self.config)
        self.speaker = SpeakerHead(self.config)
        self.asr = AsrHead(self.config)
        self.separation = SeparationHead(self.config)

    def parameter_counts(self) -> dict[str, int]:
        """Trained parameters per part, by name."""
        return {
            name: sum(p.numel() for p in part.parameters())
            for name, part in self.named_children()
            if any(True for _ in part.parameters())
        }
