"""Which function writes which engine's file, and what its manifest must say. A converter is
imported only when it is asked for: the three together take 20 seconds to import.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

from echo_edge.bundle.manifest import GraphSpec
from echo_edge.errors import EchoError, UsageError
from echo_edge_export.quantize.calibrate import Calibration
from echo_edge_export.quantize.recipes import Recipe


class ExportGraph(Protocol):
    """One fixed-shape module to one file; `inputs` are example tensors by input name."""

    def __call__(
        self,
        module: nn.Module,
        graph_name: str,
        inputs: Mapping[str, Tensor],
        outputs: tuple[str, ...],
        recipe: Recipe,
        calibration: Calibration | None,
        path: Path,
    ) -> GraphSpec:
        """Write `path` and describe it for the manifest."""


@dataclass(frozen=True)
class Exporter:
    """How bundles for one engine are made."""

    function: str
    """Module and function of this package, of the same name."""
    suffix: str
    minimum_engine: str
    """Oldest engine that runs what is written here, and runs it right."""
    tools: tuple[str, ...]
    """Whose versions decide the bytes."""
    recipe: str
    """The default, chosen by measurement on the trained model: docs/decisions."""

    def load(self) -> ExportGraph:
        """The function. EchoError if what it needs is not installed."""
        try:
            function: ExportGraph = getattr(
                import_module(f"echo_edge_export.{self.function}"), self.function
            )
        except ImportError as error:
            raise EchoError(
                f"{self.function}: {error.name} is not installed here: "
                "pip install 'echo-edge[export]'"
            ) from error
        return function


EXPORTERS = {
    "onnx": Exporter("to_onnx", ".onnx", "1.23.2", ("torch", "onnx", "numpy"), "static_w8a8"),
    "tflite": Exporter(
        "to_tflite", ".tflite", "2.0.3", ("torch", "ai-edge-litert", "flatbuffers", "numpy"),
        "dynamic_w8",
    ),
    "executorch": Exporter(
        "to_executorch", ".pte", "1.5.1", ("torch", "executorch", "numpy"),
        "dynamic_w8",
    ),
}  # fmt: skip


def find_exporter(engine: str) -> Exporter:
    """The exporter for an engine; UsageError names the known ones."""
    if engine not in EXPORTERS:
        raise UsageError(f"engine {engine}: this version exports to {', '.join(EXPORTERS)}")
    return EXPORTERS[engine]
