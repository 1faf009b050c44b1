"""The text decoder that learns beside the encoder, with a teacher of a few words."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from echo_edge.errors import EchoError
from echo_edge_export.model.text_decoder import TextDecoder, TextDecoderConfig
from training.objectives.text import learn_cross_attention, text_loss
from training.scoring.second_pass import greedy_texts
from training.stages.second_pass import TextLearner, load_text, save_text
from training.teachers.whisper_text import END, PROMPT, Tokens

pytest.importorskip("tokenizers", reason="needs the extra [teachers]")
WORDS = ("red", "boat", "man", "saw", "old")


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """A tokenizer file of whole words."""
    names = [*WORDS, "[UNK]", *PROMPT, END]
    model = {
        "type": "WordLevel", "vocab": {n: i for i, n in enumerate(names)}, "unk_token": "[UNK]",
    }  # fmt: skip
    kept = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
        "normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None,
        "decoder": None, "model": model,
    }  # fmt: skip
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(kept))
    return path


@pytest.fixture
def learner(tokenizer: Path) -> TextLearner:
    torch.manual_seed(0)
    tokens = Tokens(tokenizer, range(len(WORDS) + 2 + len(PROMPT)))
    config = TextDecoderConfig(
        len(tokens.kept), n_layers=1, n_heads=2, d_model=16, d_mlp=32, max_tokens=12, max_steps=40
    )
    return TextLearner(TextDecoder(config), tokens)


def test_texts_are_numbers_and_back(learner: TextLearner) -> None:
    numbers = learner.tokens.encode("old man saw boat")

    assert learner.tokens.decode([*numbers, learner.tokens.end]) == "old man saw boat"


def test_only_what_reads_the_latents_learns(learner: TextLearner) -> None:
    final = torch.randn(2, 10, 16, requires_grad=True)
    valid = torch.ones(2, 10, dtype=torch.bool)

    text_loss(learner.decoder, learner.tokens, final, valid, ["red boat", "old man"]).backward()

    learned = {n for n, p in learner.decoder.named_parameters() if p.grad is not None}
    parts = ("norm2", "query", "memory", "cross_proj")
    assert learned == {"positions", "bridge.weight", "bridge.bias"} | {
        f"layers.0.{part}.{kind}" for part in parts for kind in ("weight", "bias")
    }
    assert final.grad is not None
    assert float(final.grad.abs().sum()) > 0


def test_items_without_text_do_not_count(learner: TextLearner) -> None:
    final, valid = torch.randn(2, 10, 16), torch.ones(2, 10, dtype=torch.bool)

    both = text_loss(learner.decoder, learner.tokens, final, valid, ["red boat", ""])
    alone = text_loss(learner.decoder, learner.tokens, final[:1], valid[:1], ["red boat"])

    torch.testing.assert_close(both, alone)
    nothing = text_loss(learner.decoder, learner.tokens, final, valid, ["", ""])
    assert nothing.item() == 0.0


def test_what_was_said_is_learned_and_read(learner: TextLearner, tmp_path: Path) -> None:
    torch.manual_seed(1)
    learner.decoder.requires_grad_(True)
    texts = ["red boat", "old man saw red"]
    final, valid = torch.randn(2, 10, 16), torch.ones(2, 10, dtype=torch.bool)
    optimizer = torch.optim.Adam(learner.decoder.parameters(), 1e-2)
    for _ in range(120):
        optimizer.zero_grad()
        text_loss(learner.decoder, learner.tokens, final, valid, texts).backward()
        optimizer.step()

    assert greedy_texts(learner.decoder, learner.tokens, final, valid) == texts

    save_text(tmp_path / "text.safetensors", learner)
    again = load_text(tmp_path / "text.safetensors", tmp_path / "tokenizer.json")
    assert greedy_texts(again.decoder, again.tokens, final, valid) == texts
    assert not any(p.requires_grad for p in again.decoder.layers[0].fc1.parameters())


def test_another_file_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")

    with pytest.raises(
        EchoError, match=r"found no format entry, expected echo-edge\.text-decoder/2"
    ):
        load_text(tmp_path / "a.safetensors", tmp_path / "tokenizer.json")


def test_learning_is_switched_on_again(learner: TextLearner) -> None:
    learner.decoder.requires_grad_(True)

    learn_cross_attention(learner.decoder)

    assert not learner.decoder.embedding.weight.requires_grad
