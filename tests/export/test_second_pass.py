"""The second pass of words in every engine: the graphs say what torch says, token by token."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from echo_edge.bundle.manifest import GraphSpec, SecondPassSpec
from echo_edge.engines import open_engine
from echo_edge.engines.stateful import GraphStream
from echo_edge.errors import EchoError
from echo_edge.heads.text_decoder import TextDecoder as Reader
from echo_edge_export.checkpoint import SecondPassCheckpoint, load_second_pass, save_second_pass
from echo_edge_export.convert.table import find_exporter
from echo_edge_export.model.second_pass import MAX_TOKENS, second_pass_jobs
from echo_edge_export.model.text_decoder import TextDecoder, TextDecoderConfig
from echo_edge_export.quantize.recipes import RECIPES

SMALL = TextDecoderConfig(n_tokens=60, n_layers=2, n_heads=2, d_model=32, d_mlp=64)
CHUNK = 4
SPEC = SecondPassSpec("subwords.txt", (58, 59), 57)
SUBWORDS = tuple(f" w{i}" if i % 3 else f"x{i}" for i in range(57)) + ("", "", "")

Graphs = tuple[Callable[[str], GraphStream], dict[str, GraphSpec]]


@pytest.fixture(scope="module")
def decoder() -> TextDecoder:
    torch.manual_seed(4)
    made = TextDecoder(SMALL).eval()
    for parameter in (made.positions, made.order):
        torch.nn.init.normal_(parameter, std=0.5)
    torch.nn.init.normal_(made.embedding.weight, std=0.4)
    return made


def graphs(decoder: TextDecoder, engine: str, recipe: str, folder: Path) -> Graphs:
    exporter = find_exporter(engine)
    convert, specs, engines = exporter.load(), {}, {}
    for name, job in second_pass_jobs(decoder, CHUNK).items():
        path = folder / f"{name}{exporter.suffix}"
        specs[name] = convert(job, RECIPES[recipe], None, path)
        engines[name] = open_engine(engine, path, specs[name], 1)
    return (lambda name: GraphStream(engines[name], specs[name])), specs


@torch.no_grad()
def by_torch(decoder: TextDecoder, latents: np.ndarray, tokens: list[int]) -> np.ndarray:
    """Log-probabilities `[len(tokens), N]` of what follows each token."""
    memory = decoder.remember(torch.from_numpy(latents)[None])
    valid = torch.ones(1, len(latents), dtype=torch.bool)
    logits, _ = decoder(torch.tensor([tokens]), memory, valid)
    return torch.log_softmax(logits[0], -1).numpy()


@pytest.mark.parametrize(("recipe", "tolerance"), [("float32", 1e-3), ("dynamic_w8", 0.35)])
@pytest.mark.parametrize("engine", ["onnx", "tflite", "executorch"])
def test_tokens_are_those_of_torch(
    decoder: TextDecoder, engine: str, recipe: str, tolerance: float, tmp_path: Path
) -> None:
    graph, specs = graphs(decoder, engine, recipe, tmp_path)
    said: list[np.ndarray] = []
    given: list[int] = []

    class Spied(GraphStream):
        def run(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
            outputs = super().run(**inputs)
            given.append(int(inputs["token"][0, 0]))
            said.append(outputs["logprobs"][0].copy())
            return outputs

    def spied(name: str) -> GraphStream:
        made = graph(name)
        return Spied(made._engine, specs[name]) if name == "asr_decoder" else made

    reader = Reader(spied, specs, SPEC, SUBWORDS)
    rng = np.random.default_rng(1)
    for n_steps in (3, 22, 4):
        said.clear()
        given.clear()
        latents = rng.standard_normal((n_steps, SMALL.d_model)).astype(np.float32)
        words = reader.read(latents)

        expected = by_torch(decoder, latents, given)
        assert given[:2] == [58, 59]
        np.testing.assert_allclose(np.stack(said), expected, atol=tolerance)
        chosen = np.where(reader._silent, -np.inf, expected[1:]).argmax(1)
        if recipe == "float32":
            assert given[2:] == chosen[:-1].tolist()
        if words is not None:
            text = "".join(SUBWORDS[i] for i in given[2:])
            assert " ".join(word.text for word in words) == text.strip()
        else:
            assert len(given) == MAX_TOKENS


def test_checkpoints_are_read_back(decoder: TextDecoder, tmp_path: Path) -> None:
    stored = SecondPassCheckpoint(decoder, SUBWORDS, SPEC.prompt, SPEC.end)
    save_second_pass(tmp_path / "text.safetensors", stored)

    found = load_second_pass(tmp_path / "text.safetensors")

    assert (found.subwords, found.prompt, found.end) == (SUBWORDS, SPEC.prompt, SPEC.end)
    torch.testing.assert_close(
        found.decoder.state_dict(), decoder.state_dict(), atol=2e-3, rtol=2e-3
    )
    (tmp_path / "other.safetensors").write_bytes(b"{}")
    with pytest.raises(EchoError, match="not a readable safetensors checkpoint"):
        load_second_pass(tmp_path / "other.safetensors")
