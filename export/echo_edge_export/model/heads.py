"""The four light heads over the encoder's latents. Each is one small graph in the bundle."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echo_edge_export.model.attention import MASKED, attend
from echo_edge_export.model.config import PHONES, POWERSET, TOKENS, EchoConfig
from echo_edge_export.model.frontend import Synthesis, mel_filters


class SmallBlock(nn.Module):
    """Pre-norm self-attention and ReLU MLP on a whole window."""

    def __init__(self, d: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm1 = nn.LayerNorm(d)
        self.qkv = nn.Linear(d, 3 * d)
        self.proj = nn.Linear(d, d)
        self.norm2 = nn.LayerNorm(d)
        self.fc1 = nn.Linear(d, 4 * d)
        self.fc2 = nn.Linear(4 * d, d)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """`[B, W, d]` under a score bias `[B, 1, 1, W]`."""
        qkv = self.qkv(self.norm1(x)).unflatten(-1, (3, self.n_heads, -1))
        query, key, value = (qkv[:, :, i].transpose(1, 2) for i in range(3))
        attended = attend(query, key, value, bias)
        x = x + self.proj(attended.transpose(1, 2).flatten(2))
        return x + self.fc2(F.relu(self.fc1(self.norm2(x))))


class DiarizationHead(nn.Module):
    """Activity of up to three local speakers at each step of a window, in powerset classes."""

    def __init__(self, config: EchoConfig) -> None:
        super().__init__()
        d = config.d_diarization
        self.norm = nn.LayerNorm(config.d_model)
        self.reduce = nn.Linear(config.d_model, d)
        self.conv = nn.Conv1d(d, d, 9, groups=d, padding=4)
        self.blocks = nn.ModuleList(SmallBlock(d, n_heads=4) for _ in range(2))
        self.out_norm = nn.LayerNorm(d)
        self.out = nn.Linear(d, len(POWERSET))

    def states(self, latents: Tensor, valid: Tensor) -> list[Tensor]:
        """States after each block, `[B, W, d_diarization]`; training also teaches the first."""
        x = self.reduce(self.norm(latents)) * valid[..., None]
        x = x + F.relu(self.conv(x.transpose(1, 2)).transpose(1, 2))
        bias = ((valid - 1.0) * -MASKED)[:, None, None, :]
        states = []
        for block in self.blocks:
            x = block(x, bias)
            states.append(x)
        return states

    def classify(self, state: Tensor) -> Tensor:
        """The last block's state to log-posteriors `[B, W, 7]`."""
        return torch.log_softmax(self.out(self.out_norm(state)), dim=-1)

    def forward(self, latents: Tensor, valid: Tensor) -> Tensor:
        """Latents `[B, W, d]`, valid `[B, W]` (1, or 0 before the stream began) to log-posteriors
        `[B, W, 7]`."""
        return self.classify(self.states(latents, valid)[-1])


class SpeakerHead(nn.Module):
    """Weighted attentive statistics pooling to unit-length embeddings (Okabe et al., 2018)."""

    def __init__(self, config: EchoConfig) -> None:
        super().__init__()
        d = config.d_model
        self.norm = nn.LayerNorm(d)
        self.frame = nn.Linear(d, d)
        self.attention = nn.Linear(d, 128)
        self.score = nn.Linear(128, 1)
        # Without it all embeddings start as one common direction and ArcFace hardly learns.
        self.batch_norm = nn.BatchNorm1d(2 * d, momentum=0.02)
        self.out = nn.Linear(2 * d, config.embedding_dim)

    def frames(self, latents: Tensor) -> Tensor:
        """Latents `[B, W, d]` to what is pooled of each step, `[B, W, d]`, none below 0."""
        return F.relu(self.frame(self.norm(latents)))

    def pool(self, latents: Tensor, weights: Tensor) -> Tensor:
        """Latents `[B, W, d]`, weights `[B, K, W]` in [0, 1] (how much each step belongs to each of
        K speakers) to weighted attentive means and deviations `[B, K, 2 d]`."""
        frames = self.frames(latents)
        scores = self.score(torch.tanh(self.attention(frames))).transpose(1, 2)
        raised = (scores - scores.amax(dim=2, keepdim=True)).exp() * weights + 1e-6
        alpha = raised / raised.sum(dim=2, keepdim=True)
        mean = alpha @ frames
        variance = alpha @ frames.square() - mean.square()
        return torch.cat([mean, (variance.clamp(min=0.0) + 1e-5).sqrt()], dim=-1)

    def embed(self, normalized: Tensor) -> Tensor:
        """Normalized statistics `[..., 2 d]` to embeddings `[..., embedding_dim]` of length 1."""
        embedding = self.out(normalized)
        return embedding / (embedding.square().sum(-1, keepdim=True) + 1e-8).sqrt()

    def normalize(self, statistics: Tensor) -> Tensor:
        """Statistics `[..., 2 d]` by the running mean and variance of training."""
        norm = self.batch_norm
        assert norm.running_mean is not None and norm.running_var is not None  # noqa: S101, PT018
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        return (statistics - norm.running_mean) * scale + norm.bias

    def forward(self, latents: Tensor, weights: Tensor) -> Tensor:
        """Latents `[B, W, d]`, weights `[B, K, W]` to embeddings `[B, K, embedding_dim]`."""
        return self.embed(self.normalize(self.pool(latents, weights)))


class AsrHead(nn.Module):
    """CTC characters and phones from the continuous latents, two frames per step; causal."""

    def __init__(self, config: EchoConfig) -> None:
        super().__init__()
        d = config.d_model
        self.memory = config.conv_kernel - 1
        self.n_frames = config.asr_frames_per_step
        self.norm = nn.LayerNorm(d)
        self.conv = nn.Conv1d(d, d, config.conv_kernel, groups=d)
        self.hidden = nn.Linear(d, d)
        self.out = nn.Linear(d, self.n_frames * len(TOKENS))
        self.sounds = nn.Linear(d, self.n_frames * len(PHONES))

    def forward(self, latents: Tensor, asr_state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Latents `[B, S, d]` and the last normalized ones `[B, 4, d]` to log-posteriors of
        characters `[B, 2 S, tokens]` and of phones `[B, 2 S, phones]`, and the next state."""
        x = torch.cat([asr_state, self.norm(latents)], dim=1)
        mixed = self.conv(x.transpose(1, 2)).transpose(1, 2)
        hidden = F.relu(self.hidden(x[:, self.memory :] + F.relu(mixed)))
        return (
            self._logprobs(self.out(hidden)),
            self._logprobs(self.sounds(hidden)),
            x[:, -self.memory :],
        )

    def _logprobs(self, logits: Tensor) -> Tensor:
        frames = logits.unflatten(-1, (self.n_frames, -1)).flatten(1, 2)
        return torch.log_softmax(frames, dim=-1)


class SeparationHead(nn.Module):
    """K-set separation with a null target: slots that each become one voice, or nothing.

    A slot may be told whose voice it is to hold (a speaker embedding; zero for whoever is left), so
    it keeps that voice from chunk to chunk and over hours. Slot queries attend to the latents of
    the chunk and its left context; each slot then modulates every step into a mask over 80 mel
    bands per 10 ms frame. The masks of all slots sum to one, so the sources sum to the mixture. A
    voice's own latents are what the encoder says of it once it is separated.
    """

    bands: Tensor

    def __init__(self, config: EchoConfig) -> None:
        super().__init__()
        d, d_slot = config.d_model, config.d_slot
        self.config = config
        self.n_heads = 4
        self.norm = nn.LayerNorm(d)
        self.queries = nn.Parameter(torch.randn(config.max_sources, d_slot) * 0.3)
        self.voice = nn.Linear(config.embedding_dim, d_slot, bias=False)
        nn.init.normal_(self.voice.weight)  # embeddings have length 1: a voice weighs like a query
        self.key_value = nn.Linear(d, 2 * d_slot)
        self.proj = nn.Linear(d_slot, d_slot)
        self.slot_norm = nn.LayerNorm(d_slot)
        self.fc1 = nn.Linear(d_slot, 2 * d_slot)
        self.fc2 = nn.Linear(2 * d_slot, d_slot)
        self.presence = nn.Linear(d_slot, 1)
        self.step = nn.Linear(d, config.d_mask)
        self.modulate = nn.Linear(d_slot, 2 * config.d_mask)
        self.patch = nn.Linear(config.patch_frames * config.n_mels, config.d_mask)
        self.mask_hidden = nn.Linear(config.d_mask, config.d_mask)
        self.mask = nn.Linear(config.d_mask, config.patch_frames * config.n_mels)
        self.synthesis = Synthesis(config)
        filters = mel_filters(config).T
        filters[-1] += (filters.sum(0) == 0) * 1e-3  # bins that no filter covers: 0 Hz and Nyquist
        self.register_buffer("bands", filters / filters.sum(0), persistent=False)

    def keys(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalized latents `[B, S, d]`, keys and values `[B, heads, S, d_slot / heads]`."""
        x = self.norm(latents)
        both = self.key_value(x).unflatten(-1, (2, self.n_heads, -1))
        return x, both[:, :, 0].transpose(1, 2), both[:, :, 1].transpose(1, 2)

    def slots(self, key: Tensor, value: Tensor, bias: Tensor, voices: Tensor) -> Tensor:
        """Slots `[B, N, K, d_slot]` of N chunks, each under its score bias `[B, N, 1, 1, T]`, for
        voices `[B, K, embedding_dim]`."""
        asked = self.queries + self.voice(voices)
        query = asked.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        weights = torch.softmax(scores[:, None] + bias, dim=-1)
        attended = (weights @ value[:, None]).transpose(2, 3).flatten(3)
        slots = asked[:, None] + self.proj(attended)
        return slots + self.fc2(F.relu(self.fc1(self.slot_norm(slots))))

    def hidden(self, x: Tensor, slots: Tensor) -> Tensor:
        """Steps `[B, N, C, d]` modulated by slots `[B, N, K, d_slot]`: `[B, N, K, C, d_mask]`."""
        scale, shift = self.modulate(slots)[..., None, :].chunk(2, dim=-1)
        return F.relu(self.step(x)[:, :, None] * (1.0 + scale) + shift)

    def masks(self, hidden: Tensor, features: Tensor) -> Tensor:
        """Mel-band masks `[B, N, K, 4 C, n_mels]`; features `[B, N, 4 C, n_mels]`."""
        patches = features.unflatten(2, (-1, self.config.patch_frames)).flatten(3)
        fine = F.relu(self.mask_hidden(F.relu(hidden + self.patch(patches)[:, :, None])))
        logits = self.mask(fine).unflatten(-1, (self.config.patch_frames, -1)).flatten(3, 4)
        return torch.softmax(logits, dim=2)

    def whole(
        self, latents: Tensor, features: Tensor, voices: Tensor, chunk_steps: int, left_steps: int
    ) -> tuple[Tensor, Tensor]:
        """Whole sequences of N chunks `[B, N C, d]` with voices `[B, K, embedding_dim]`, as the
        streaming graph sees them: band masks `[B, K, 4 N C, n_mels]`, presence logits
        `[B, N, K]`."""
        x, key, value = self.keys(latents)
        steps = torch.arange(x.shape[1], device=x.device)
        start = steps[::chunk_steps, None]
        seen = (steps >= start - left_steps) & (steps < start + chunk_steps)
        bias = (~seen).to(x.dtype)[None, :, None, None, :] * MASKED
        slots = self.slots(key, value, bias, voices)
        hidden = self.hidden(x.unflatten(1, (-1, chunk_steps)), slots)
        frames = features.unflatten(1, (-1, chunk_steps * self.config.patch_frames))
        masks = self.masks(hidden, frames).transpose(1, 2).flatten(2, 3)
        return masks, self.presence(slots)[..., 0]

    def forward(
        self,
        latents: Tensor,
        features: Tensor,
        spectrum: Tensor,
        voices: Tensor,
        slot_keys: Tensor,
        slot_values: Tensor,
        valid: Tensor,
    ) -> tuple[Tensor, ...]:
        """One chunk with its left context: latents `[1, C, d]`, features `[1, 4C, n_mels]`,
        spectrum `[1, 4C, bins, 2]`, voices `[1, K, embedding_dim]` of length 1 or 0, cached keys
        and values `[heads, L, d_slot / heads]`, valid `[1, L]`. Returns sources
        `[K, 4C hop + overlap]`, presence `[K]` in [0, 1] and the next state."""
        x, new_key, new_value = self.keys(latents)
        key = torch.cat([slot_keys, new_key[0]], dim=1)
        value = torch.cat([slot_values, new_value[0]], dim=1)
        seen = torch.cat([valid, torch.ones_like(latents[:, :, 0])], dim=1)
        bias = ((seen - 1.0) * -MASKED)[:, None, None, None, :]
        slots = self.slots(key[None], value[None], bias, voices)
        masks = self.masks(self.hidden(x[:, None], slots), features[:, None])[0, 0]
        sources = self.synthesis(spectrum * (masks @ self.bands)[..., None])
        left = slot_keys.shape[1]
        presence = torch.sigmoid(self.presence(slots[0, 0]))[:, 0]
        state = (key[:, -left:], value[:, -left:], seen[:, -left:])
        return sources, presence, *state
