"""Decoder thresholds by search on development conversations: lowest DER, unknown speaker count.

The encoder runs once per conversation; the search replays its latents through the real decoders.
A row is DER and share of right counts in per cent, live and at the end.

    python -m training.tune --data DATA --bundle echo_edge/default_bundle
"""

import argparse
import itertools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echo_edge.engines import Engine
from echo_edge.engines.null import NullEngine
from echo_edge.session import Session, load

from .data import load_corpus
from .diarization_metrics import Der, simulated, turns_of
from .mixtures import Mixture

Array = NDArray[np.float32]
GRID = {
    "stretch_threshold": (0.3, 0.35, 0.4, 0.45),
    "group_threshold": (0.3, 0.35, 0.38, 0.4),
    "active_threshold": (0.4, 0.45, 0.5),
}
LATENCIES_S = (2.0, float("inf"))


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
        """Nothing to free."""


class Replayer:
    """An engine that gives recorded answers, in order; states stay zero."""

    def __init__(self, kept: list[dict[str, Array]], rest: dict[str, Array]) -> None:
        self.answers, self.rest = iter(kept), rest

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """The next answer."""
        return {**self.rest, **next(self.answers)}

    def close(self) -> None:
        """Nothing to free."""


def record(session: Session, pcm: Array) -> list[dict[str, Array]]:
    """The encoder's latents over one conversation."""
    recorder = Recorder(session.engines["encoder"], "latents")
    Session(session.bundle, session.threads, {**session.engines, "encoder": recorder}).process(pcm)
    return recorder.kept


def score(
    session: Session,
    mixtures: list[Mixture],
    recorded: list[list[dict[str, Array]]],
    decoding: dict[str, float],
    latency_s: float,
) -> tuple[float, float]:
    """DER of all conversations with these thresholds and share of right counts, in per cent."""
    manifest = session.bundle.manifest
    bundle = replace(
        session.bundle, manifest=replace(manifest, decoding={**manifest.decoding, **decoding})
    )
    null = {name: NullEngine(spec) for name, spec in manifest.graphs.items()}
    rest = {t.name: np.zeros(t.shape, np.float32) for t in manifest.graphs["encoder"].outputs}
    der = Der()
    for mixture, kept in zip(mixtures, recorded, strict=True):
        engines: dict[str, Engine] = {
            **session.engines,
            "frontend": null["frontend"],
            "asr": null["asr"],
            "encoder": Replayer(kept, rest),
        }
        replayed = Session(bundle, 1, engines)
        result = replayed.process(mixture.pcm, latency_s, language_model=False)
        der.add(turns_of(mixture.active), result)
    figures = der.figures("x")
    return figures["x.der"], figures["x.count_right"]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with dev/")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--conversations", type=int, default=8)
    args = parser.parse_args()
    corpus = load_corpus([args.data / "dev"], args.cache / "dev")
    mixtures = simulated(corpus, args.conversations, 60.0, seed=78)
    with load(args.bundle, threads=2) as session:
        recorded = [record(session, mixture.pcm) for mixture in mixtures]
        rows = []
        for values in itertools.product(*GRID.values()):
            decoding = dict(zip(GRID, values, strict=True))
            found = [score(session, mixtures, recorded, decoding, s) for s in LATENCIES_S]
            ders = [der for der, _ in found]
            rows.append((sum(ders), ders, decoding))
            told = "  ".join(f"{der:6.2f} {right:3.0f}" for der, right in found)
            print(f"{told}  {decoding}", flush=True)
    best = min(rows, key=lambda row: row[0])
    print(f"best: DER {best[1][0]:.2f} at 2 s, {best[1][1]:.2f} at the end: {best[2]}")


if __name__ == "__main__":
    main()
