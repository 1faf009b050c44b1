"""Checkpoints: one safetensors file holds the weights, the model's shape, where it came from and,
when it is ready to export, the calibration that all engines share.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from echo_edge.errors import EchoError
from echo_edge_export.model.config import EchoConfig
from echo_edge_export.model.echo import Echo
from echo_edge_export.model.text_decoder import TextDecoder, TextDecoderConfig
from echo_edge_export.quantize.calibrate import Calibration

FORMAT = "echo-edge.checkpoint/1"
TEXT_DECODER_FORMAT = "echo-edge.text-decoder/2"


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint; the model is float32 and in eval mode."""

    model: Echo
    step: int
    calibration: Calibration | None
    sha256: str


def save_checkpoint(
    path: Path,
    model: Echo,
    step: int,
    calibration: Calibration | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write weights, config, training step and calibration to `path`, through a temporary name."""
    tensors = {k: v.detach().to(dtype).contiguous().cpu() for k, v in model.state_dict().items()}
    metadata = {"format": FORMAT, "config": json.dumps(model.config.to_dict()), "step": str(step)}
    if calibration is not None:
        metadata["calibration"] = calibration.to_json()
    write_tensors(path, tensors, metadata)


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file through a temporary name; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file(tensors, partial, metadata)
    partial.replace(path)


def _read(path: Path, form: str, expected: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Float32 tensors and metadata of a safetensors file of the format `form`. EchoError, which
    says what was `expected`, for another file."""
    try:
        with safe_open(path, framework="pt") as stored:
            metadata: dict[str, str] = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name).float() for name in stored.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise EchoError(f"{path}: not a readable safetensors checkpoint: {error}") from error
    if metadata.get("format") != form:
        found = metadata.get("format", "no format entry")
        raise EchoError(f"{path}: found {found}, expected {expected}")
    return tensors, metadata


def load_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint at `path`. EchoError if the file is missing, not one, or does not fit."""
    tensors, metadata = _read(path, FORMAT, f"an Echo checkpoint ({FORMAT})")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        model = Echo(EchoConfig(**json.loads(metadata["config"])))
        model.load_state_dict(tensors)
        calibration = metadata.get("calibration")
        ranges = Calibration.from_json(calibration) if calibration else None
        step = int(metadata.get("step", "0"))
    except (TypeError, KeyError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise EchoError(f"{path}: weights and config do not fit this version: {reason}") from error
    return Checkpoint(model.eval(), step, ranges, sha256)


@dataclass(frozen=True)
class SecondPassCheckpoint:
    """A text decoder in eval mode, and its tokens: their texts (a word begins with a space; empty
    for what is not text), those that every text begins with, and the one that ends it."""

    decoder: TextDecoder
    subwords: tuple[str, ...]
    prompt: tuple[int, ...]
    end: int


def save_second_pass(path: Path, stored: SecondPassCheckpoint, **more: Tensor) -> None:
    """Write a text decoder in float16 with its tokens, and `more` tensors that are not read here,
    through a temporary name."""
    weights = stored.decoder.state_dict()
    tensors = {n: v.detach().half().contiguous().cpu() for n, v in weights.items()}
    tokens = {"subwords": stored.subwords, "prompt": stored.prompt, "end": stored.end}
    metadata = {
        "format": TEXT_DECODER_FORMAT, "config": json.dumps(stored.decoder.config.to_dict()),
        "tokens": json.dumps(tokens),
    }  # fmt: skip
    write_tensors(path, tensors | more, metadata)


def load_second_pass(path: Path) -> SecondPassCheckpoint:
    """What `save_second_pass` wrote. EchoError for another file."""
    tensors, metadata = _read(path, TEXT_DECODER_FORMAT, TEXT_DECODER_FORMAT)
    try:
        decoder = TextDecoder(TextDecoderConfig(**json.loads(metadata["config"])))
        decoder.load_state_dict({name: tensors[name] for name in decoder.state_dict()})
        tokens = json.loads(metadata["tokens"])
        subwords, prompt = tuple(tokens["subwords"]), tuple(tokens["prompt"])
        return SecondPassCheckpoint(decoder.eval(), subwords, prompt, int(tokens["end"]))
    except (TypeError, KeyError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise EchoError(f"{path}: weights and tokens do not fit this version: {reason}") from error
