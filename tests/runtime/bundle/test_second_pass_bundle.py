"""A bundle with a second pass of words: what its manifest and its subwords must hold."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import echo_edge
from echo_edge.bundle.graph_io import check_contract
from echo_edge.bundle.manifest import parse
from echo_edge.bundle.verify import open_bundle
from echo_edge.errors import BundleError

Document = dict[str, Any]
MEMORY, TOKENS = 8, 5

SUBWORDS = ["\u2581a", "b", "", "", ""]


def _tensors(*named: tuple[str, tuple[int, ...]]) -> list[dict[str, Any]]:
    return [{"name": n, "shape": list(shape), "dtype": "float32"} for n, shape in named]


def _graphs() -> Document:
    """Both graphs with one layer of two heads."""
    kinds = ("key", "value")
    memory = [(f"{kind}_memory_0", (1, 2, MEMORY, 8)) for kind in kinds]
    caches = [(f"{kind}_cache_0", (1, 2, 6, 8)) for kind in kinds]
    state = [("valid", (1, 6)), *caches]
    fed = [("token", (1, 1)), ("place", (1, 1)), ("memory_valid", (1, MEMORY)), *memory]
    return {
        "asr_memory": {
            "file": "asr_memory.null", "state": {},
            "inputs": _tensors(("latents", (1, 2, 16)), ("steps", (1, 2))),
            "outputs": _tensors(*((name, (1, 2, 2, 8)) for name, _ in memory)),
        },
        "asr_decoder": {
            "file": "asr_decoder.null", "inputs": _tensors(*fed, *state),
            "outputs": _tensors(
                ("logprobs", (1, TOKENS)), *((f"{name}_next", shape) for name, shape in state)
            ),
            "state": {name: f"{name}_next" for name, _ in state},
        },
    }  # fmt: skip


def write(
    folder: Path, subwords: list[str], edit: Callable[[Document], None] | None = None
) -> None:
    """Give the bundle in `folder` a second pass."""
    document = json.loads((folder / "manifest.json").read_bytes())
    document["graphs"] |= _graphs()
    document["asr"]["second_pass"] = {"subwords": "subwords.txt", "prompt": [3, 4], "end": 2}
    files = {"subwords.txt": ("\n".join(subwords) + "\n").encode()}
    files |= {f"{name}.null": name.encode() for name in ("asr_memory", "asr_decoder")}
    for name, data in files.items():
        (folder / name).write_bytes(data)
        document["files"][name] = {"sha256": sha256(data).hexdigest(), "size_bytes": len(data)}
    if edit is not None:
        edit(document)
    (folder / "manifest.json").write_text(json.dumps(document))


def test_it_is_read(null_bundle: Path) -> None:
    write(null_bundle, SUBWORDS)

    bundle = open_bundle(null_bundle)

    check_contract(bundle.manifest)
    assert bundle.subwords == (" a", "b", "", "", "")
    with echo_edge.load(null_bundle) as session:
        assert set(session.engines) >= {"asr_memory", "asr_decoder"}


def test_without_one_there_are_no_subwords(null_bundle: Path) -> None:
    assert open_bundle(null_bundle).subwords == ()


OTHER_SUBWORDS = [
    (SUBWORDS[:4], r"subwords.txt: found 4 tokens, expected 5"),
    ([*SUBWORDS, ""], r"subwords.txt: found 6 tokens, expected 5"),
    (["a b", *SUBWORDS[1:]], r"subwords.txt: line 1: found 'a b', expected printable text"),
    (["a\x1b", *SUBWORDS[1:]], r"subwords.txt: line 1: found 'a\\x1b', expected printable"),
    (["a\u200f", *SUBWORDS[1:]], r"subwords.txt: line 1: found 'a\\u200f', expected printable"),
]


@pytest.mark.parametrize(("subwords", "message"), OTHER_SUBWORDS)
def test_other_subwords_are_refused(null_bundle: Path, subwords: list[str], message: str) -> None:
    write(null_bundle, subwords)

    with pytest.raises(BundleError, match=message):
        open_bundle(null_bundle)


def _second(**values: object) -> Callable[[Document], None]:
    return lambda document: document["asr"]["second_pass"].update(values)


def _tensor(graph: str, side: str, name: str, /, **to: object) -> Callable[[Document], None]:
    def edit(document: Document) -> None:
        for tensor in document["graphs"][graph][side]:
            if tensor["name"] == name:
                tensor.update(to)

    return edit


REFUSED = [
    (_second(end=5), r"asr.second_pass.end: found 5, expected a token, 0 to 4"),
    (_second(prompt=[9]), r"asr.second_pass.prompt: found 9, expected a token, 0 to 4"),
    (_second(prompt=[]), r"asr.second_pass.prompt: found no token, expected one at least"),
    (_second(subwords="words.txt"), r"asr.second_pass.subwords: found words.txt, expected a file"),
    (lambda d: d["graphs"].pop("asr_memory"), r"graphs.asr_memory: found nothing, expected exac"),
    (lambda d: d["asr"].pop("second_pass"), r"graphs.asr_decoder: found an unknown graph"),
    (_tensor("asr_memory", "inputs", "latents", shape=[1, 2, 17]), r"latents float32\[1, 2, 16\]"),
    (_tensor("asr_memory", "inputs", "steps", shape=[1, 3]), r"steps float32\[1, 2\]"),
    (_tensor("asr_memory", "inputs", "steps", name="at"), r"found nothing, expected steps"),
    (_tensor("asr_memory", "outputs", "key_memory_0", shape=[1, 2, 3, 8]), r"float32\[1, H, 2, D"),
    (_tensor("asr_memory", "outputs", "key_memory_0", shape=[2]), r"float32\[1, H, 2, D\]"),
    (_tensor("asr_decoder", "inputs", "key_memory_0", shape=[1, 2, 9, 8]), r"\[1, 2, 8, 8\]"),
    (_tensor("asr_decoder", "inputs", "token", name="word"), r"found nothing, expected token"),
    (_tensor("asr_decoder", "outputs", "logprobs", name="x"), r"found nothing, expected logprobs"),
    (_tensor("asr_decoder", "outputs", "logprobs", shape=[]), r"logprobs float32\[1, subwords\]"),
    (lambda d: d["graphs"]["asr_decoder"]["state"].pop("valid"), r"valid float32\[1, T\], which"),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_other_manifests_are_refused(
    null_bundle: Path, edit: Callable[[Document], None], message: str
) -> None:
    write(null_bundle, SUBWORDS, edit)

    with pytest.raises(BundleError, match=message):
        check_contract(open_bundle(null_bundle).manifest)


def test_a_subword_may_not_be_long(null_bundle: Path) -> None:
    write(null_bundle, ["x" * (1 << 20), *SUBWORDS[1:]])

    with pytest.raises(BundleError, match=r"subwords.txt: found more than 1 MiB"):
        open_bundle(null_bundle)


def test_parse_takes_null(null_bundle: Path) -> None:
    document = json.loads((null_bundle / "manifest.json").read_bytes())
    document["asr"]["second_pass"] = None
    assert parse(json.dumps(document).encode()).asr.second_pass is None
