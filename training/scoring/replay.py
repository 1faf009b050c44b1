"""A recording heard once and decided often: other thresholds, other latencies, no encoder again."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echo_edge.engines import Engine
from echo_edge.engines.null import NullEngine
from echo_edge.result import Result
from echo_edge.session import Session

Array = NDArray[np.float32]


class Recorder:
    """An engine that keeps what another one answers: outputs whose names begin with `names`."""

    def __init__(self, engine: Engine, names: str) -> None:
        self.engine, self.names, self.kept = engine, names, list[dict[str, Array]]()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Pass through and remember."""
        outputs = self.engine.run(inputs)
        self.kept.append({k: v for k, v in outputs.items() if k.startswith(self.names)})
        return outputs

    def close(self) -> None:
        """Required by the protocol; frees nothing."""


class Replayer:
    """An engine that gives recorded answers, in order; states stay zero."""

    def __init__(self, kept: list[dict[str, Array]], rest: dict[str, Array]) -> None:
        self.answers, self.rest = iter(kept), rest

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """The next answer."""
        return {**self.rest, **next(self.answers)}

    def close(self) -> None:
        """Required by the protocol; frees nothing."""


def without_words(session: Session, **decoding: Any) -> Session:
    """The session with these thresholds instead of the bundle's; words are not listened for."""
    manifest = session.bundle.manifest
    decided = replace(manifest, decoding=replace(manifest.decoding, **decoding))
    bundle = replace(session.bundle, manifest=decided, language=None)
    silent = NullEngine(manifest.graphs["asr"])
    return Session(bundle, session.threads, {**session.engines, "asr": silent})


class CachedEncoding:
    """The encoder's latents over a recording `[N]`, through the session's own decoders as often as
    wanted; words are not listened for."""

    def __init__(self, session: Session, pcm: Array) -> None:
        self.pcm, self._session = pcm, session
        self._recorder = Recorder(session.engines["encoder"], "latents")
        self._process({"encoder": self._recorder}, float("inf"))

    def decide(self, latency_s: float, **decoding: Any) -> Result:
        """Turns and speakers at this latency, with these thresholds instead of the bundle's."""
        graphs = self._session.bundle.manifest.graphs
        rest = {t.name: np.zeros(t.shape, np.float32) for t in graphs["encoder"].outputs}
        encoder = Replayer(self._recorder.kept, rest)
        frontend = NullEngine(graphs["frontend"])
        return self._process({"frontend": frontend, "encoder": encoder}, latency_s, **decoding)

    def _process(self, engines: Mapping[str, Engine], latency_s: float, **decoding: Any) -> Result:
        silent = without_words(self._session, **decoding)
        session = Session(silent.bundle, silent.threads, {**silent.engines, **engines})
        return session.process(self.pcm, latency_s)
