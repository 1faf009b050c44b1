"""The examples by engine: where each is, what its tests need, and what is different about it."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "firmware_examples"


@dataclass(frozen=True)
class Engine:
    """An engine and its example."""

    name: str
    folder: Path
    package: str
    """The Python package that has the engine's library."""
    library: str
    """That library in it, or "" for an engine that is linked."""
    suffix: str
    """Of graph files."""
    max_rss_mib: float
    """Peak, with all heads."""
    is_exact: bool = False
    """Whether C and Python print the same bytes."""

    def package_folder(self) -> Path:
        """Where the package is installed."""
        spec = find_spec(self.package)
        assert spec is not None
        (folder,) = spec.submodule_search_locations or [""]
        return Path(folder)

    def arguments(self) -> list[str]:
        """What makes the program find the engine that Python uses here."""
        if not self.library:
            return []
        return ["--engine-library", str(next(self.package_folder().glob(self.library)))]

    def make_options(self) -> list[str]:
        """What makes the example build with the engine that Python uses here."""
        return [] if self.library else [f"EXECUTORCH={self.package_folder()}"]


ONNX = Engine(
    "onnx", EXAMPLES / "c_onnxruntime", "onnxruntime", "capi/libonnxruntime.so.*", ".onnx", 90.0
)
TFLITE = Engine("tflite", EXAMPLES / "c_tflite", "ai_edge_litert", "libLiteRt.so", ".tflite", 80.0)
EXECUTORCH = Engine(
    "executorch", EXAMPLES / "cpp_executorch", "executorch", "", ".pte", 80.0, is_exact=True
)


def needs(engine: Engine) -> list[pytest.MarkDecorator]:
    """Marks of a test of this engine's example."""
    is_missing = find_spec(engine.package) is None
    if engine is ONNX:
        return [pytest.mark.skipif(is_missing, reason="needs echo-edge[onnx]")]
    return [
        pytest.mark.slow,  # a bundle is exported first, unless one is in build/
        pytest.mark.skipif(
            is_missing or find_spec("torch") is None,
            reason="needs echo-edge[export] to make a bundle",
        ),
    ]


ENGINES = [pytest.param(e, marks=needs(e), id=e.name) for e in (ONNX, TFLITE, EXECUTORCH)]
