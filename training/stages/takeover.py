"""An encoder that begins as a pretrained one: its stem fitted, its layers taken over.

Block 0 with patches and convolution learns what the teacher's convolutions say, blocks 1 to 6 are
the teacher's layers, block 7 starts close to identity. The teacher's MLP has a GELU where ours has
a ReLU, its positions are absolute where ours are a score bias, and it sees 30 s: what follows has
to learn to do without.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echo_edge_export.model.attention import MASKED
from echo_edge_export.model.echo import Block, Echo, Encoder, chunk_mask
from training.corpora.data import Pcm
from training.objectives.heads import features_of
from training.simulation.batches import CHUNKS, LEFT_STEPS
from training.simulation.windows import Windows
from training.stages.loop import Schedule

STEM_STEPS, STEM_PEAK = 600, 2e-3
STEM_ITEMS, STEM_SAMPLES = 16, 96_000

OPEN_GATE = 4.0
"""Gate bias of a taken-over layer: it lets 98 % of the attention through."""
IDENTITY_SCALE = 0.1
"""Of what block 7 adds at first, in both of its branches."""


class Teacher(Protocol):
    """Parts taken over from a pretrained encoder of the same width and heads."""

    norm: tuple[Tensor, Tensor]
    """Gain and shift of the last normalization."""

    @property
    def layers(self) -> Sequence[Mapping[str, Tensor]]:
        """Per layer: `norm1.{weight,bias}`, `qkv.{weight,bias}` (query, key, value stacked),
        `proj.{weight,bias}`, `norm2.{weight,bias}`, `fc1.{weight,bias}`, `fc2.{weight,bias}`."""

    def stem(self, pcm: Tensor) -> Tensor:
        """PCM `[B, N]` to the convolutions' output `[B, N / 320, d]`, without positions."""

    def mean_scores(self, speech: Sequence[Pcm], limit: int) -> Tensor:
        """Mean attention score by distance in 40 ms steps, query minus key, from `-limit` to
        `limit`: `[layers, heads, 2 limit + 1]`, 0 at most."""


def take_over(encoder: Encoder, teacher: Teacher, scores: Tensor) -> None:
    """Blocks 1 to n become the teacher's n layers, with `scores` as their relative bias; the block
    after them adds little, the last norm is the teacher's."""
    blocks = [block for block in encoder.blocks if isinstance(block, Block)]
    n_layers = len(teacher.layers)
    with torch.no_grad():
        for block, layer in zip(blocks[1:], teacher.layers, strict=False):
            _copy_layer(block, layer)
        for block in blocks[n_layers + 1 :]:
            block.proj.weight.mul_(IDENTITY_SCALE)
            block.fc2.weight.mul_(IDENTITY_SCALE)
        encoder.relative_bias[1 : n_layers + 1] = scores
        encoder.norm.weight.copy_(teacher.norm[0])
        encoder.norm.bias.copy_(teacher.norm[1])


def _copy_layer(block: Block, layer: Mapping[str, Tensor]) -> None:
    """One pre-norm layer into one block: gate open, null key as it is."""
    n = len(layer["qkv.weight"])
    block.qkv_gate.weight[:n] = layer["qkv.weight"]
    block.qkv_gate.bias[:n] = layer["qkv.bias"]
    block.qkv_gate.weight[n:] = 0.0
    block.qkv_gate.bias[n:] = OPEN_GATE
    for name in ("norm1", "proj", "norm2", "fc1", "fc2"):
        part = getattr(block, name)
        part.weight.copy_(layer[f"{name}.weight"])
        part.bias.copy_(layer[f"{name}.bias"])


def fit_stem(
    model: Echo,
    teacher: Teacher,
    windows: Windows,
    say: Callable[[str], None],
    steps: int = STEM_STEPS,
) -> float:
    """Patches, convolution and block 0 learn the teacher's stem of the same speech, the mean of its
    two frames per step; the last relative error (mean square over variance)."""
    encoder = model.encoder
    learned = nn.ModuleList([encoder.patch, encoder.patch_norm, encoder.conv, encoder.blocks[0]])
    trained = list(learned.parameters())
    optimizer = torch.optim.AdamW(
        trained, lr=STEM_PEAK, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    schedule = Schedule(STEM_PEAK, steps, warmup=50, decay=0.5)
    error = torch.zeros(())
    for step in range(steps):
        rng = np.random.default_rng((2, step))
        drawn = [windows.clean(STEM_SAMPLES, rng).pcm for _ in range(STEM_ITEMS)]
        pcm = torch.from_numpy(np.stack(drawn))
        with torch.no_grad():
            target = teacher.stem(pcm).unflatten(1, (-1, 2)).mean(2)
        said = _stem(encoder, features_of(model, pcm), int(rng.choice(CHUNKS)))
        error = (said - target).square().mean() / target.var()
        optimizer.param_groups[0]["lr"] = schedule.rate(step)
        optimizer.zero_grad()
        error.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        if (step + 1) % 100 == 0 or step + 1 == steps:
            say(f"stem {step + 1}/{steps}  relative error {error.item():.4f}")
    return error.item()


def _stem(encoder: Encoder, features: Tensor, chunk_steps: int) -> Tensor:
    """Output of block 0 `[B, S, d]` under a chunk mask."""
    patches = encoder.embed(features)
    x = encoder.convolve(F.pad(patches, (0, 0, encoder.config.conv_kernel - 1, 0)))
    steps = torch.arange(x.shape[1])
    seen = F.pad(chunk_mask(steps, chunk_steps, LEFT_STEPS), (1, 0), value=True)
    bias = encoder.position_bias(steps, steps)[:1].masked_fill(~seen, MASKED)
    said: Tensor = encoder.blocks[0](x, bias)
    return said
