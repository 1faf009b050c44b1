"""Whisper base's text decoder and tokens, as what Echo's second pass of words starts from."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from echo_edge_export.model.text_decoder import TextDecoder, TextDecoderConfig
from training.teachers.ctranslate2_file import read_variables

PROMPT = ("<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>")
END = "<|endoftext|>"
COMMON = 16_000
"""Tokens are numbered by how early their pair was merged, so by how common they are: beyond this
hardly one is English."""
ENGLISH = re.compile(r"Ġ?([A-Za-z]+|[0-9]{1,2})|Ġ?'[a-z]{0,2}|Ġ?[-.,?!:;%$&]")

LAYER = {
    "norm1": "self_attention/layer_norm", "qkv": "self_attention/linear_0",
    "proj": "self_attention/linear_1", "norm2": "attention/layer_norm",
    "query": "attention/linear_0", "memory": "attention/linear_1",
    "cross_proj": "attention/linear_2",
    "norm3": "ffn/layer_norm", "fc1": "ffn/linear_0", "fc2": "ffn/linear_1",
}  # fmt: skip
"""Our name of each part of a layer -> its name in the file."""


def _tokenizer(path: Path) -> Any:
    """The tokenizer in `tokenizer.json`, of the extra `[teachers]`."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(path))


class Tokens:
    """The tokens that are kept of Whisper's, numbered from 0, and text as these numbers."""

    def __init__(self, tokenizer: Path, kept: Sequence[int]) -> None:
        self.tokenizer = _tokenizer(tokenizer)
        self.kept = list(kept)
        """Whisper's number of each."""
        self._place = {number: i for i, number in enumerate(self.kept)}
        vocabulary = self.tokenizer.get_vocab()
        self.prompt = [self._place[vocabulary[name]] for name in PROMPT]
        self.end = self._place[vocabulary[END]]

    @classmethod
    def of_english(cls, tokenizer: Path, texts: Iterable[str]) -> "Tokens":
        """English words, numbers and punctuation, and all that `texts` need."""
        known = _tokenizer(tokenizer)
        vocabulary = known.get_vocab()
        kept = {n for t, n in vocabulary.items() if n < COMMON and ENGLISH.fullmatch(t)}
        for text in set(texts):
            kept.update(known.encode(" " + text, add_special_tokens=False).ids)
        kept.update(vocabulary[name] for name in (*PROMPT, END))
        return cls(tokenizer, sorted(kept))

    def encode(self, text: str) -> list[int]:
        """Numbers of a text's tokens; those that are not kept are left out."""
        numbers = self.tokenizer.encode(" " + text, add_special_tokens=False).ids
        return [self._place[n] for n in numbers if n in self._place]

    @property
    def subwords(self) -> tuple[str, ...]:
        """The text of each token, a space where a word begins; empty for the prompt's and for those
        that are only a part of a character or not text at all."""
        texts = []
        for number in self.kept:
            text = str(self.tokenizer.decode([number], skip_special_tokens=True))
            texts.append(text if text.isprintable() and text.lstrip(" ").count(" ") == 0 else "")
        return tuple(texts)

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens; prompt and end have none."""
        text = self.tokenizer.decode([self.kept[i] for i in tokens if i != self.end])
        return str(text).strip()


def read_text_decoder(folder: Path, kept: Sequence[int]) -> TextDecoder:
    """The decoder of the model in `folder`, with the tokens `kept`; its memory has no positions
    and its bridge changes nothing."""
    weights = {
        name.removeprefix("decoder/"): torch.from_numpy(np.array(value, np.float32))
        for name, value in read_variables(folder / "model.bin").items()
        if name.startswith("decoder/") and value.dtype.kind == "f"
    }
    n_layers = sum(name.endswith("ffn/linear_0/weight") for name in weights)
    order = weights["position_encodings/encodings"]
    d_mlp, d_model = weights["layer_0/ffn/linear_0/weight"].shape
    config = TextDecoderConfig(
        len(kept), n_layers, d_model=d_model, d_mlp=d_mlp, max_tokens=len(order)
    )
    tensors: dict[str, Tensor] = {
        "bridge.weight": torch.eye(d_model),
        "bridge.bias": torch.zeros(d_model),
        "positions": torch.zeros(config.max_steps, d_model),
        "embedding.weight": weights["embeddings/weight"][torch.tensor(kept)],
        "order": order,
        "norm.weight": weights["layer_norm/gamma"],
        "norm.bias": weights["layer_norm/beta"],
    }
    for index in range(n_layers):
        for ours, theirs in LAYER.items():
            names = ("gamma", "beta") if ours.startswith("norm") else ("weight", "bias")
            for part, name in zip(("weight", "bias"), names, strict=True):
                tensors[f"layers.{index}.{ours}.{part}"] = weights[f"layer_{index}/{theirs}/{name}"]
    decoder = TextDecoder(config)
    decoder.load_state_dict(tensors)
    return decoder
