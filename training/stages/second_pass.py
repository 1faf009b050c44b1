"""The text decoder that learns beside the encoder: its start, its file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from echo_edge_export.checkpoint import write_tensors
from echo_edge_export.model.text_decoder import TextDecoder, TextDecoderConfig, TextDecoderLayer
from training.objectives.latents import LatentPredictor
from training.objectives.text import learn_cross_attention
from training.teachers.whisper_text import Tokens, read_text_decoder

FORMAT = "echo-edge.text-decoder/1"


class TextLearner(nn.Module):
    """A decoder and the tokens that it knows; with `bf16` it multiplies in bfloat16."""

    def __init__(self, decoder: TextDecoder, tokens: Tokens) -> None:
        super().__init__()
        self.decoder, self.tokens, self.bf16 = decoder, tokens, False
        learn_cross_attention(decoder)


def start_text(
    folder: Path,
    texts: Sequence[str],
    predictor: LatentPredictor,
    stored: Mapping[str, Tensor] | None = None,
) -> TextLearner:
    """The teacher's decoder in `folder` (`whisper-base` of `training.teachers.fetch`), whose bridge
    begins as what `predictor` says of the teacher's latents, the mean of both frames of a step.
    `stored` may hold a cross-attention that has learned (`second.cross.*`, `second.positions`)."""
    tokens = Tokens.of_english(folder / "tokenizer.json", texts)
    decoder = read_text_decoder(folder, tokens.kept)
    weight = predictor.out.weight.unflatten(0, (predictor.n_frames, -1)).mean(0)
    bias = predictor.out.bias.unflatten(0, (predictor.n_frames, -1)).mean(0)
    with torch.no_grad():
        decoder.bridge.weight.copy_(weight * predictor.std[:, None])
        decoder.bridge.bias.copy_(bias * predictor.std + predictor.mean)
        if stored:
            for name, ours in _stored_names(decoder).items():
                ours.copy_(stored[f"second.{name}"])
    return TextLearner(decoder, tokens)


def _stored_names(decoder: TextDecoder) -> dict[str, Tensor]:
    """Names in a stored start -> the tensors that they are."""
    found: dict[str, Tensor] = {"positions": decoder.positions}
    for index, layer in enumerate(decoder.layers):
        assert isinstance(layer, TextDecoderLayer)  # noqa: S101
        parts = {"norm": layer.norm2, "q": layer.query, "kv": layer.memory, "out": layer.cross_proj}
        for name, part in parts.items():
            for kind, parameter in part.named_parameters():
                found[f"cross.{index}.{name}.{kind}"] = parameter
    return found


def save_text(path: Path, learner: TextLearner) -> None:
    """The decoder in float16 with its sizes and its tokens' numbers, through a temporary name."""
    tensors = {
        n: v.detach().half().contiguous().cpu() for n, v in learner.decoder.state_dict().items()
    }
    tensors["tokens"] = torch.tensor(learner.tokens.kept, dtype=torch.int32)
    metadata = {"format": FORMAT, "config": json.dumps(learner.decoder.config.to_dict())}
    write_tensors(path, tensors, metadata)


def load_text(path: Path, tokenizer: Path) -> TextLearner:
    """What `save_text` wrote; ValueError for another file."""
    with safe_open(path, framework="pt") as stored:
        metadata = stored.metadata() or {}
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path}: found {metadata.get('format')}, expected {FORMAT}")
    tokens = Tokens(tokenizer, tensors.pop("tokens").tolist())
    decoder = TextDecoder(TextDecoderConfig(**json.loads(metadata["config"])))
    decoder.load_state_dict({name: value.float() for name, value in tensors.items()})
    return TextLearner(decoder, tokens)
