"""A deeper model from a trained shallower one, as a warm start.

Half the layers train twice as fast, and early training hardly needs the rest (Du et al., "Stacking
your transformers", NeurIPS 2024: the trained stack is copied on top of itself).
"""

from dataclasses import replace

import torch

from echo_edge_export.model.echo import Echo, layer_preference

BRANCH_SCALE = 0.5
"""Copied blocks add this much of what they learned, so that the sum stays near what heads know."""


@torch.no_grad()
def grow(shallow: Echo, n_layers: int) -> Echo:
    """An Echo of `n_layers` blocks whose block i starts as block i modulo the shallow model's; all
    else is taken over, except the layer mixes, which start anew. `n_layers` is a multiple."""
    old = shallow.config.n_layers
    if n_layers % old:
        raise ValueError(f"cannot grow {old} layers to {n_layers}: not a multiple")
    model = Echo(replace(shallow.config, n_layers=n_layers))
    repeated = {}
    for name, value in shallow.state_dict().items():
        if name.startswith("encoder.blocks."):
            index, rest = name.removeprefix("encoder.blocks.").split(".", 1)
            for copy in range(int(index), n_layers, old):
                added = copy >= old and rest.startswith(("proj.", "fc2."))
                repeated[f"encoder.blocks.{copy}.{rest}"] = value * (BRANCH_SCALE if added else 1.0)
        elif name == "encoder.relative_bias":
            repeated[name] = value.repeat(n_layers // old, 1, 1)
        elif name == "encoder.mix":
            repeated[name] = layer_preference(model.config)
        else:
            repeated[name] = value
    model.load_state_dict(repeated)
    return model
