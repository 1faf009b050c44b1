"""Quantization-aware finish: the last steps of training see what int8 will make of every linear."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echo_edge_export.model.echo import Echo
from echo_edge_export.quantize.recipes import FLOAT_LINEARS, QUANTIZED_GRAPHS

WEIGHT_LIMIT = 127
RANGE_DECAY = 0.99


class Range:
    """Running lowest and highest input of one linear."""

    def __init__(self) -> None:
        self.low, self.high = 0.0, 0.0

    def see(self, x: Tensor) -> None:
        """Widen at once, narrow slowly."""
        low, high = float(x.min()), float(x.max())
        self.low = min(low, RANGE_DECAY * self.low + (1.0 - RANGE_DECAY) * low, 0.0)
        self.high = max(high, RANGE_DECAY * self.high + (1.0 - RANGE_DECAY) * high, 1e-6)


def fake_weight(weight: Tensor) -> Tensor:
    """`[out, in]` rounded to signed 8 bits per output channel, gradient passed straight through."""
    scale = weight.detach().abs().amax(1, keepdim=True).clamp(min=1e-8) / WEIGHT_LIMIT
    rounded = (weight.detach() / scale).round().clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT) * scale
    return weight + (rounded - weight).detach()


def fake_input(x: Tensor, seen: Range) -> Tensor:
    """Rounded to unsigned 8 bits of the range seen, gradient passed straight through."""
    scale = (seen.high - seen.low) / 255
    rounded = ((x.detach() - seen.low) / scale).round().clamp(0, 255) * scale + seen.low
    return x + (rounded - x).detach()


def _quantized(linear: nn.Linear, seen: Range, x: Tensor) -> Tensor:
    if torch.is_grad_enabled():
        seen.see(x.detach())
    return F.linear(fake_input(x, seen), fake_weight(linear.weight), linear.bias)


def fake_quantize(model: Echo) -> int:
    """From now on every linear that the recipes store in int8 rounds its weights and inputs as the
    engine will; returns how many there are. Checkpoints stay what they were."""
    chosen = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and name.partition(".")[0] in QUANTIZED_GRAPHS
        and name not in FLOAT_LINEARS
    ]
    for linear in chosen:
        linear.forward = partial(_quantized, linear, Range())  # type: ignore[method-assign]
    return len(chosen)
