"""The table of converters: engine -> function, and its facts for the manifest. A converter is
imported only when it is asked for: the three together take 20 seconds to import.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from echo_edge.bundle.manifest import GraphSpec
from echo_edge.errors import EchoError, UsageError
from echo_edge_export.quantize.recipes import Recipe

if TYPE_CHECKING:  # they import torch, without which the table can be read
    from echo_edge_export.model.streaming import GraphJob
    from echo_edge_export.quantize.calibrate import Calibration


class Convert(Protocol):
    """Writes one graph in one engine's format."""

    def __call__(
        self, job: "GraphJob", recipe: Recipe, calibration: "Calibration | None", path: Path
    ) -> GraphSpec:
        """Write `job` to `path` and describe it for the manifest.

        EchoError for an operator without a lowering, or a static recipe without a calibration.
        """


@dataclass(frozen=True)
class Exporter:
    """One engine's converter and its defaults."""

    function: str
    """A module of this folder, and the function in it of the same name."""
    suffix: str
    minimum_engine: str
    """Oldest engine that runs what is written here, and runs it right."""
    tools: tuple[str, ...]
    """Whose versions decide the bytes."""
    recipe: str
    """The default, chosen by measurement on the trained model: docs/decisions."""

    def load(self) -> Convert:
        """The function. EchoError if what it needs is not installed."""
        try:
            module = import_module(f"echo_edge_export.convert.{self.function}")
            function: Convert = getattr(module, self.function)
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
