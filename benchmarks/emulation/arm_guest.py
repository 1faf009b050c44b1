"""Program on the emulated processor: the self-test, then the runtime, counted part by part.

    python3 -m benchmarks.emulation.arm_guest BUNDLE OUT.npz CHUNKS

OUT gets every output of the self-test's clip, and `passed`. Then CHUNKS chunks of that clip (0:
none) are pushed through a stream with all heads, after ten others, while `count_instructions.c` is
told which part of the runtime is at work.
"""

import ctypes
import sys
from collections.abc import Mapping
from dataclasses import replace
from itertools import cycle, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echo_edge import selftest
from echo_edge.bench.measure import LATENCY_S, MIN_WARM_UP_CHUNKS, chunks_of, discard
from echo_edge.bundle.manifest import GRAPH_NAMES
from echo_edge.engines import Engine
from echo_edge.session import Session, load

Array = NDArray[np.float32]

PARTS = ("loading", "runtime", *GRAPH_NAMES)
"""In the order of the counter's numbers; `runtime` is all that is no graph: decoders, in Python."""


class Marker:
    """Tells the counter which part begins, once it is on."""

    def __init__(self) -> None:
        self._say = ctypes.CDLL(None).getpgid
        self.on = False

    def enter(self, part: str) -> None:
        """Count what is executed from here on for that part."""
        if self.on:
            self._say(-1 - PARTS.index(part))


class MarkedEngine:
    """An engine whose runs are a part of their own."""

    def __init__(self, engine: Engine, name: str, marker: Marker) -> None:
        self._engine, self._name, self._marker = engine, name, marker

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The engine's outputs, counted for the graph."""
        self._marker.enter(self._name)
        outputs = self._engine.run(inputs)
        self._marker.enter("runtime")
        return outputs

    def close(self) -> None:
        """Free the engine."""
        self._engine.close()


def count(session: Session, n_chunks: int) -> None:
    """Push chunks, the last `n_chunks` of them counted."""
    marker = Marker()
    marked: dict[str, Engine] = {
        name: MarkedEngine(engine, name, marker) for name, engine in session.engines.items()
    }
    stream = replace(session, engines=marked).stream(LATENCY_S, on_sources=discard)
    chunks = cycle(chunks_of(session.bundle, None))
    for chunk in islice(chunks, MIN_WARM_UP_CHUNKS):
        stream.push(chunk)
    marker.on = True
    marker.enter("runtime")
    for chunk in islice(chunks, n_chunks):
        stream.push(chunk)
    marker.enter("loading")


def main() -> None:
    """Write the outputs; count."""
    bundle, out, n_chunks = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with load(bundle) as session:
        expected = selftest.read_selftest(session.bundle)
        outputs = selftest.trace(session, expected.clip)
        found_db = {
            name: selftest.sqnr_db(array, outputs[name]) for name, array in expected.arrays.items()
        }
        verdict = selftest.SelfTest(found_db, expected.least_db)
        kept: dict[str, Any] = {**outputs, "passed": np.bool_(verdict.passed)}
        np.savez(out, **kept)
        if n_chunks:
            count(session, n_chunks)


if __name__ == "__main__":
    main()
