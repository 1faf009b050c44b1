"""Encoders timed side by side, in short rounds, so that all of them see the same machine."""

import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice

import numpy as np
from numpy.typing import NDArray

from echo_edge.session import Session

Array = NDArray[np.float32]

ROUND_CALLS = 20
WARM_UP_CALLS = 20


class TimedEncoder:
    """One bundle's encoder over endlessly repeated features, and how long each call took."""

    def __init__(self, session: Session, pcm: Array) -> None:
        self._encoder = session.graph("encoder")
        self._features = _features(session, pcm)
        self.samples_ms: list[float] = []

    def run(self, n_calls: int) -> None:
        """One sample per call."""
        for features in islice(self._features, n_calls):
            started = time.perf_counter()
            self._encoder.run(features=features)
            self.samples_ms.append(1000 * (time.perf_counter() - started))


def run_in_rounds(contenders: Sequence[TimedEncoder], rounds: int) -> None:
    """Fill `samples_ms` of each: a warm-up, then `rounds` of ROUND_CALLS calls of each."""
    for contender in contenders:
        contender.run(WARM_UP_CALLS)
        contender.samples_ms.clear()
    for _ in range(rounds):
        for contender in contenders:
            contender.run(ROUND_CALLS)


def _features(session: Session, pcm: Array) -> Iterator[Array]:
    frontend, size = session.graph("frontend"), session.bundle.manifest.audio.chunk_samples
    chunks = pcm[: len(pcm) // size * size].reshape(-1, 1, size)
    return cycle([frontend.run(pcm=chunk)["features"] for chunk in chunks])
