"""The manifest of a bundle: its fields, a strict parser and a deterministic writer.

docs/bundle.md is the specification. Knows nothing of folders: `bundle.py` compares the manifest
with the files beside it.
"""

import json
import math
from dataclasses import asdict, dataclass
from typing import Annotated

from echo_edge.manifest_json import (
    Rule,
    between,
    convert,
    dotted,
    matching,
    one_of,
    read_json,
    refusal,
    shown,
)

BUNDLE_SCHEMA = "echo-edge.bundle/1"
MAX_MANIFEST_BYTES = 1 << 20
ENGINE_NAMES = ("onnx", "tflite", "executorch", "null")
GRAPH_NAMES = ("frontend", "encoder", "diarization", "speaker", "asr", "separation")
UNLISTED_FILES = ("manifest.json", "SIGNATURE")
"""The only files of a bundle that its manifest does not list."""

_PART = r"(?!\.)(?![^/]*\.\.)[A-Za-z0-9._-]{1,100}"

Count = Annotated[int, between(1, 10_000_000)]
Index = Annotated[int, between(0, 2**31 - 1)]
Size = Annotated[int, between(0, 2**30)]
Name = Annotated[str, matching(r"\w[\w.+-]{0,99}", "1 to 100 of A-Z a-z 0-9 _ . + -")]
Version = Annotated[str, matching(r"\d{1,5}(\.\d{1,5}){2}", "three numbers such as 1.0.0")]
Sha256 = Annotated[str, matching(r"[0-9a-f]{64}", "64 lowercase hexadecimal digits")]
FileName = Annotated[
    str,
    matching(
        f"({_PART}/)?{_PART}",
        "a file name of A-Z a-z 0-9 . _ -, in at most one folder, with no '..' or leading dot",
    ),
]
Shape = Annotated[
    tuple[Count, ...],
    Rule(
        "at most 8 dimensions and 10000000 elements",
        lambda shape: len(shape) <= 8 and math.prod(shape) <= 10_000_000,
    ),
]


@dataclass(frozen=True)
class EngineSpec:
    """The engine that runs the graphs."""

    name: Annotated[str, one_of(*ENGINE_NAMES)]
    minimum_version: Annotated[str, matching(r"\d{1,5}(\.\d{1,5}){0,3}", "numbers such as 1.23.2")]


@dataclass(frozen=True)
class AudioSpec:
    """What the frontend takes."""

    sample_rate: Annotated[int, one_of(16000)]
    chunk_samples: Count
    spectrum_hop_samples: Count


@dataclass(frozen=True)
class StreamingSpec:
    """One call of the encoder: `chunk_steps` steps of `step_samples` samples each."""

    chunk_steps: Count
    step_samples: Count
    left_context_steps: Index


@dataclass(frozen=True)
class DiarizationSpec:
    """What the diarization graph takes and says."""

    window_steps: Count
    hop_steps: Count
    powerset: tuple[tuple[Annotated[int, between(0, 15)], ...], ...]
    """Per class, the local speakers that are active; class 0 is silence."""
    embedding_dim: Count


@dataclass(frozen=True)
class AsrSpec:
    """How transcribed characters are numbered and timed."""

    tokens: FileName
    blank: Annotated[int, one_of(0)]
    frames_per_step: Annotated[int, between(1, 64)]


@dataclass(frozen=True)
class SeparationSpec:
    """How many voices a chunk is separated into, and how far chunks overlap."""

    max_sources: Annotated[int, between(1, 16)]
    overlap_samples: Index


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a graph; its shape is fixed."""

    name: str
    shape: Shape
    dtype: Annotated[str, one_of("float32", "int64")]


@dataclass(frozen=True)
class GraphSpec:
    """One graph file and how to call it."""

    file: FileName
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    state: dict[str, str]
    """Input name -> name of the output that carries it to the next call."""


@dataclass(frozen=True)
class FileSpec:
    """What a file of the bundle must be, byte for byte."""

    sha256: Sha256
    size_bytes: Size


@dataclass(frozen=True)
class SourceSpec:
    """Where the weights come from and what converted them."""

    checkpoint_sha256: Sha256
    checkpoint_step: Index
    toolchain: dict[Name, str]


@dataclass(frozen=True)
class Manifest:
    """Everything a bundle says about itself; docs/bundle.md explains each key."""

    schema: str
    name: Name
    version: Name
    build: Index
    minimum_runtime: Version
    engine: EngineSpec
    recipe: Name
    audio: AudioSpec
    streaming: StreamingSpec
    diarization: DiarizationSpec
    decoding: dict[Name, float]
    asr: AsrSpec
    separation: SeparationSpec
    graphs: dict[str, GraphSpec]
    files: dict[FileName, FileSpec]
    source: SourceSpec
    parity: dict[Name, float]
    metrics: dict[Name, float]
    boards: tuple[str, ...]


def parse(text: bytes) -> Manifest:
    """Return the manifest that `text`, the bytes of a manifest.json, spells out.

    Raises BundleError, naming the key, for anything that docs/bundle.md does not allow.
    """
    if len(text) > MAX_MANIFEST_BYTES:
        raise refusal("", f"{len(text)} bytes", f"at most {MAX_MANIFEST_BYTES}")
    document = read_json(text)
    schema = document.get("schema") if isinstance(document, dict) else BUNDLE_SCHEMA
    if schema != BUNDLE_SCHEMA:  # first of all, because another schema has other keys
        raise refusal("schema", shown(schema), f"{BUNDLE_SCHEMA}: install a matching echo-edge")
    manifest: Manifest = convert(document, Manifest, "")
    _check_numbers(manifest)
    _check_files(manifest)
    for name, graph in manifest.graphs.items():
        _check_graph(graph, f"graphs.{name}")
    return manifest


def dump(manifest: Manifest) -> bytes:
    """Return the bytes of a manifest.json, equal for equal manifests, that `parse` accepts.

    Raises BundleError, as `parse` does, for a manifest that breaks a rule.
    """
    return _encode(parse(_encode(manifest)))


def _encode(manifest: Manifest) -> bytes:
    return json.dumps(asdict(manifest), sort_keys=True, indent=1).encode() + b"\n"


def _check_numbers(manifest: Manifest) -> None:
    streaming, diarization = manifest.streaming, manifest.diarization
    chunk_samples = streaming.chunk_steps * streaming.step_samples
    if manifest.audio.chunk_samples != chunk_samples:
        expected = f"{chunk_samples}, streaming.chunk_steps x streaming.step_samples"
        raise refusal("audio.chunk_samples", str(manifest.audio.chunk_samples), expected)
    if diarization.hop_steps > diarization.window_steps:
        expected = f"at most window_steps, {diarization.window_steps}"
        raise refusal("diarization.hop_steps", str(diarization.hop_steps), expected)
    powerset = diarization.powerset
    if not powerset or powerset[0]:
        found = str(list(powerset[0])) if powerset else "nothing"
        raise refusal("diarization.powerset[0]", found, "[], the class of silence")
    speakers = {speaker for active in powerset for speaker in active}
    ordered = all(list(active) == sorted(set(active)) for active in powerset)
    if (
        not ordered
        or len(set(powerset)) < len(powerset)
        or max(speakers, default=-1) >= len(speakers)
    ):
        expected = "distinct classes of ascending speakers numbered from 0 without a gap"
        raise refusal("diarization.powerset", "other classes", expected)


def _check_files(manifest: Manifest) -> None:
    for name in UNLISTED_FILES:
        if name in manifest.files:
            raise refusal(f"files.{name}", "a file that cannot list itself", "it to be left out")
    for name in sorted(manifest.graphs.keys() ^ set(GRAPH_NAMES)):
        found = "an unknown graph" if name in manifest.graphs else "nothing"
        raise refusal(dotted("graphs", name), found, f"exactly {', '.join(GRAPH_NAMES)}")
    users = {f"graphs.{name}.file": graph.file for name, graph in manifest.graphs.items()}
    for key, file in {"asr.tokens": manifest.asr.tokens, **users}.items():
        if file not in manifest.files:
            raise refusal(key, file, "a file listed in files")


def _check_graph(graph: GraphSpec, key: str) -> None:
    inputs = {tensor.name: tensor for tensor in graph.inputs}
    outputs = {tensor.name: tensor for tensor in graph.outputs}
    for side, tensors, table in (
        ("inputs", graph.inputs, inputs),
        ("outputs", graph.outputs, outputs),
    ):
        if not tensors or len(table) < len(tensors):
            raise refusal(f"{key}.{side}", "none or a name twice", "tensors of distinct names")
    for name, source in graph.state.items():
        before, after = inputs.get(name), outputs.get(source)
        if before is None or after is None:
            found = f"{shown(name)} from {shown(source)}"
            raise refusal(f"{key}.state", found, "an input name and an output name of this graph")
        if (before.shape, before.dtype) != (after.shape, after.dtype):
            found = f"{after.dtype}{list(after.shape)} for {shown(name)}"
            raise refusal(f"{key}.state", found, f"{before.dtype}{list(before.shape)}")
