"""Task parity: DER and WER of a bundle and of the float model on the bundle's labelled minute, both
through the runtime. The figures go into the manifest.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from echo_edge.bench.accuracy import Labelled, read_labelled, score
from echo_edge.bench.measure import LATENCY_S
from echo_edge.bundle.manifest import GraphSpec
from echo_edge.errors import EchoError
from echo_edge.session import Session
from echo_edge_export.model.echo import Echo
from echo_edge_export.model.streaming import graph_modules

Array = NDArray[np.float32]


class EagerGraph:
    """A graph in eager float torch, where the runtime expects an engine."""

    def __init__(self, module: nn.Module, spec: GraphSpec) -> None:
        self._module, self._spec = module, spec

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name."""
        given = [torch.from_numpy(np.ascontiguousarray(inputs[t.name])) for t in self._spec.inputs]
        with torch.no_grad():
            values = self._module(*given)
        values = values if isinstance(values, tuple) else (values,)
        names = [tensor.name for tensor in self._spec.outputs]
        return {name: value.numpy() for name, value in zip(names, values, strict=True)}

    def close(self) -> None:
        """Required by the protocol; frees nothing."""


@dataclass(frozen=True)
class Tasks:
    """DER and WER in per cent on the labelled minute, at the latency at which `bench` listens."""

    metrics: dict[str, float]
    """Against the truth."""
    parity: dict[str, float]
    """How much more than the float model's, and if that found anything, with what it found as the
    truth."""
    missing: str = ""
    """Library without which nothing was measured."""

    def line(self) -> str:
        """For people."""
        if self.missing:
            cure = f"{self.missing} is not installed: pip install 'echo-edge[metrics]'"
            return f"  labelled minute: not measured, {cure}"
        pairs = [
            [figures.get(f"labelled.{name}{suffix}") for name in ("der", "wer")]
            for figures, suffix in (
                (self.metrics, ""), (self.parity, "_change"), (self.parity, "_from_float"),
            )
        ]  # fmt: skip
        labels = ("labelled minute: DER, WER", "change from float", "away from what float says")
        forms = ("{:.1f}, {:.1f} %", "{:+.1f}, {:+.1f}", "{:.1f}, {:.1f} %")
        parts = [
            f"{words} {form.format(*pair)}"
            for words, form, pair in zip(labels, forms, pairs, strict=True)
            if None not in pair
        ]
        return f"  {'; '.join(parts)}"


def measure_tasks(session: Session, model: Echo) -> Tasks:
    """The figures of a loaded bundle that was made of `model`; none without libraries that score.

    EchoError for a bundle without a labelled recording.
    """
    try:
        import jiwer
        import simpleder
    except ImportError as error:
        return Tasks({}, {}, missing=str(error.name))
    labelled = read_labelled(session.bundle)
    if labelled is None:
        raise EchoError(f"{session.bundle.path}: holds no labelled recording")
    found = session.process(labelled.pcm, LATENCY_S)
    expected = eager(session, model).process(labelled.pcm, LATENCY_S)
    right, best = (score(labelled, result, jiwer, simpleder) for result in (found, expected))
    parity = {
        "labelled.der_change": right.der_percent - best.der_percent,
        "labelled.wer_change": right.wer_percent - best.wer_percent,
    }
    if expected.turns and expected.words:
        words = sorted(expected.words, key=lambda word: word.start_s)
        truth = Labelled(labelled.pcm, expected.turns, " ".join(word.text for word in words))
        away = score(truth, found, jiwer, simpleder)
        parity["labelled.der_from_float"] = away.der_percent
        parity["labelled.wer_from_float"] = away.wer_percent
    metrics = {"labelled.der": right.der_percent, "labelled.wer": right.wer_percent}
    return Tasks(_rounded(metrics), _rounded(parity))


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in figures.items()}


def eager(session: Session, model: Echo) -> Session:
    """The same bundle with the float model in the place of its graphs."""
    manifest = session.bundle.manifest
    modules = graph_modules(model, manifest.streaming.chunk_steps)
    graphs = {name: EagerGraph(modules[name], spec) for name, spec in manifest.graphs.items()}
    return Session(session.bundle, session.threads, dict(graphs))
