"""Checkpoints: one safetensors file holds the weights, the model's shape and where it came from."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from echo_edge.errors import EchoError

from .config import EchoConfig
from .model import Echo

FORMAT = "echo-edge.checkpoint/1"


def save_checkpoint(path: Path, model: Echo, step: int, dtype: torch.dtype = torch.float32) -> None:
    """Write weights, config and training step to `path`, through a temporary name."""
    tensors = {k: v.detach().to(dtype).contiguous().cpu() for k, v in model.state_dict().items()}
    metadata = {"format": FORMAT, "config": json.dumps(model.config.to_dict()), "step": str(step)}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file(tensors, partial, metadata)
    partial.replace(path)


def load_checkpoint(path: Path) -> tuple[Echo, int]:
    """The model in eval mode, float32, and its training step. EchoError if the file is not one."""
    try:
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name).float() for name in stored.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise EchoError(f"{path}: not a readable safetensors checkpoint: {error}") from error
    if metadata.get("format") != FORMAT:
        found = metadata.get("format", "no format entry")
        raise EchoError(f"{path}: found {found}, expected an Echo checkpoint ({FORMAT})")
    try:
        model = Echo(EchoConfig(**json.loads(metadata["config"])))
        model.load_state_dict(tensors)
    except (TypeError, KeyError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise EchoError(f"{path}: weights and config do not fit this version: {reason}") from error
    return model.eval(), int(metadata.get("step", "0"))
