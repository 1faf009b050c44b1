"""The tensors of the graphs that decoders need: "The graphs" of docs/reference/bundle.md."""

from collections.abc import Mapping

from echo_edge.bundle.manifest import SECOND_PASS_GRAPHS, GraphSpec, Manifest, TensorSpec
from echo_edge.errors import BundleError

HEADS = ("diarization", "speaker", "asr", "separation")

Size = int | str
"""A number, or the name of one that is the same wherever it stands."""
Tensors = dict[str, tuple[Size, ...]]


def check_declared(
    name: str, found: Mapping[str, dict[str, TensorSpec]], spec: GraphSpec, rule: str
) -> None:
    """Raise BundleError with `rule` unless the tensors that a graph's file `name` declares, by side
    (`inputs`, `outputs`) and name, are those of the manifest."""
    for side, tensors in found.items():
        declared = {t.name: t for t in (spec.inputs if side == "inputs" else spec.outputs)}
        if tensors != declared:
            raise BundleError(
                f"{name}: {side}: found {_difference(tensors, declared)}, as manifest.json says: "
                "export the bundle again",
                rule,
            )


def _difference(found: dict[str, TensorSpec], expected: dict[str, TensorSpec]) -> str:
    """The first tensor that differs: found and expected."""
    name = min(n for n in found.keys() | expected if found.get(n) != expected.get(n))
    return f"{_shown(found.get(name))}, expected {_shown(expected.get(name))}"


def _shown(tensor: TensorSpec | None) -> str:
    if tensor is None:
        return "nothing"
    return f"{tensor.name[:60]!r} {tensor.dtype}{list(tensor.shape)[:9]}"


def check_contract(manifest: Manifest) -> None:
    """Raise BundleError unless each graph has the inputs and outputs that the decoders use."""
    sizes: dict[str, int] = {}
    for name, (inputs, outputs) in _contract(manifest).items():
        graph = manifest.graphs[name]
        carried = set(graph.state)
        fed = [tensor for tensor in graph.inputs if tensor.name not in carried]
        for tensor in fed:
            if tensor.name not in inputs:
                _refuse(f"{name}.inputs", tensor, f"one of {', '.join(inputs)}, or state")
        for side, tensors, wanted in (("inputs", fed, inputs), ("outputs", graph.outputs, outputs)):
            there = {tensor.name: tensor for tensor in tensors}
            for key, shape in wanted.items():
                _check(f"{name}.{side}", key, there.get(key), shape, sizes)
        _check_state(name, graph)
    if manifest.asr.second_pass is not None:
        _check_second_pass(manifest, sizes)


def _check_second_pass(manifest: Manifest, sizes: dict[str, int]) -> None:
    """The memory that one graph makes is the one that the other reads, layer by layer."""
    maker, reader = (manifest.graphs[name] for name in SECOND_PASS_GRAPHS)
    steps = manifest.streaming.chunk_steps
    fed = {tensor.name: tensor for tensor in maker.inputs}
    _check("asr_memory.inputs", "latents", fed.get("latents"), (1, steps, "d"), sizes)
    _check("asr_memory.inputs", "steps", fed.get("steps"), (1, steps), sizes)
    there = {tensor.name: tensor for tensor in reader.inputs}
    fixed: Tensors = {"token": (1, 1), "place": (1, 1), "memory_valid": (1, "memory")}
    for name, shape in fixed.items():
        _check("asr_decoder.inputs", name, there.get(name), shape, sizes)
    for tensor in maker.outputs:
        heads, width = (tensor.shape[1], tensor.shape[3]) if len(tensor.shape) == 4 else (0, 0)
        if tensor.shape != (1, heads, steps, width):
            _refuse("asr_memory.outputs", tensor, f"{tensor.name} float32[1, H, {steps}, D]")
        known = there.get(tensor.name)
        _check("asr_decoder.inputs", tensor.name, known, (1, heads, "memory", width), sizes)
    valid = there.get("valid")
    if "valid" not in reader.state or valid is None or len(valid.shape) != 2:
        _refuse("asr_decoder.inputs", valid, "valid float32[1, T], which is state")
    said = {tensor.name: tensor for tensor in reader.outputs}
    _check("asr_decoder.outputs", "logprobs", said.get("logprobs"), (1, "subwords"), sizes)
    known_names = {"token", "place", "memory_valid", *(t.name for t in maker.outputs)}
    for name, graph, named in (
        ("asr_memory", maker, {"latents", "steps"}), ("asr_decoder", reader, known_names),
    ):  # fmt: skip
        for tensor in graph.inputs:
            if tensor.name not in named | set(graph.state):
                _refuse(f"{name}.inputs", tensor, f"one of {', '.join(sorted(named))}, or state")
        _check_state(name, graph)


def _check_state(name: str, graph: GraphSpec) -> None:
    for tensor in graph.inputs:
        if tensor.dtype != "float32":
            _refuse(f"{name}.inputs", tensor, "float32, as all audio and all state")


def _check(
    where: str,
    name: str,
    tensor: TensorSpec | None,
    shape: tuple[Size, ...],
    sizes: dict[str, int],
) -> None:
    """Compare with `shape`; a name in it takes its value from where it is met first."""
    if tensor is not None:
        for size, found in zip(shape, tensor.shape, strict=False):
            if isinstance(size, str):
                sizes.setdefault(size, found)
    expected = [sizes.get(size, size) if isinstance(size, str) else size for size in shape]
    if tensor is None or tensor.dtype != "float32" or list(tensor.shape) != expected:
        _refuse(where, tensor, f"{name} float32[{', '.join(map(str, expected))}]")


def _refuse(where: str, tensor: TensorSpec | None, expected: str) -> None:
    found = f"{tensor.name[:60]} {tensor.dtype}{list(tensor.shape)}" if tensor else "nothing"
    raise BundleError(
        f"manifest.json: graphs.{where}: found {found}, expected {expected}: export it again",
        "graph-tensors",
    )


def _contract(manifest: Manifest) -> dict[str, tuple[Tensors, Tensors]]:
    """Graph -> inputs besides state, outputs besides state."""
    chunk = manifest.audio.chunk_samples
    steps, window = manifest.streaming.chunk_steps, manifest.diarization.window_steps
    frames = chunk // manifest.audio.spectrum_hop_samples
    powerset = manifest.diarization.powerset
    n_local = len({speaker for active in powerset for speaker in active})
    features: Tensors = {"features": (1, frames, 80)}
    spectrum: Tensors = {"spectrum": (1, frames, 257, 2)}
    latents: Tensors = {"latents": (1, steps, "d")}
    embedding, n_sources = manifest.diarization.embedding_dim, manifest.separation.max_sources
    logprobs: Tensors = {"logprobs": (1, steps * manifest.asr.frames_per_step, "tokens")}
    phones: Tensors = {"phones": (1, steps * manifest.asr.frames_per_step, "phones")}
    mixes: Tensors = {f"latents_{head}": (1, steps, "d") for head in HEADS}
    voices: Tensors = {"voices": (1, n_sources, embedding)}
    sources: Tensors = {
        "sources": (n_sources, chunk + manifest.separation.overlap_samples),
        "presence": (n_sources,),
    }
    windows: Tensors = {"latents": (1, window, "d")}
    return {
        "frontend": ({"pcm": (1, chunk)}, features | spectrum),
        "encoder": (features, latents | mixes),
        "asr": (latents, logprobs | (phones if manifest.asr.language_model else {})),
        "separation": (latents | features | spectrum | voices, sources),
        "diarization": (
            windows | {"valid": (1, window)},
            {"logprobs": (1, window, len(powerset))},
        ),
        "speaker": (
            windows | {"weights": (1, n_local, window)},
            {"embeddings": (1, n_local, embedding)},
        ),
    }
