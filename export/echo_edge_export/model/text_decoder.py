"""Second pass of words: an attention decoder that reads the latents of a whole turn.

Its layers are those of Whisper's text decoder (Radford et al., "Robust speech recognition via
large-scale weak supervision", 2022, section 2.2): pre-norm self-attention, cross-attention and MLP,
learned positions, output weights tied to the embedding. A bridge maps Echo's final latents, one in
40 ms, to what the decoder's cross-attention knows.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Memory = list[tuple[Tensor, Tensor]]
"""Keys and values `[B, heads, S, d_head]` of each layer's cross-attention."""


@dataclass(frozen=True)
class TextDecoderConfig:
    """Sizes of the decoder; the defaults are Whisper base's."""

    n_tokens: int
    n_layers: int = 6
    n_heads: int = 8
    d_model: int = 512
    d_mlp: int = 2048
    max_tokens: int = 448
    max_steps: int = 750
    """Steps of 40 ms that the memory has positions for: 30 s."""

    def to_dict(self) -> dict[str, int]:
        """The fields as a plain dict, for a checkpoint's metadata."""
        return asdict(self)


class TextDecoderLayer(nn.Module):
    """Causal self-attention, cross-attention to the memory, MLP; each behind its norm."""

    def __init__(self, config: TextDecoderConfig) -> None:
        super().__init__()
        d = config.d_model
        self.n_heads = config.n_heads
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(d) for _ in range(3))
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.query, self.memory, self.cross_proj = (
            nn.Linear(d, d),
            nn.Linear(d, 2 * d),
            nn.Linear(d, d),
        )
        self.fc1, self.fc2 = nn.Linear(d, config.d_mlp), nn.Linear(config.d_mlp, d)

    def split(self, x: Tensor) -> Tensor:
        """`[B, T, d]` to heads `[B, heads, T, d_head]`."""
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

    def keys_and_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of the memory `[B, S, d]`, for the cross-attention."""
        keys, values = self.memory(x).chunk(2, -1)
        return self.split(keys), self.split(values)

    def forward(
        self,
        x: Tensor,
        memory: tuple[Tensor, Tensor],
        unseen: Tensor,
        past: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The layer's output `[B, U, d]`, and keys and values of all tokens so far. `unseen`
        `[B, 1, 1, S]` is added to the scores: 0 or -inf; `past` are the earlier tokens' keys and
        values, where U is 1."""
        query, key, value = (self.split(y) for y in self.qkv(self.norm1(x)).chunk(3, -1))
        if past is not None:
            key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=past is None)
        x = x + self.proj(mixed.transpose(1, 2).flatten(2))
        query = self.split(self.query(self.norm2(x)))
        mixed = F.scaled_dot_product_attention(query, *memory, attn_mask=unseen)
        x = x + self.cross_proj(mixed.transpose(1, 2).flatten(2))
        return x + self.fc2(F.gelu(self.fc1(self.norm3(x)))), (key, value)


class TextDecoder(nn.Module):
    """Tokens of a turn from its latents, one after the other."""

    def __init__(self, config: TextDecoderConfig) -> None:
        super().__init__()
        self.config = config
        d = config.d_model
        self.bridge = nn.Linear(d, d)
        self.positions = nn.Parameter(torch.zeros(config.max_steps, d))
        self.embedding = nn.Embedding(config.n_tokens, d)
        self.order = nn.Parameter(torch.zeros(config.max_tokens, d))
        self.layers = nn.ModuleList(TextDecoderLayer(config) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(d)

    def remember(self, final: Tensor) -> Memory:
        """Final latents `[B, S, d]` of turns of at most `max_steps` steps to the memory."""
        x = self.bridge(final) + self.positions[: final.shape[1]]
        return [layer.keys_and_values(x) for layer in self._layers()]

    def forward(
        self, tokens: Tensor, memory: Memory, valid: Tensor, past: Memory | None = None
    ) -> tuple[Tensor, Memory]:
        """Logits `[B, U, n_tokens]` of what follows each of `tokens` `[B, U]`, and the keys and
        values of all tokens so far; `valid` `[B, S]` says which steps are of the turn, `past` is
        what the earlier tokens left, none at the beginning."""
        first = past[0][0].shape[2] if past else 0
        x = self.embedding(tokens) + self.order[first : first + tokens.shape[1]]
        unseen = torch.zeros(valid.shape, dtype=x.dtype, device=x.device)
        unseen = unseen.masked_fill(~valid, float("-inf"))[:, None, None]
        so_far: Memory = []
        for index, layer in enumerate(self._layers()):
            x, own = layer(x, memory[index], unseen, past[index] if past else None)
            so_far.append(own)
        return F.linear(self.norm(x), self.embedding.weight), so_far

    def _layers(self) -> list[TextDecoderLayer]:
        return [layer for layer in self.layers if isinstance(layer, TextDecoderLayer)]
