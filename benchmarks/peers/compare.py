"""The whole job beside what else would do it: peers' architectures, same engine, same run.

    python -m benchmarks.peers [--bundle DIR] [--threads 1] [--rounds N]

The whole job (diarization, words and separated voices) as `echo-edge` does it, in turns with graphs
of the shapes of public models (`peer_graphs`), random weights, ONNX Runtime with the same settings.
Each peer in float32 and, products and LSTMs, in dynamic int8; the faster counts. All that peers
need besides is left out: features, Whisper's decoder, clustering. RTF = seconds of work per second
of audio.

Two columns, because the whole job is live and peers' windows are long. *Offline* is a recording
that is there: windows of 30 s (Whisper) and 4 s (Conv-TasNet), each computed once. *Live* is what
people chain who want to see words within 2 s: the window is computed anew every 2 s, Whisper's
padded to the 30 s that it was trained on. (Its context can be cut shorter, at the price of words.)
The segmentation and the embeddings slide in both, as their authors' pipeline does. The whole job
costs the same in both: it is one stream whose decisions are at most 2 s old. The last line of
stdout is JSON.
"""

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from echo_edge.bench.measure import Contender
from echo_edge.bench.report.table import markdown
from echo_edge.bundle.find import find_bundle
from echo_edge.bundle.manifest import GraphSpec, TensorSpec
from echo_edge.engines import Engine, open_engine
from echo_edge.errors import EchoError, UsageError
from echo_edge.session import Session, load

LATENCY_S = 2.0
"""Of decisions, live: that of the whole job."""
ROUNDS, ROUND_CHUNKS, ROUND_CALLS = 8, 25, 2
WHISPER = "Whisper-tiny encoder"
FLOAT = 1
"""onnx's number for float32, which the engine's own operators do not say they return."""
CHAIN = (WHISPER, "segmentation", "speaker embedding", "Conv-TasNet")


@dataclass(frozen=True)
class Peer:
    """One graph: who, in which numbers, and what a call of it takes."""

    name: str
    recipe: str
    audio_s: float
    """Seconds of audio for which a call is needed if the recording is there."""
    live_s: float
    """And if it is heard just now."""
    engine: Engine
    shape: tuple[int, ...]
    samples_s: list[float]

    def run(self, n_calls: int) -> None:
        """One sample per call."""
        inputs = {"x": peer_input(self.shape)}
        for _ in range(n_calls):
            started = time.perf_counter()
            self.engine.run(inputs)
            self.samples_s.append(time.perf_counter() - started)

    @property
    def call_s(self) -> float:
        """Median over the calls."""
        return median(self.samples_s)

    @property
    def rtf(self) -> float:
        """RTF for a recording."""
        return self.call_s / self.audio_s

    @property
    def live_rtf(self) -> float:
        """The same live."""
        return self.call_s / self.live_s


def peer_input(shape: tuple[int, ...]) -> Any:
    """Made anew for every round, outside of what is timed."""
    from benchmarks.peers.graphs import random_input

    return random_input(shape)


def build(folder: Path, threads: int) -> list[Peer]:
    """Every peer in float32 and int8. EchoError where onnx is missing."""
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        from benchmarks.peers import graphs
    except ImportError as error:
        raise EchoError(
            f"peers: {error.name} is not installed here, expected a workstation: "
            "pip install 'echo-edge[export]'"
        ) from error
    logging.getLogger().setLevel(logging.ERROR)  # quantize_dynamic advises on every graph
    # name, graph, seconds of audio per call offline and live, operators that int8 makes faster
    plan: tuple[tuple[str, Callable[[Path], tuple[int, ...]], float, float, list[str]], ...] = (
        (WHISPER, graphs.whisper_tiny_encoder, 30.0, LATENCY_S, ["MatMul"]),
        ("segmentation", graphs.segmentation, 1.0, 1.0, ["MatMul", "LSTM"]),  # 10 s every 1 s
        ("speaker embedding", graphs.resnet34, 0.75, 0.75, []),  # 1.5 s every 0.75 s
        ("Conv-TasNet", graphs.conv_tasnet, 4.0, LATENCY_S, []),
    )
    peers = []
    for name, write, audio_s, live_s, operators in plan:
        path = folder / f"{write.__name__}.onnx"
        shape = write(path)
        peers.append(Peer(name, "float32", audio_s, live_s, _open(path, threads), shape, []))
        if operators:
            int8 = folder / f"{write.__name__}.int8.onnx"
            quantize_dynamic(
                path,
                int8,
                operators,
                per_channel=True,
                weight_type=QuantType.QInt8,
                extra_options={"DefaultTensorType": FLOAT},
            )
            peers.append(
                Peer(name, "dynamic int8", audio_s, live_s, _open(int8, threads), shape, [])
            )
    return peers


def _open(path: Path, threads: int) -> Engine:
    import onnx

    output = onnx.load(str(path)).graph.output[0].name
    spec = GraphSpec(path.name, (), (TensorSpec(output, (1,), "float32"),), {})
    return open_engine("onnx", path, spec, threads)


def measure(session: Session, peers: Sequence[Peer], rounds: int) -> dict[str, Any]:
    """All in rounds; medians."""
    job_timed = Contender(session, None)
    job_timed.warm_up()
    round_rtf = []
    for number in range(rounds + 1):
        job_timed.push(ROUND_CHUNKS)
        if number:  # the first is the peers' warm-up
            samples_ms = job_timed.samples_ms[-ROUND_CHUNKS:]
            round_rtf.append(sum(samples_ms) / 1000 / ROUND_CHUNKS / job_timed.chunk_s)
        for peer in peers:
            peer.run(ROUND_CALLS)
            if number == 0:
                peer.samples_s.clear()
    job = median(round_rtf)
    offline = {name: min(p.rtf for p in peers if p.name == name) for name in CHAIN}
    live = {name: min(p.live_rtf for p in peers if p.name == name) for name in CHAIN}
    return {
        "bundle": session.bundle.manifest.name,
        "sha256": session.bundle.sha256,
        "threads": session.threads,
        "job_rtf": round(job, 5),
        "peers": [
            {
                "name": p.name,
                "recipe": p.recipe,
                "rtf": round(p.rtf, 5),
                "live_rtf": round(p.live_rtf, 5),
            }
            for p in peers
        ],
        "chain_rtf": round(sum(offline.values()), 5),
        "chain_live_rtf": round(sum(live.values()), 5),
        "whisper_to_job": round(offline[WHISPER] / job, 3),
        "whisper_live_to_job": round(live[WHISPER] / job, 3),
        "chain_to_job": round(sum(offline.values()) / job, 3),
        "chain_live_to_job": round(sum(live.values()) / job, 3),
    }


def table(result: dict[str, Any]) -> str:
    """The result for people."""
    job = result["job_rtf"]

    def times(rtf: float, live_rtf: float) -> tuple[str, ...]:
        return tuple(f"{each:.{n}f}" for x in (rtf, live_rtf) for each, n in ((x, 4), (x / job, 2)))

    rows = [(f"whole job: {result['bundle']}", "", *times(job, job))]
    rows += [
        (peer["name"], peer["recipe"], *times(peer["rtf"], peer["live_rtf"]))
        for peer in result["peers"]
    ]
    chain = times(result["chain_rtf"], result["chain_live_rtf"])
    rows.append(("all four, each its faster", "", *chain))
    columns = ("what", "recipe", "RTF offline", "x the job", "RTF live", "x the job")
    return markdown(columns, rows)


def main(argv: list[str] | None = None) -> int:
    """Print the comparison; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle", metavar="DIR")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}")
    args = parser.parse_args(argv)
    try:
        if args.rounds < 1:
            raise UsageError(f"--rounds: found {args.rounds}, expected 1 or more")
        with (
            tempfile.TemporaryDirectory() as folder,
            load(find_bundle(args.bundle), args.threads) as session,
        ):
            result = measure(session, build(Path(folder), args.threads), args.rounds)
    except EchoError as error:
        print(f"peers: {error}", file=sys.stderr)
        return error.exit_code
    print(table(result))
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
