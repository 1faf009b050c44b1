"""The text decoder that learns beside the encoder: its start, its file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from echo_edge_export.checkpoint import (
    SecondPassCheckpoint,
    load_second_pass,
    save_second_pass,
)
from echo_edge_export.model.text_decoder import TextDecoder, TextDecoderLayer
from training.objectives.latents import LatentPredictor
from training.objectives.text import learn_cross_attention
from training.teachers.whisper_text import Tokens, read_text_decoder


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
    """The decoder with its tokens, as export reads it, and their numbers in the teacher."""
    tokens = learner.tokens
    stored = SecondPassCheckpoint(
        learner.decoder, tokens.subwords, tuple(tokens.prompt), tokens.end
    )
    save_second_pass(path, stored, tokens=torch.tensor(tokens.kept, dtype=torch.int32))


def load_text(path: Path, tokenizer: Path) -> TextLearner:
    """What `save_text` wrote; EchoError for another file."""
    decoder = load_second_pass(path).decoder
    with safe_open(path, framework="pt") as stored:
        kept = stored.get_tensor("tokens").tolist()
    return TextLearner(decoder, Tokens(tokenizer, kept))
