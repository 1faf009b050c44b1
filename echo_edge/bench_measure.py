"""What `echo-edge bench` measures: pushes in turns, and loading in a process of its own.

`python -m echo_edge.bench_measure DIR THREADS` is that process. Knows nothing of records.
"""

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echo_edge import board
from echo_edge.bench_record import TURN_CHUNKS, Moment
from echo_edge.bundle import Bundle
from echo_edge.engines import Engine
from echo_edge.engines.null import NullEngine
from echo_edge.errors import EchoError
from echo_edge.manifest import Manifest
from echo_edge.selftest import read_clip
from echo_edge.session import Session, load

Array = NDArray[np.float32]

LATENCY_S = 2.0
"""As `Session.stream`'s default: decisions are not deferred to the end."""
LEAST_WARM_UP_CHUNKS = 10
PROBE_CHUNKS = 50
"""At least this many, and as many as a warm-up, before the peak of memory is read."""
PROBE_LIMIT_S = 600.0


class TimedEngine:
    """An engine that adds what its runs take, in seconds, to `spent_s[name]`."""

    def __init__(self, engine: Engine, name: str, spent_s: dict[str, float]) -> None:
        self._engine, self._name, self._spent_s = engine, name, spent_s

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """What the engine says."""
        started = time.perf_counter()
        outputs = self._engine.run(inputs)
        self._spent_s[self._name] += time.perf_counter() - started
        return outputs

    def close(self) -> None:
        """Free the engine."""
        self._engine.close()


class Lane:
    """One configuration under measurement: a stream that never ends and what its pushes take."""

    def __init__(self, session: Session, audio: Array | None) -> None:
        self._manifest = session.bundle.manifest
        self.spent_s = dict.fromkeys(session.engines, 0.0)
        """Seconds in each engine since the warm-up."""
        self.samples_ms: list[float] = []
        """What each push since the warm-up took."""
        timed: dict[str, Engine] = {
            name: TimedEngine(engine, name, self.spent_s)
            for name, engine in session.engines.items()
        }
        self._stream = replace(session, engines=timed).stream(LATENCY_S, on_sources=_discard)
        self._chunks = cycle(_chunks(session.bundle, audio))

    @property
    def measured_s(self) -> float:
        """Seconds in pushes since the warm-up."""
        return sum(self.samples_ms) / 1000

    def warm_up(self) -> None:
        """Fill the diarization window and every cache, untimed."""
        self.push(_warm_up_chunks(self._manifest))
        self.samples_ms.clear()
        self.spent_s.update(dict.fromkeys(self.spent_s, 0.0))

    def push(self, n_chunks: int) -> None:
        """One sample per chunk."""
        for chunk in islice(self._chunks, n_chunks):
            started = time.perf_counter()
            self._stream.push(chunk)
            self.samples_ms.append(1000 * (time.perf_counter() - started))


def measure(
    lanes: Sequence[Lane], null: Sequence[Lane], seconds: float, progress: Callable[[str], None]
) -> None:
    """Push all in turns of TURN_CHUNKS until each of `lanes` has been measured for `seconds`."""
    for lane in (*lanes, *null):
        lane.warm_up()
    while (least_s := min(lane.measured_s for lane in lanes)) < seconds:
        progress(f"measuring: {least_s:.0f} of {seconds:.0f} s, {len(lanes)} configurations")
        for lane in (*lanes, *null):
            lane.push(TURN_CHUNKS)


def probe(folder: str, threads: int) -> dict[str, Any]:
    """Load times, first result and memory of one configuration, in a process that did nothing yet.

    The first load includes the import of the engine and the verification of every file; the files
    themselves may be in the page cache.
    """
    before = board.memory_mib()
    started = time.perf_counter()
    session = load(folder, threads)
    cold_ms = 1000 * (time.perf_counter() - started)
    after = board.memory_mib()
    chunks = cycle(_chunks(session.bundle, None))
    started = time.perf_counter()
    stream = session.stream(LATENCY_S, on_sources=_discard)
    stream.push(next(chunks))
    first_push_ms = 1000 * (time.perf_counter() - started)
    for chunk in islice(chunks, max(PROBE_CHUNKS, _warm_up_chunks(session.bundle.manifest))):
        stream.push(chunk)
    stream.finish()
    peak = board.memory_mib()
    session.close()
    started = time.perf_counter()
    load(folder, threads).close()
    return {
        "load_ms": {"cold": cold_ms, "warm": 1000 * (time.perf_counter() - started)},
        "first_result_ms": cold_ms + first_push_ms,
        "rss_mib": {
            "before_load": before.rss_mib,
            "after_load": after.rss_mib,
            "peak": peak.peak_rss_mib,
        },
    }


def _warm_up_chunks(manifest: Manifest) -> int:
    """Chunks that fill the diarization window and every cache."""
    window = manifest.diarization.window_steps // manifest.streaming.chunk_steps + 1
    return max(window, LEAST_WARM_UP_CHUNKS)


def probe_afresh(bundle: Bundle, threads: int) -> dict[str, Any]:
    """What `probe` finds in a new process. EchoError, with its last line, if that fails."""
    command = (sys.executable, "-m", "echo_edge.bench_measure", str(bundle.path), str(threads))
    package = Path(__file__).parents[1]  # the new process measures this very code
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
    values: dict[str, Any] = json.loads(done.stdout)
    return values


def null_session(bundle: Bundle) -> Session:
    """The bundle with engines that do nothing: what remains is the runtime itself."""
    graphs = bundle.manifest.graphs
    return Session(bundle, 1, {name: NullEngine(spec) for name, spec in graphs.items()})


def _chunks(bundle: Bundle, audio: Array | None) -> Iterable[Array]:
    """`audio`, else the bundle's own clip, as whole chunks; the last runs on into the first."""
    pcm = read_clip(bundle) if audio is None else audio
    size = bundle.manifest.audio.chunk_samples
    return np.resize(pcm, (math.ceil(len(pcm) / size), size))


def _discard(sources: Array) -> None:
    """Separation runs only for somebody who takes what it makes."""


def moment() -> Moment:
    """The machine now."""
    load = board.load_average()
    return Moment(load[0] if load else None, board.thermal(), board.throttled())


def checkout() -> tuple[str | None, bool | None]:
    """Commit of the checkout this code is in and whether the code differs; None outside of one."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return None, None
    answers = []
    for command in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", "echo_edge")):
        try:
            done = subprocess.run(
                ("git", "-C", str(root), *command), capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):  # no git, or not the owner's checkout
            return None, None
        answers.append(done.stdout.strip())
    return answers[0], bool(answers[1])


if __name__ == "__main__":
    print(json.dumps(probe(sys.argv[1], int(sys.argv[2]))))
