import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_edge.bundle.manifest import (
    GRAPH_NAMES,
    AsrSpec,
    AudioSpec,
    DiarizationSpec,
    EngineSpec,
    FileSpec,
    GraphSpec,
    Manifest,
    SeparationSpec,
    SourceSpec,
    StreamingSpec,
    TensorSpec,
    dump,
    parse,
)
from echo_edge.errors import BundleError
from tests.conftest import DECODING

Document = dict[str, Any]


@pytest.fixture
def document(tiny_bundle: Path) -> Document:
    loaded: Document = json.loads((tiny_bundle / "manifest.json").read_bytes())
    return loaded


def _set(dotted: str, value: object) -> Callable[[Document], None]:
    """Return an edit that sets the value at a `/`-separated path."""

    def edit(document: Document) -> None:
        *parents, last = dotted.split("/")
        target: Any = document
        for name in parents:
            target = target[int(name) if isinstance(target, list) else name]
        target[int(last) if isinstance(target, list) else last] = value

    return edit


def _delete(dotted: str) -> Callable[[Document], None]:
    def edit(document: Document) -> None:
        *parents, last = dotted.split("/")
        target = document
        for name in parents:
            target = target[name]
        del target[last]

    return edit


SHA = "a" * 64
REFUSED = [
    ("schema: found", _set("schema", "echo-edge.bundle/2")),
    ("schema: found null", _set("schema", None)),
    ("extra: found an unknown key, expected one of schema,", _set("extra", 1)),
    ("audio.n_mel: found an unknown key, expected one of sample_rate", _set("audio/n_mel", 80)),
    ("recipe: found nothing", _delete("recipe")),
    ("audio.sample_rate: found nothing", _delete("audio/sample_rate")),
    ("name: found 3, expected a string", _set("name", 3)),
    ("name: found", _set("name", "../up")),
    ("name: found", _set("name", "-rf")),
    ("version: found", _set("version", "")),
    ("build: found true, expected an integer", _set("build", True)),
    ("build: found 1.0, expected an integer", _set("build", 1.0)),
    ("build: found -1, expected an integer from 0", _set("build", -1)),
    ("build: found NaN, expected an integer", _set("build", math.nan)),
    ("minimum_runtime: found", _set("minimum_runtime", "1.0")),
    ("minimum_runtime: found", _set("minimum_runtime", "1.0.x")),
    ("minimum_runtime: found", _set("minimum_runtime", "1.0.٣")),
    ('engine.name: found "torch", expected onnx or tflite', _set("engine/name", "torch")),
    ("engine.minimum_version: found", _set("engine/minimum_version", "new")),
    ("engine: found a list, expected an object", _set("engine", [])),
    ("audio.sample_rate: found 8000, expected 16000", _set("audio/sample_rate", 8000)),
    ("audio.chunk_samples: found 1281, expected 1280", _set("audio/chunk_samples", 1281)),
    ("streaming.chunk_steps: found 0", _set("streaming/chunk_steps", 0)),
    ("streaming.chunk_steps: found 1000", _set("streaming/chunk_steps", 10**30)),
    ("diarization.hop_steps: found 9, expected at most", _set("diarization/hop_steps", 9)),
    ("diarization.powerset[0]: found nothing", _set("diarization/powerset", [])),
    ("diarization.powerset[0]: found [0]", _set("diarization/powerset", [[0], []])),
    ("diarization.powerset: found other", _set("diarization/powerset", [[], [1]])),
    ("diarization.powerset: found other", _set("diarization/powerset", [[], [0], [0]])),
    ("diarization.powerset: found other", _set("diarization/powerset", [[], [0], [1], [1, 0]])),
    ("diarization.powerset[1][0]: found -1", _set("diarization/powerset", [[], [-1]])),
    ("diarization.powerset[1]: found 0, expected a list", _set("diarization/powerset", [[], 0])),
    ("decoding.gap_s: found NaN, expected a finite", _set("decoding/gap_s", math.nan)),
    ("decoding.gap_s: found Infinity", _set("decoding/gap_s", math.inf)),
    ("decoding.gap_s: found true", _set("decoding/gap_s", True)),
    ("decoding.gap_s: found 1000", _set("decoding/gap_s", 10**400)),
    ('decoding.gap_s: found "1"', _set("decoding/gap_s", "1")),
    ("decoding.gap_s: found -1, expected a number from 0 to 60", _set("decoding/gap_s", -1)),
    ("decoding.beam_width: found 0, expected an integer from 1", _set("decoding/beam_width", 0)),
    ("decoding.beam_width: found 64.0, expected an int", _set("decoding/beam_width", 64.0)),
    ("decoding.pause_s: found an unknown key", _set("decoding/pause_s", 1)),
    ("asr.blank: found 1, expected 0", _set("asr/blank", 1)),
    ("asr.tokens: found", _set("asr/tokens", "words.txt")),
    ("asr.language_model: found", _set("asr/language_model", "words.npz")),
    ("asr.language_model: found", _set("asr/language_model", "../words.npz")),
    ("separation.max_sources: found 0", _set("separation/max_sources", 0)),
    ("graphs.asr: found nothing", _delete("graphs/asr")),
    ("graphs.vad: found an unknown graph", lambda d: d["graphs"].update(vad=d["graphs"]["asr"])),
    ("graphs.asr.file: found", _set("graphs/asr/file", "other.null")),
    ("graphs.asr.inputs: found none or", _set("graphs/asr/inputs", [])),
    (
        "graphs.separation.inputs: found none or a name twice",
        _set("graphs/separation/inputs/0/name", "spectrum"),
    ),
    ("graphs.asr.inputs[0].dtype: found", _set("graphs/asr/inputs/0/dtype", "int8")),
    ("graphs.asr.inputs[0].shape[1]: found 0", _set("graphs/asr/inputs/0/shape", [1, 0])),
    ("graphs.asr.inputs[0].shape: found a list", _set("graphs/asr/inputs/0/shape", [10**7, 2])),
    ("graphs.asr.inputs[0].shape: found a list", _set("graphs/asr/inputs/0/shape", [1] * 9)),
    ("graphs.asr.inputs[0].name: found", _set("graphs/asr/inputs/0/name", "a\nb")),
    ("graphs.asr.inputs[0].name: found", _set("graphs/asr/inputs/0/name", "\ud800")),
    ("graphs.asr.inputs[0].name: found", _set("graphs/asr/inputs/0/name", "a" * 201)),
    ("graphs.encoder.state: found", _set("graphs/encoder/state", {"nothing": "new_cache"})),
    ("graphs.encoder.state: found", _set("graphs/encoder/state", {"cache": "nothing"})),
    (
        "graphs.encoder.state: found float32[1, 2, 16]",
        _set("graphs/encoder/state", {"cache": "latents"}),
    ),
    (
        "files.manifest.json: found a file that",
        lambda d: d["files"].update({"manifest.json": d["files"]["tokens.txt"]}),
    ),
    ("files.x.sha256: found", _set("files/x", {"sha256": SHA.upper(), "size_bytes": 1})),
    ("files.x.sha256: found", _set("files/x", {"sha256": SHA[1:], "size_bytes": 1})),
    ("files.x.size_bytes: found -1", _set("files/x", {"sha256": SHA, "size_bytes": -1})),
    ("files.x.size_bytes: found", _set("files/x", {"sha256": SHA, "size_bytes": 2**40})),
    ("source.checkpoint_step: found null", _set("source/checkpoint_step", None)),
    ("source.toolchain.torch: found 2", _set("source/toolchain/torch", 2)),
    ("boards[0]: found 5", _set("boards", [5])),
    ("boards: found an object, expected a list", _set("boards", {})),
]


@pytest.mark.parametrize(
    ("message", "edit"),
    REFUSED,
    ids=[f"{i}-{message[:40]}" for i, (message, _) in enumerate(REFUSED)],
)
def test_refuses(document: Document, message: str, edit: Callable[[Document], None]) -> None:
    edit(document)

    with pytest.raises(BundleError) as caught:
        parse(json.dumps(document).encode())

    assert str(caught.value).startswith(f"manifest.json: {message}")
    assert "\n" not in str(caught.value)


BAD_FILE_NAMES = ["", ".", "..", "../a", "a/../b", "/a", "a/", ".a", "a/.b", "a/b/c", "a\\b", "a b",
                  "a..b", "é", "a\n", "x" * 101]  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILE_NAMES, ids=repr)
def test_refuses_file_name(document: Document, name: str) -> None:
    document["files"][name] = document["files"]["tokens.txt"]

    with pytest.raises(BundleError, match=r"expected a (file name of|string of up to 200)"):
        parse(json.dumps(document).encode())


@pytest.mark.parametrize("name", ["a", "A-b_c.1", "selftest/a.wav", "a.b/c", "-a", "x" * 100])
def test_accepts_file_name(document: Document, name: str) -> None:
    document["files"][name] = document["files"]["tokens.txt"]

    assert name in parse(json.dumps(document).encode()).files


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "no JSON in UTF-8"),
        (b"{", "no JSON in UTF-8"),
        (b"\xff{}", "no JSON in UTF-8"),
        ("{}".encode("utf-16"), "no JSON in UTF-8"),
        (b"\xef\xbb\xbf{}", "no JSON in UTF-8"),
        (b"[]", "a list, expected an object"),
        (b"null", "null, expected an object"),
        (b"[" * 1_000_000, "deeply nested values"),
        (b'{"a":' * 150_000, "deeply nested values"),
        (b"1" * 5000, "no JSON in UTF-8"),
        (b" " * ((1 << 20) + 1), "1048577 bytes, expected at most 1048576"),
        (b'{"name": 1, "name": 2}', "this key twice"),
        (b'{"a": {"b\\n": 1, "b\\n": 1}}', "this key twice"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_refuses_text(text: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message) as caught:
        parse(text)

    assert "\n" not in str(caught.value)


def test_parses_what_the_fields_say(tiny_bundle: Path) -> None:
    manifest = parse((tiny_bundle / "manifest.json").read_bytes())

    assert tuple(sorted(manifest.graphs)) == tuple(sorted(GRAPH_NAMES))
    assert manifest.diarization.powerset == ((), (0,), (1,), (0, 1))
    assert manifest.graphs["encoder"].state == {"cache": "new_cache"}
    assert manifest.graphs["encoder"].inputs[1] == TensorSpec("cache", (1, 4, 16), "float32")


def test_integers_are_numbers(document: Document) -> None:
    document["metrics"]["der"] = 1

    value = parse(json.dumps(document).encode()).metrics["der"]

    assert isinstance(value, float)


def test_dump_is_deterministic_and_readable(document: Document, tiny_bundle: Path) -> None:
    written = (tiny_bundle / "manifest.json").read_bytes()
    shuffled = dict(reversed(document.items()))

    assert dump(parse(json.dumps(shuffled).encode())) == written
    assert written.endswith(b"}\n")
    assert written.startswith(b'{\n "asr": {')


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_dump_refuses_what_is_not_finite(tiny_bundle: Path, value: float) -> None:
    manifest = parse((tiny_bundle / "manifest.json").read_bytes())

    with pytest.raises(BundleError, match=r"metrics.der: found -?(NaN|Infinity)"):
        dump(replace(manifest, metrics={"der": value}))


names = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9_.+-]{0,20}", fullmatch=True)
file_names = st.from_regex(r"(sub/)?[a-z][a-z0-9_-]{0,10}\.[a-z]{1,4}", fullmatch=True)
shas = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
numbers = st.dictionaries(names, st.floats(-1e300, 1e300), max_size=3)
counts = st.integers(1, 3000)
tensors = st.builds(
    TensorSpec,
    st.text("ab:/é", min_size=1),
    st.lists(st.integers(1, 7), max_size=8).map(tuple),
    st.sampled_from(["float32", "int64"]),
)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    files = draw(st.dictionaries(file_names, st.builds(FileSpec, shas, counts), min_size=1))
    listed = st.sampled_from(sorted(files))
    some_tensors = st.lists(tensors, min_size=1, max_size=3, unique_by=lambda each: each.name)
    graph = st.builds(
        GraphSpec, listed, some_tensors.map(tuple), some_tensors.map(tuple), st.just({})
    )
    steps, step_samples, window = draw(counts), draw(counts), draw(counts)
    return Manifest(
        schema="echo-edge.bundle/1",
        name=draw(names),
        version=draw(names),
        build=draw(st.integers(0, 2**31 - 1)),
        minimum_runtime="0.1.0",
        engine=EngineSpec(draw(st.sampled_from(["onnx", "tflite", "executorch", "null"])), "1.2"),
        recipe=draw(names),
        audio=AudioSpec(16000, steps * step_samples, draw(counts)),
        streaming=StreamingSpec(steps, step_samples, draw(st.integers(0, 100))),
        diarization=DiarizationSpec(window, window, ((), (0,)), draw(counts)),
        decoding=replace(
            DECODING, gap_s=draw(st.floats(0, 60)), beam_width=draw(st.integers(1, 256))
        ),
        asr=AsrSpec(draw(listed), 0, 2, draw(st.just("") | listed)),
        separation=SeparationSpec(3, 0),
        graphs={name: draw(graph) for name in GRAPH_NAMES},
        files=files,
        source=SourceSpec(draw(shas), draw(counts), {"torch": "2.13.0+cpu"}),
        parity=draw(numbers),
        metrics=draw(numbers),
        boards=("Raspberry Pi 5", "é"),
    )


@settings(max_examples=30)
@given(manifests())
def test_round_trip(manifest: Manifest) -> None:
    assert parse(dump(manifest)) == manifest


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_any_json_is_refused_in_one_line(value: object) -> None:
    with pytest.raises(BundleError) as caught:
        parse(json.dumps(value).encode())

    assert str(caught.value).isprintable()
