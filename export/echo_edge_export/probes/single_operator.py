"""One operator on its own in a graph file: what it costs, for `benchmarks.operators`."""

from pathlib import Path

import torch
from torch import Tensor, nn

from echo_edge.bundle.manifest import GraphSpec
from echo_edge.errors import EchoError
from echo_edge_export.convert.table import find_exporter
from echo_edge_export.model.streaming import GraphJob
from echo_edge_export.quantize.recipes import find_recipe


class _LogSoftmax(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (torch.log_softmax(x, dim=-1),)


class _Largest(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (x.amax(dim=-1, keepdim=True),)


OPERATORS = {
    "LOG_SOFTMAX": _LogSoftmax,
    "aten::_log_softmax": _LogSoftmax,
    "aten::amax": _Largest,
}
"""What XNNPACK leaves to the engine, by the engine's name for it."""


def write_single_operator(
    engine: str, operator: str, shape: tuple[int, ...], target: Path
) -> GraphSpec:
    """Write a graph `x` to `y` of one operator over the last axis of `shape`. EchoError for an
    operator that is not expected outside of XNNPACK."""
    if operator not in OPERATORS:
        raise EchoError(f"{operator}: found outside of XNNPACK, expected {', '.join(OPERATORS)}")
    job = GraphJob("alone", OPERATORS[operator]().eval(), {"x": torch.zeros(shape)}, ("y",))
    return find_exporter(engine).load()(job, find_recipe("float32"), None, target)
