"""Time of a bundle's graphs outside of their fast path, operator by operator.

    python -m benchmarks.operators --bundle DIR ... [--out benchmarks/results/engines/operators]

XNNPACK, which LiteRT and ExecuTorch hand their graphs to, runs what it knows in one piece: named
are the operators it leaves to the engine, and what each takes alone in a graph of its own, which is
more than inside another. ONNX Runtime has no such pieces: its own profile says what the products
with weights take and what the other operators take. One thread, silence as input; times are medians
of one call. Needs `echo-edge[export]`. Writes OUT.jsonl and OUT.md.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._report import command_line, write_report
from echo_edge.bench.report.table import markdown
from echo_edge.board.info import read_board
from echo_edge.bundle.manifest import GraphSpec
from echo_edge.bundle.verify import Bundle, open_bundle
from echo_edge.engines import Engine, open_engine
from echo_edge.engines.stderr import quiet_stderr
from echo_edge.errors import EchoError

Outside = list[tuple[str, tuple[int, ...]]]
Record = dict[str, Any]

CALLS, WARM_UP_CALLS = 60, 5
PRODUCTS = ("MatMulIntegerToFloat", "DynamicQuantizeMatMul", "Gemm")
"""ONNX Runtime's products with weights; `MatMul` is one only where weights are float."""


def zeros(spec: GraphSpec) -> dict[str, NDArray[np.float32]]:
    """Silent inputs of a graph by name."""
    return {tensor.name: np.zeros(tensor.shape, np.float32) for tensor in spec.inputs}


def call_ms(engine: Engine, inputs: Mapping[str, NDArray[np.float32]]) -> float:
    """Median time of a call."""
    samples = []
    for _ in range(WARM_UP_CALLS + CALLS):
        started = time.perf_counter()
        engine.run(inputs)
        samples.append(1000 * (time.perf_counter() - started))
    return round(median(samples[WARM_UP_CALLS:]), 4)


def tflite_outside(path: Path) -> tuple[int, Outside]:
    """Pieces that XNNPACK runs of a .tflite file, and the operators outside of them: those between
    the pieces and the graph's outputs."""
    from ai_edge_litert.interpreter import Interpreter

    with quiet_stderr():
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
    operators = interpreter._get_ops_details()
    shapes = {t["index"]: tuple(map(int, t["shape"])) for t in interpreter.get_tensor_details()}
    pieces = [each for each in operators if each["op_name"] == "DELEGATE"]
    plain = [each for each in operators if each["op_name"] != "DELEGATE"]
    done = {int(index) for piece in pieces for index in piece["outputs"]}
    makers = {int(index): each for each in plain for index in each["outputs"]}
    wanted = [int(each["index"]) for each in interpreter.get_output_details()]
    wanted += [int(index) for piece in pieces for index in piece["inputs"]]
    outside: dict[int, tuple[str, tuple[int, ...]]] = {}
    while wanted:
        index = wanted.pop()
        if index in done or index not in makers:
            continue
        done.add(index)
        maker = makers[index]
        inputs = [int(each) for each in maker["inputs"]]
        outside[int(maker["index"])] = (maker["op_name"], shapes[inputs[0]])
        wanted += inputs
    return len(pieces), [outside[number] for number in sorted(outside)]


def xnnpack_record(bundle: Bundle, name: str, folder: Path) -> Record:
    """One graph for LiteRT or ExecuTorch."""
    from echo_edge_export.probes.single_operator import write_single_operator

    engine, path = bundle.manifest.engine.name, bundle.graph_path(name)
    if engine == "tflite":
        pieces, outside = tflite_outside(path)
    else:
        from echo_edge_export.convert.to_executorch import left_over

        pieces, outside = left_over(path)
    alone = []
    for operator, shape in outside:
        target = folder / f"alone{path.suffix}"
        spec = write_single_operator(engine, operator, shape, target)
        opened = open_engine(engine, target, spec, 1)
        alone.append({"operator": operator, "shape": shape, "ms": call_ms(opened, zeros(spec))})
        opened.close()
    return {"pieces": pieces, "outside": alone}


def onnx_record(bundle: Bundle, name: str, folder: Path) -> Record:
    """One graph for ONNX Runtime, by operator, in ms per call."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_profiling, options.profile_file_prefix = True, str(folder / name)
    path, spec = bundle.graph_path(name), bundle.manifest.graphs[name]
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    for _ in range(CALLS):
        session.run(None, zeros(spec))
    events = json.loads(Path(session.end_profiling()).read_text())
    spent: Counter[str] = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            spent[event["args"]["op_name"]] += event["dur"]
    return {"operators_ms": {op: round(us / CALLS / 1000, 4) for op, us in spent.most_common()}}


def measure(bundle: Bundle) -> Record:
    """All graphs of a bundle."""
    manifest, graphs = bundle.manifest, {}
    look_at = onnx_record if manifest.engine.name == "onnx" else xnnpack_record
    with tempfile.TemporaryDirectory() as folder:
        for name, spec in manifest.graphs.items():
            engine = open_engine(manifest.engine.name, bundle.graph_path(name), spec, 1)
            graphs[name] = {"ms": call_ms(engine, zeros(spec))}
            engine.close()
            graphs[name] |= look_at(bundle, name, Path(folder))
    return {
        "schema": "echo-edge.operators/1", "cpu": read_board().cpu, "bundle": manifest.name,
        "sha256": bundle.sha256, "graphs": graphs,
    }  # fmt: skip


def rows(record: Record) -> list[list[str]]:
    """One row per graph: bundle, graph, ms, pieces or products, what is outside."""
    found = []
    for name, graph in record["graphs"].items():
        if "operators_ms" in graph:
            spent = graph["operators_ms"]
            inside = f"products {sum(spent.get(op, 0.0) for op in PRODUCTS):.2f} ms"
            outside = [f"{op} {ms:.2f}" for op, ms in spent.items() if op not in PRODUCTS][:6]
        else:
            inside = f"{graph['pieces']} in XNNPACK"
            outside = [f"{each['operator']} {each['ms']:.3f}" for each in graph["outside"]]
        found.append([record["bundle"], name, f"{graph['ms']:.2f}", inside, ", ".join(outside)])
    return found


def main(argv: list[str] | None = None) -> int:
    """Measure, print, keep; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/engines/operators"))
    args = parser.parse_args(argv)
    try:
        records = [measure(open_bundle(folder)) for folder in args.bundle]
    except EchoError as error:
        print(f"operators: {error}", file=sys.stderr)
        return error.exit_code
    columns = ("bundle", "graph", "ms per call", "fast path", "outside, ms each")
    text = markdown(columns, [row for record in records for row in rows(record)])
    print(text)
    command = command_line("operators", sys.argv[1:] if argv is None else argv)
    about = f"Made by `{command}` on {records[0]['cpu']}."
    write_report(args.out, records, f"# Outside of the fast path\n\n{about}\n\n{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
