"""The manifest of a bundle: its fields, a strict parser and a deterministic writer.

docs/reference/bundle.md is the specification. Knows nothing of folders: `verify.py` compares the
manifest with the files beside it.
"""

import json
import math
from dataclasses import asdict, dataclass
from typing import Annotated

from echo_edge.bundle.decoding import DecodingSpec
from echo_edge.bundle.types import (
    MAX_ELEMENTS,
    Count,
    FileName,
    Index,
    Name,
    OptionalFileName,
    Sha256,
    Shape,
    Size,
    Version,
    as_bundle_error,
    refusal,
)
from echo_edge.strict_json import between, convert, dotted, matching, one_of, read_json, shown

BUNDLE_SCHEMA = "echo-edge.bundle/1"
_FILE = "manifest.json: "
MAX_MANIFEST_BYTES = 1 << 20
MAX_FILES = 200
MAX_BYTES = 1 << 31
"""Of all listed files together."""
ENGINE_NAMES = ("onnx", "tflite", "executorch", "null")
GRAPH_NAMES = ("frontend", "encoder", "diarization", "speaker", "asr", "separation")
SECOND_PASS_GRAPHS = ("asr_memory", "asr_decoder")
"""Besides, where the manifest names a second pass of words."""
UNLISTED_FILES = ("manifest.json", "SIGNATURE")
"""The only files of a bundle that its manifest does not list."""


@dataclass(frozen=True)
class EngineSpec:
    """The engine that runs the graphs."""

    name: Annotated[str, one_of(*ENGINE_NAMES)]
    minimum_version: Annotated[str, matching(r"\d{1,5}(\.\d{1,5}){0,3}", "numbers such as 1.23.2")]


@dataclass(frozen=True)
class AudioSpec:
    """Input of the frontend."""

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
    """Input and output of the diarization graph."""

    window_steps: Count
    hop_steps: Count
    powerset: tuple[tuple[Annotated[int, between(0, 15)], ...], ...]
    """Per class, the local speakers that are active; class 0 is silence."""
    embedding_dim: Count


@dataclass(frozen=True)
class SecondPassSpec:
    """How the text decoder of the second pass is asked, and what its tokens mean."""

    subwords: FileName
    prompt: tuple[Index, ...]
    """Tokens that every text begins with."""
    end: Index
    """Token after the last one of a text."""


@dataclass(frozen=True)
class AsrSpec:
    """How transcribed characters are numbered and timed."""

    tokens: FileName
    blank: Annotated[int, one_of(0)]
    frames_per_step: Annotated[int, between(1, 64)]
    language_model: OptionalFileName
    """Empty for none."""
    second_pass: SecondPassSpec | None = None


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
    """Hash and size of a file of the bundle."""

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
    """Everything a bundle says about itself; docs/reference/bundle.md explains each key."""

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
    decoding: DecodingSpec
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

    Raises BundleError, naming the key, for anything that docs/reference/bundle.md does not allow.
    """
    if len(text) > MAX_MANIFEST_BYTES:
        raise refusal(_FILE, f"{len(text)} bytes", f"at most {MAX_MANIFEST_BYTES}", "manifest-size")
    with as_bundle_error():
        document = read_json(text, "manifest.json")
    schema = document.get("schema") if isinstance(document, dict) else BUNDLE_SCHEMA
    if schema != BUNDLE_SCHEMA:  # first of all, because another schema has other keys
        expected = f"{BUNDLE_SCHEMA}: install a matching echo-edge"
        raise refusal(f"{_FILE}schema", shown(schema), expected, "schema")
    with as_bundle_error():
        manifest: Manifest = convert(document, Manifest, _FILE)
    _check_numbers(manifest)
    _check_listing(manifest)
    _check_files(manifest)
    for name, graph in manifest.graphs.items():
        _check_graph(graph, f"{_FILE}graphs.{name}")
    _check_state_size(manifest)
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
        found = str(manifest.audio.chunk_samples)
        raise refusal(f"{_FILE}audio.chunk_samples", found, expected, "chunk")
    if diarization.hop_steps > diarization.window_steps:
        found = str(diarization.hop_steps)
        expected = f"at most window_steps, {diarization.window_steps}"
        raise refusal(f"{_FILE}diarization.hop_steps", found, expected, "hop")
    powerset = diarization.powerset
    if not powerset or powerset[0]:
        found = str(list(powerset[0])) if powerset else "nothing"
        expected = "[], the class of silence"
        raise refusal(f"{_FILE}diarization.powerset[0]", found, expected, "powerset")
    speakers = {speaker for active in powerset for speaker in active}
    ordered = all(list(active) == sorted(set(active)) for active in powerset)
    distinct = len(set(powerset)) == len(powerset)
    if not (ordered and distinct) or max(speakers, default=-1) >= len(speakers):
        expected = "distinct classes of ascending speakers numbered from 0 without a gap"
        raise refusal(f"{_FILE}diarization.powerset", "other classes", expected, "powerset")


def _check_files(manifest: Manifest) -> None:
    for name in UNLISTED_FILES:
        if name in manifest.files:
            found = "a file that cannot list itself"
            raise refusal(f"{_FILE}files.{name}", found, "it to be left out", "unlisted")
    second = manifest.asr.second_pass
    names = GRAPH_NAMES if second is None else (*GRAPH_NAMES, *SECOND_PASS_GRAPHS)
    for name in sorted(manifest.graphs.keys() ^ set(names)):
        found = "an unknown graph" if name in manifest.graphs else "nothing"
        expected = f"exactly {', '.join(names)}"
        raise refusal(dotted(f"{_FILE}graphs", name), found, expected, "graphs")
    users = {f"graphs.{name}.file": graph.file for name, graph in manifest.graphs.items()}
    if manifest.asr.language_model:
        users["asr.language_model"] = manifest.asr.language_model
    if second is not None:
        users["asr.second_pass.subwords"] = second.subwords
    for key, file in {"asr.tokens": manifest.asr.tokens, **users}.items():
        if file not in manifest.files:
            raise refusal(f"{_FILE}{key}", file, "a file listed in files", "unlisted-use")


def _check_listing(manifest: Manifest) -> None:
    """Refuse a listing that a small board, or one whose file system ignores case, cannot store."""
    n_files = len(manifest.files)
    if n_files > MAX_FILES:
        raise refusal(f"{_FILE}files", f"{n_files} files", f"at most {MAX_FILES}", "files-count")
    size_bytes = sum(spec.size_bytes for spec in manifest.files.values())
    if size_bytes > MAX_BYTES:
        raise refusal(f"{_FILE}files", f"{size_bytes} bytes", f"at most {MAX_BYTES}", "files-size")
    known: dict[str, str] = {name.lower(): name for name in UNLISTED_FILES}
    for name in sorted(manifest.files):
        other = known.setdefault(name.lower(), name)
        if other != name:
            expected = f"a name that differs from {other} in more than case"
            raise refusal(dotted(f"{_FILE}files", name), name, expected, "case")


def _check_state_size(manifest: Manifest) -> None:
    n_elements = sum(
        math.prod(tensor.shape)
        for graph in manifest.graphs.values()
        for tensor in graph.inputs
        if tensor.name in graph.state
    )
    if n_elements > MAX_ELEMENTS:
        found, expected = f"{n_elements} elements of state", f"at most {MAX_ELEMENTS} in all"
        raise refusal(f"{_FILE}graphs", found, expected, "state-size")


def _check_graph(graph: GraphSpec, key: str) -> None:
    inputs = {tensor.name: tensor for tensor in graph.inputs}
    outputs = {tensor.name: tensor for tensor in graph.outputs}
    sides = (("inputs", graph.inputs, inputs), ("outputs", graph.outputs, outputs))
    for side, tensors, table in sides:
        if not tensors or len(table) < len(tensors):
            expected = "tensors of distinct names"
            raise refusal(f"{key}.{side}", "none or a name twice", expected, "tensor-names")
    for name, source in graph.state.items():
        before, after = inputs.get(name), outputs.get(source)
        if before is None or after is None:
            found = f"{shown(name)} from {shown(source)}"
            expected = "an input name and an output name of this graph"
            raise refusal(f"{key}.state", found, expected, "state-names")
        if (before.shape, before.dtype) != (after.shape, after.dtype):
            found = f"{after.dtype}{list(after.shape)} for {shown(name)}"
            expected = f"{before.dtype}{list(before.shape)}"
            raise refusal(f"{key}.state", found, expected, "state-shape")
