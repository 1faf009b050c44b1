"""What the decoders need of the graphs, said before an engine is asked for it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from echo_edge.bundle.graph_io import check_contract
from echo_edge.bundle.manifest import parse
from echo_edge.bundle.verify import open_bundle
from echo_edge.errors import BundleError

Document = dict[str, Any]


@pytest.mark.parametrize("name", ["null_bundle", "default_bundle"])
def test_accepts_bundles_that_run(request: pytest.FixtureRequest, name: str) -> None:
    check_contract(open_bundle(request.getfixturevalue(name)).manifest)


def _tensor(graph: str, side: str, name: str, /, **to: object) -> Callable[[Document], None]:
    def edit(document: Document) -> None:
        for tensor in document["graphs"][graph][side]:
            if tensor["name"] == name:
                tensor.update(to)

    return edit


def _drop(graph: str, side: str, name: str) -> Callable[[Document], None]:
    def edit(document: Document) -> None:
        tensors = document["graphs"][graph][side]
        tensors[:] = [tensor for tensor in tensors if tensor["name"] != name]

    return edit


def _add(graph: str, side: str, name: str) -> Callable[[Document], None]:
    def edit(document: Document) -> None:
        document["graphs"][graph][side].append({"name": name, "shape": [1], "dtype": "float32"})

    return edit


REFUSED = [
    ("frontend.inputs: found audio float32[1, 1280], expected one of pcm, or state",
     _tensor("frontend", "inputs", "pcm", name="audio")),
    ("frontend.inputs: found pcm float32[1, 1281], expected pcm float32[1, 1280]",
     _tensor("frontend", "inputs", "pcm", shape=[1, 1281])),
    ("frontend.inputs: found pcm int64[1, 1280], expected pcm float32[1, 1280]",
     _tensor("frontend", "inputs", "pcm", dtype="int64")),
    ("frontend.outputs: found nothing, expected spectrum float32[1, 8, 257, 2]",
     _drop("frontend", "outputs", "spectrum")),
    ("encoder.inputs: found extra float32[1], expected one of features, or state",
     _add("encoder", "inputs", "extra")),
    ("encoder.outputs: found nothing, expected latents_asr float32[1, 2, 16]",
     _drop("encoder", "outputs", "latents_asr")),
    ("encoder.outputs: found latents_speaker float32[1, 2, 17], expected latents_speaker",
     _tensor("encoder", "outputs", "latents_speaker", shape=[1, 2, 17])),
    ("asr.inputs: found latents float32[1, 2, 15], expected latents float32[1, 2, 16]",
     _tensor("asr", "inputs", "latents", shape=[1, 2, 15])),
    ("asr.outputs: found logprobs float32[1, 3, 5], expected logprobs float32[1, 4, 5]",
     _tensor("asr", "outputs", "logprobs", shape=[1, 3, 5])),
    ("asr.outputs: found logprobs float32[], expected logprobs float32[1, 4, tokens]",
     _tensor("asr", "outputs", "logprobs", shape=[])),
    ("separation.inputs: found nothing, expected voices float32[1, 3, 6]",
     _drop("separation", "inputs", "voices")),
    ("separation.outputs: found sources float32[2, 1520], expected sources float32[3, 1520]",
     _tensor("separation", "outputs", "sources", shape=[2, 1520])),
    ("diarization.outputs: found logprobs float32[1, 8, 6], expected logprobs float32[1, 8, 7]",
     _tensor("diarization", "outputs", "logprobs", shape=[1, 8, 6])),
    ("speaker.inputs: found weights float32[1, 2, 8], expected weights float32[1, 3, 8]",
     _tensor("speaker", "inputs", "weights", shape=[1, 2, 8])),
    ("speaker.outputs: found embeddings float32[1, 3, 7], expected embeddings float32[1, 3, 6]",
     _tensor("speaker", "outputs", "embeddings", shape=[1, 3, 7])),
]  # fmt: skip


@pytest.mark.parametrize(("message", "edit"), REFUSED, ids=[message[:60] for message, _ in REFUSED])
def test_refuses(null_bundle: Path, message: str, edit: Callable[[Document], None]) -> None:
    document = json.loads((null_bundle / "manifest.json").read_bytes())
    edit(document)

    with pytest.raises(BundleError) as caught:
        check_contract(parse(json.dumps(document).encode()))

    assert str(caught.value).startswith(f"manifest.json: graphs.{message}")
    assert caught.value.rule == "graph-tensors"


def test_more_outputs_are_harmless(null_bundle: Path) -> None:
    document = json.loads((null_bundle / "manifest.json").read_bytes())
    _add("asr", "outputs", "extra")(document)

    check_contract(parse(json.dumps(document).encode()))


def test_state_is_float32(null_bundle: Path) -> None:
    document = json.loads((null_bundle / "manifest.json").read_bytes())
    _tensor("asr", "inputs", "asr_state", dtype="int64")(document)
    _tensor("asr", "outputs", "asr_state_next", dtype="int64")(document)

    with pytest.raises(BundleError, match=r"asr_state int64.*, expected float32"):
        check_contract(parse(json.dumps(document).encode()))
