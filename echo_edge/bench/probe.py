"""Measures what loading a bundle takes, in time and memory, in a process that did nothing yet.

`python -m echo_edge.bench.probe DIR THREADS ENGINE` is that process.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

from echo_edge.bench.measure import LATENCY_S, chunks_of, discard, warm_up_chunks
from echo_edge.bench.record import LoadTimes, ResidentMemory
from echo_edge.board import info as board
from echo_edge.bundle.verify import Bundle
from echo_edge.engines import engine_version
from echo_edge.errors import EchoError
from echo_edge.session import load
from echo_edge.strict_json import convert

PROBE_CHUNKS = 50
"""At least this many, and as many as a warm-up, before the peak of memory is read."""
PROBE_LIMIT_S = 600.0


@dataclass(frozen=True)
class Probe:
    """Time and memory that loading and first streaming take in a fresh process."""

    load_ms: LoadTimes
    first_result_ms: float
    """From the start of the first load."""
    rss_mib: ResidentMemory
    pss_mib: float | None
    """At the end of streaming, shared pages divided by their users."""
    anonymous_mib: float | None
    """At the end of streaming, what no file backs."""
    rss_mib_over_time: tuple[float, ...]
    """After each chunk."""


def probe(folder: str, threads: int, engine: str) -> Probe:
    """Load times, first result and memory of one configuration.

    The first load includes the import of the engine and the verification of every file; the files
    themselves may be in the page cache. The clock stops while memory is read.
    """
    before = board.memory_mib()
    import_ms = _timed(lambda: engine_version(engine))
    with_engine = board.memory_mib()
    started = time.perf_counter()
    session = load(folder, threads)
    cold_ms = import_ms + 1000 * (time.perf_counter() - started)
    after = board.memory_mib()
    chunks = cycle(chunks_of(session.bundle, None))
    started = time.perf_counter()
    stream = session.stream(LATENCY_S, on_sources=discard)
    stream.push(next(chunks))
    first_push_ms = 1000 * (time.perf_counter() - started)
    over_time = [board.memory_mib().rss_mib]
    for chunk in islice(chunks, max(PROBE_CHUNKS, warm_up_chunks(session.bundle.manifest))):
        stream.push(chunk)
        over_time.append(board.memory_mib().rss_mib)
    stream.finish()
    end = board.memory_mib()
    session.close()
    warm_ms = _timed(lambda: load(folder, threads).close())
    return Probe(
        load_ms=LoadTimes(cold=cold_ms, warm=warm_ms),
        first_result_ms=cold_ms + first_push_ms,
        rss_mib=ResidentMemory(
            before_load=before.rss_mib,
            after_load=after.rss_mib,
            peak=end.peak_rss_mib,
            engine=with_engine.rss_mib - before.rss_mib,
            weights=after.rss_mib - with_engine.rss_mib,
            working_set=end.rss_mib - after.rss_mib,
        ),
        pss_mib=end.pss_mib,
        anonymous_mib=end.anonymous_mib,
        rss_mib_over_time=tuple(over_time),
    )


def _timed(work: Callable[[], object]) -> float:
    """Milliseconds that `work()` takes."""
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


def probe_afresh(bundle: Bundle, threads: int) -> Probe:
    """The result of `probe` in a new process. EchoError, with its last line, if that fails."""
    command = (
        *(sys.executable, "-m", "echo_edge.bench.probe"),
        *(str(bundle.path), str(threads), bundle.manifest.engine.name),
    )
    package = Path(__file__).parents[2]  # the new process measures this very code
    try:
        done = subprocess.run(
            command, cwd=package, capture_output=True, text=True, check=True, timeout=PROBE_LIMIT_S
        )
    except subprocess.TimeoutExpired as error:
        raise EchoError(
            f"{bundle.path}: not loaded after {PROBE_LIMIT_S:.0f} s, expected seconds: free memory"
        ) from error
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:] or ["without a word"]
        raise EchoError(
            f"{bundle.path}: the process that measures loading ended with {error.returncode} "
            f"({last[0]}): free memory, or see what `echo-edge doctor` says"
        ) from error
    found: Probe = convert(json.loads(done.stdout), Probe, "probe: ")
    return found


if __name__ == "__main__":
    print(json.dumps(asdict(probe(sys.argv[1], int(sys.argv[2]), sys.argv[3]))))
