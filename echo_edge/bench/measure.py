"""The measurements of `echo-edge bench` while audio flows. Knows nothing of records.

*Offline*: all configurations push chunks as fast as they can, in short rounds, one after the other
and again, so that they share whatever the machine drifts by; the null engines and the reference
work take part. *Live* (`live`): one after the other takes chunks at a steady pace.
"""

import math
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echo_edge.bench.live import Live, listen
from echo_edge.bench.machine import MachineMonitor
from echo_edge.bench.reference import Reference
from echo_edge.board.energy import Energy, Sensor
from echo_edge.bundle.manifest import Manifest
from echo_edge.bundle.verify import Bundle
from echo_edge.engines import Engine
from echo_edge.engines.null import NullEngine
from echo_edge.selftest import read_clip
from echo_edge.session import Session

Array = NDArray[np.float32]

LATENCY_S = 2.0
"""As `Session.stream`'s default: decisions are not deferred to the end."""
MIN_WARM_UP_CHUNKS = 10
ROUND_CHUNKS = 25
"""Chunks that one configuration is pushed before the next one's; a whole number of hops of the
diarization window (12 s in 1 s hops), so that every round is the same work."""
ROUND_CALLS = 10
"""Calls of the reference work in a round."""


class TimedEngine:
    """An engine that adds what its runs take, in seconds, to `spent_s[name]`."""

    def __init__(self, engine: Engine, name: str, spent_s: dict[str, float]) -> None:
        self._engine, self._name, self._spent_s = engine, name, spent_s

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the engine."""
        started = time.perf_counter()
        outputs = self._engine.run(inputs)
        self._spent_s[self._name] += time.perf_counter() - started
        return outputs

    def close(self) -> None:
        """Free the engine."""
        self._engine.close()


class Contender:
    """One configuration under measurement: a stream that never ends and what its pushes take."""

    def __init__(
        self,
        session: Session,
        audio: Array | None,
        sensor: Sensor | None = None,
        language_model: bool = True,
    ) -> None:
        self._manifest = session.bundle.manifest
        self.spent_s = dict.fromkeys(session.engines, 0.0)
        """Seconds in each engine since the warm-up."""
        self.samples_ms: list[float] = []
        """Milliseconds of each push since the warm-up."""
        self.energy = Energy(sensor) if sensor else None
        """Of those pushes; None where the board has no sensor."""
        timed: dict[str, Engine] = {
            name: TimedEngine(engine, name, self.spent_s)
            for name, engine in session.engines.items()
        }
        self._stream = replace(session, engines=timed).stream(
            LATENCY_S, language_model=language_model, on_sources=discard
        )
        self._chunks = cycle(chunks_of(session.bundle, audio))

    @property
    def measured_s(self) -> float:
        """Seconds in pushes since the warm-up."""
        return sum(self.samples_ms) / 1000

    @property
    def chunk_s(self) -> float:
        """Seconds of audio in a chunk."""
        return self._manifest.audio.chunk_samples / self._manifest.audio.sample_rate

    def warm_up(self) -> None:
        """Fill the diarization window and every cache, untimed."""
        for chunk in islice(self._chunks, warm_up_chunks(self._manifest)):
            self._stream.push(chunk)
        self.spent_s.update(dict.fromkeys(self.spent_s, 0.0))

    def push(self, n_chunks: int) -> None:
        """One sample per chunk."""
        with self.energy.window() if self.energy else nullcontext():
            for chunk in islice(self._chunks, n_chunks):
                started = time.perf_counter()
                self._stream.push(chunk)
                self.samples_ms.append(1000 * (time.perf_counter() - started))

    def listen(self, seconds: float, pace: float) -> Live:
        """Chunks that arrive `pace` times as fast as from a microphone, for `seconds` or so.

        Counts neither for `samples_ms` nor for `spent_s`.
        """
        period_s = self.chunk_s / pace
        before = dict(self.spent_s)
        live = listen(
            lambda: self._stream.push(next(self._chunks)),
            period_s,
            max(1, round(seconds / period_s)),
        )
        self.spent_s.update(before)
        return live


def measure_offline(
    contenders: Sequence[Contender],
    null: Sequence[Contender],
    reference: Reference,
    monitor: MachineMonitor,
    seconds: float,
    progress: Callable[[str], None],
) -> None:
    """Push all in rounds of ROUND_CHUNKS until each contender has been measured for `seconds`."""
    for contender in (*contenders, *null):
        contender.warm_up()
    reference.warm_up()
    while (min_s := min(contender.measured_s for contender in contenders)) < seconds:
        progress(f"measuring: {min_s:.0f} of {seconds:.0f} s, {len(contenders)} configurations")
        for contender in (*contenders, *null):
            contender.push(ROUND_CHUNKS)
        reference.run(ROUND_CALLS)
        monitor.sample()


def warm_up_chunks(manifest: Manifest) -> int:
    """Chunks that fill the diarization window and every cache."""
    window = manifest.diarization.window_steps // manifest.streaming.chunk_steps + 1
    return max(window, MIN_WARM_UP_CHUNKS)


def null_contender(bundle: Bundle, audio: Array | None) -> Contender:
    """The bundle with engines that do nothing: what remains is the runtime itself.

    Without the language model: zeros say that all letters are equally likely, and a search among
    those is more work than any speech makes.
    """
    graphs = bundle.manifest.graphs
    session = Session(bundle, 1, {name: NullEngine(spec) for name, spec in graphs.items()})
    return Contender(session, audio, language_model=False)


def chunks_of(bundle: Bundle, audio: Array | None) -> Iterable[Array]:
    """`audio`, else the bundle's own clip, as whole chunks; the last runs on into the first."""
    pcm = read_clip(bundle) if audio is None else audio
    size = bundle.manifest.audio.chunk_samples
    return np.resize(pcm, (math.ceil(len(pcm) / size), size))


def discard(sources: Array) -> None:
    """Separation runs only for somebody who takes what it makes."""


def checkout() -> tuple[str | None, bool | None]:
    """Commit of the checkout this code is in and whether the code differs; None outside of one."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None, None
    answers = []
    git = ("git", "--no-optional-locks", "-C", str(root))  # it would renew its index by the way
    for command in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", "echo_edge")):
        try:
            done = subprocess.run((*git, *command), capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):  # no git, or not the owner's checkout
            return None, None
        answers.append(done.stdout.strip())
    return answers[0], bool(answers[1])
