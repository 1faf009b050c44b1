"""Quantized weights: which linears become integers, and their integers. One arithmetic for three
file formats.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from echo_edge_export.quantize.recipes import FLOAT_LINEARS, QUANTIZED_GRAPHS, Recipe


def qualified(graph_name: str, target: str) -> str:
    """A parameter's name in the whole model, `encoder.blocks.0.fc1.weight`, from its name in the
    graph's own module, which may or may not begin with the graph's name."""
    prefix = f"{graph_name}."
    return target if target.startswith(prefix) else prefix + target


def stored_tensors(program: Any, graph_name: str) -> dict[str, tuple[str, NDArray[Any]]]:
    """Parameters, buffers and constants of an exported program, by placeholder: the name in the
    whole model, and the values."""
    signature = program.graph_signature
    targets = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    stored = {}
    for placeholder, target in targets.items():
        tensor = program.state_dict.get(target, program.constants.get(target))
        stored[placeholder] = (qualified(graph_name, target), tensor.detach().numpy())
    return stored


def is_quantized(graph_name: str, linear: str, recipe: Recipe) -> bool:
    """True if a linear, by its name in the whole model, is stored and run in integers."""
    return (
        recipe.weight_bits < 32 and graph_name in QUANTIZED_GRAPHS and linear not in FLOAT_LINEARS
    )


def quantize_weight(
    weight: NDArray[np.float32], bits: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric per-output-channel integers of `[out, in]` weights, same shape, and their scales
    `[out]`; the lowest integer is never used."""
    limit = 2 ** (bits - 1) - 1
    scale = np.maximum(np.abs(weight).max(axis=1), 1e-8) / limit
    integers = np.clip(np.rint(weight / scale[:, None]), -limit, limit).astype(np.int8)
    return integers, scale.astype(np.float32)
