"""Roofline of the encoder: the share of its bare products in the time of a step.

    python -m benchmarks.roofline [--bundle DIR ...] [--threads 1] [--rounds N]

For each bundle a second graph is made that holds nothing but the encoder's products with weights
(same weights, same shapes, same types, each on inputs of its own), and both run in the same engine
in the same process, in short rounds. *Share* is bare products / encoder step, of medians; that of
the quickest calls says more where others use the machine. The floor of memory is the time to read
those weights once, at the speed at which one core reads a large array here. Needs `onnx` for
bundles of that engine, which `echo-edge[export]` brings. ExecuTorch's products are inside what
XNNPACK was given whole and cannot be taken out: products of the same shapes are exported anew,
which needs all of `echo-edge[export]`. The last line of stdout is JSON.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._rounds import TimedEncoder
from benchmarks.bare_tflite import Products, write_products
from echo_edge.bench.report.table import markdown
from echo_edge.bundle.find import find_bundle
from echo_edge.bundle.manifest import GraphSpec, Manifest, TensorSpec
from echo_edge.engines import Engine, open_engine
from echo_edge.errors import EchoError, UsageError
from echo_edge.selftest import read_clip
from echo_edge.session import Session, load

PRODUCTS = ("MatMul", "Gemm", "MatMulIntegerToFloat")
ENGINES = ("onnx", "tflite", "executorch")
"""Of which the bare products can be had."""
READ_BYTES = 1 << 28
ROUNDS, ROUND_CALLS = 25, 20


@dataclass(frozen=True)
class Bare:
    """The products of an encoder and nothing else."""

    engine: Engine
    inputs: Mapping[str, NDArray[Any]]
    n_products: int
    multiply_adds: int
    """Per call."""
    weight_bytes: int

    def run(self, n_calls: int) -> list[float]:
        """Milliseconds of each call."""
        samples_ms = []
        for _ in range(n_calls):
            started = time.perf_counter()
            self.engine.run(self.inputs)
            samples_ms.append(1000 * (time.perf_counter() - started))
        return samples_ms


def bare_products(session: Session, folder: Path) -> Bare:
    """The products with weights of a bundle's encoder; `folder` is for their file."""
    bundle, threads = session.bundle, session.threads
    engine, path = bundle.manifest.engine.name, bundle.graph_path("encoder")
    if engine == "onnx":
        return _bare_onnx(path, bundle.manifest.streaming.chunk_steps, threads, folder)
    target = folder / f"bare{path.suffix}"
    if engine == "tflite":
        made = write_products(path, target)
    else:
        made = _executorch_products(bundle.manifest, target)
    opened = open_engine(engine, target, made.spec, threads)
    return Bare(opened, made.inputs, len(made.inputs), made.multiply_adds, made.weight_bytes)


def _executorch_products(manifest: Manifest, target: Path) -> Products:
    try:
        from echo_edge_export.probes import bare_executorch
    except ImportError as error:
        raise EchoError(
            f"roofline: {error.name} is not installed here, expected for an executorch bundle: "
            "pip install 'echo-edge[export]'"
        ) from error
    return Products(*bare_executorch.write_products(manifest, target))


def _bare_onnx(path: Path, steps: int, threads: int, folder: Path) -> Bare:
    try:
        import onnx
    except ImportError as error:
        raise EchoError(
            "roofline: onnx is not installed here, expected a workstation: "
            "pip install 'echo-edge[export]'"
        ) from error
    source = onnx.load(str(path)).graph
    weights = {each.name: each for each in source.initializer}
    nodes: list[Any] = []
    kept: dict[str, Any] = {}
    inputs: dict[str, NDArray[Any]] = {}
    multiply_adds = weight_bytes = 0
    for node in source.node:
        if node.op_type not in PRODUCTS or node.input[1] not in weights:
            continue
        name, weight = f"x{len(nodes)}", weights[node.input[1]]
        k, n = weight.dims
        integer = node.op_type == "MatMulIntegerToFloat"
        inputs[name] = _operand(steps, k, integer)
        node.input[0], node.output[0] = name, f"y{len(nodes)}"
        kept |= {each: weights.get(each) or _stand_in(each, at) for at, each in _parameters(node)}
        nodes.append(node)
        multiply_adds += steps * k * n
        weight_bytes += k * n * (1 if integer else 4)
    if not nodes:
        raise EchoError(f"{path.name}: found no products with weights, expected an encoder")
    bare, spec = folder / f"{path.parent.name}.bare.onnx", _graph_spec(nodes, steps)
    onnx.save(_model(nodes, inputs, list(kept.values())), str(bare))
    engine = open_engine("onnx", bare, spec, threads)
    return Bare(engine, inputs, len(nodes), multiply_adds, weight_bytes)


def _operand(rows: int, k: int, integer: bool) -> NDArray[Any]:
    generator = np.random.default_rng(k)
    if integer:
        return generator.integers(0, 256, (rows, k), np.uint8)
    return generator.standard_normal((rows, k), np.float32)


def _parameters(node: Any) -> list[tuple[int, str]]:
    """Position and name of every input but the first that is not left out."""
    return [(at, name) for at, name in enumerate(node.input) if at and name]


def _stand_in(name: str, at: int) -> Any:
    """The scale (input 2) or zero point of activations that the encoder finds while it runs."""
    from onnx import numpy_helper

    value = np.float32(0.01) if at == 2 else np.uint8(128)
    return numpy_helper.from_array(np.asarray(value), name)


def _model(nodes: Sequence[Any], inputs: Mapping[str, NDArray[Any]], weights: list[Any]) -> Any:
    from onnx import TensorProto, helper

    given = [
        helper.make_tensor_value_info(
            name,
            TensorProto.UINT8 if array.dtype == np.uint8 else TensorProto.FLOAT,
            array.shape,
        )
        for name, array in inputs.items()
    ]
    made = [helper.make_tensor_value_info(n.output[0], TensorProto.FLOAT, None) for n in nodes]
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph(nodes, "bare", given, made, weights)
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def _graph_spec(nodes: Sequence[Any], steps: int) -> GraphSpec:
    outputs = tuple(TensorSpec(node.output[0], (steps, 1), "float32") for node in nodes)
    return GraphSpec("bare.onnx", (), outputs, {})


def read_speed(rounds: int = 5) -> float:
    """Bytes per second at which one core reads an array that no cache holds."""
    array = np.ones(READ_BYTES // 4, np.float32)
    best_s = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        array.max()
        best_s = min(best_s, time.perf_counter() - started)
    return READ_BYTES / best_s


def measure(sessions: Sequence[Session], rounds: int, folder: Path) -> list[dict[str, Any]]:
    """Figures of each bundle; `rounds` of ROUND_CALLS calls each, all side by side."""
    encoders, bares, bare_ms = [], [], []
    for number, session in enumerate(sessions):
        (folder / str(number)).mkdir()
        encoders.append(TimedEncoder(session, read_clip(session.bundle)))
        bares.append(bare_products(session, folder / str(number)))
        bare_ms.append(list[float]())
    for number in range(rounds + 1):
        for encoder, bare, samples_ms in zip(encoders, bares, bare_ms, strict=True):
            encoder.run(ROUND_CALLS)
            samples_ms += bare.run(ROUND_CALLS)
            if number == 0:  # the warm-up
                encoder.samples_ms.clear()
                samples_ms.clear()
    bytes_per_s = read_speed()
    return [
        _figures(session, encoder.samples_ms, bare, samples_ms, bytes_per_s)
        for session, encoder, bare, samples_ms in zip(
            sessions, encoders, bares, bare_ms, strict=True
        )
    ]


def _figures(
    session: Session,
    encoder_ms: Sequence[float],
    bare: Bare,
    bare_ms: Sequence[float],
    bytes_per_s: float,
) -> dict[str, Any]:
    manifest = session.bundle.manifest
    step_ms, products_ms = median(encoder_ms), median(bare_ms)
    return {
        "bundle": manifest.name,
        "sha256": session.bundle.sha256,
        "engine": manifest.engine.name,
        "recipe": manifest.recipe,
        "threads": session.threads,
        "chunk_ms": 1000 * manifest.audio.chunk_samples / manifest.audio.sample_rate,
        "products": bare.n_products,
        "encoder_ms": round(step_ms, 4),
        "bare_ms": round(products_ms, 4),
        "share": round(products_ms / step_ms, 4),
        "quickest_share": round(min(bare_ms) / min(encoder_ms), 4),
        "bare_gmac_per_s": round(bare.multiply_adds / products_ms / 1e6, 2),
        "memory_floor_ms": round(1000 * bare.weight_bytes / bytes_per_s, 4),
        "read_gb_per_s": round(bytes_per_s / 1e9, 2),
    }


def table(results: Sequence[dict[str, Any]]) -> str:
    """The figures for people."""
    columns = ("engine", "recipe", "chunk ms", "threads", "encoder ms", "bare products ms",
               "share", "of the quickest", "GMAC/s", "memory floor ms")  # fmt: skip
    rows = [
        (
            each["engine"],
            each["recipe"],
            f"{each['chunk_ms']:.0f}",
            str(each["threads"]),
            f"{each['encoder_ms']:.2f}",
            f"{each['bare_ms']:.2f}",
            f"{each['share']:.0%}",
            f"{each['quickest_share']:.0%}",
            f"{each['bare_gmac_per_s']:.1f}",
            f"{each['memory_floor_ms']:.2f}",
        )
        for each in results
    ]
    return markdown(columns, rows)


def main(argv: list[str] | None = None) -> int:
    """Print the shares; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle", metavar="DIR", nargs="+", default=[])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--rounds",
        type=int,
        default=ROUNDS,
        help=f"of {ROUND_CALLS} calls (default {ROUNDS})",
    )
    args = parser.parse_args(argv)
    try:
        results = _run(args)
    except EchoError as error:
        print(f"roofline: {error}", file=sys.stderr)
        return error.exit_code
    print(table(results))
    print(json.dumps(results))
    return 0


def _run(args: argparse.Namespace) -> list[dict[str, Any]]:
    if args.rounds < 1:
        raise UsageError(f"--rounds: found {args.rounds}, expected 1 or more")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        sessions = [
            stack.enter_context(load(find_bundle(bundle), args.threads))
            for bundle in args.bundle or [None]
        ]
        for session in sessions:
            if (engine := session.bundle.manifest.engine.name) not in ENGINES:
                names = f"{', '.join(ENGINES[:-1])} or {ENGINES[-1]}"
                raise EchoError(f"{session.bundle.path}: found engine {engine}, expected {names}")
        return measure(sessions, args.rounds, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
