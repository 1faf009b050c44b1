"""The products with weights of an encoder for ExecuTorch and nothing else, for
`benchmarks.roofline`.

What XNNPACK was handed cannot be taken apart again. So products of the same shapes, in the same
recipe, are exported anew with random weights: how long a product takes does not depend on its
numbers.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from echo_edge.bundle.manifest import GraphSpec, Manifest
from echo_edge.errors import EchoError
from echo_edge_export.convert.to_executorch import to_executorch
from echo_edge_export.model.config import EchoConfig
from echo_edge_export.model.echo import Echo, Encoder
from echo_edge_export.model.streaming import GraphJob
from echo_edge_export.quantize.recipes import find_recipe
from echo_edge_export.quantize.weights import is_quantized


class Bare(nn.Module):
    """Every linear of an encoder, under the name that it has there, on an input of its own."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def linears(self) -> dict[str, nn.Linear]:
        """By name in the whole model."""
        return {name: part for name, part in self.named_modules() if isinstance(part, nn.Linear)}

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """One output per input, in the order of `linears`."""
        return tuple(linear(x) for linear, x in zip(self.linears().values(), inputs, strict=True))


def write_products(
    manifest: Manifest, target: Path
) -> tuple[GraphSpec, dict[str, NDArray[np.float32]], int, int]:
    """Write the products of the encoder that `manifest` describes to `target`: what was written,
    inputs to run it with, multiply-adds per call and bytes of weights. EchoError for a recipe that
    needs calibrated ranges."""
    recipe = find_recipe(manifest.recipe)
    if recipe.activations == "static":
        raise EchoError(
            f"roofline: found recipe {recipe.name} for executorch, expected one that needs no "
            "calibration"
        )
    torch.manual_seed(0)
    bare = Bare(Echo(_config(manifest)).encoder).eval()
    linears, steps = bare.linears(), manifest.streaming.chunk_steps
    generator = np.random.default_rng(0)
    inputs = {
        f"x{number}": generator.standard_normal((1, steps, linear.in_features), np.float32)
        for number, linear in enumerate(linears.values())
    }
    examples = {name: torch.from_numpy(array) for name, array in inputs.items()}
    outputs = tuple(f"y{number}" for number in range(len(linears)))
    job = GraphJob("encoder", bare, examples, outputs)
    spec = to_executorch(job, recipe, None, target)
    sizes = {name: linear.weight.numel() for name, linear in linears.items()}
    weight_bytes = sum(
        size * (1 if is_quantized("encoder", name, recipe) else 4) for name, size in sizes.items()
    )
    return spec, inputs, steps * sum(sizes.values()), weight_bytes


def _config(manifest: Manifest) -> EchoConfig:
    """The shape of the model behind a bundle; what the manifest does not say is as shipped."""
    graph = manifest.graphs["encoder"]
    shapes = {tensor.name: tensor.shape for tensor in (*graph.inputs, *graph.outputs)}
    width = shapes["latents"][-1]
    return replace(
        EchoConfig(),
        d_model=width,
        d_mlp=4 * width,
        n_layers=sum(name.startswith("key_cache_") for name in graph.state),
        n_heads=shapes["key_cache_0"][1],
        n_mels=shapes["features"][-1],
    )
