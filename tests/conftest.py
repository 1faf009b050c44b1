"""Fixtures that more than one test file uses."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import settings

from echo_edge import manifest as m

# How long one example takes says more about what else the machine does than about the code.
settings.register_profile("echo-edge", deadline=None)
settings.load_profile("echo-edge")

# Nobody, either of two speakers, both: small enough to read, and every rule has something to bite.
POWERSET = ((), (0,), (1,), (0, 1))
TOKENS = "<blank>\n<space>\na\nb\nc\n"


def _tensor(name: str, *shape: int) -> m.TensorSpec:
    return m.TensorSpec(name, shape, "float32")


def _graphs() -> dict[str, m.GraphSpec]:
    """Shapes of a bundle with chunks of 2 steps of 640 samples and a window of 8 steps."""
    tensors = {
        "frontend": ([("audio", 1, 1520)], [("features", 1, 8, 80), ("spectrum", 1, 8, 257, 2)]),
        "encoder": (
            [("features", 1, 8, 80), ("cache", 1, 4, 16)],
            [("latents", 1, 2, 16), ("new_cache", 1, 4, 16)],
        ),
        "diarization": ([("latents", 1, 8, 16)], [("logits", 1, 8, 4)]),
        "speaker": ([("latents", 1, 8, 16), ("weights", 1, 8)], [("embedding", 1, 6)]),
        "asr": ([("latents", 1, 2, 16)], [("logprobs", 1, 4, 5)]),
        "separation": (
            [("latents", 1, 2, 16), ("spectrum", 1, 8, 257, 2)],
            [("sources", 1, 2, 1520)],
        ),
    }
    return {
        name: m.GraphSpec(
            f"{name}.null",
            tuple(_tensor(*each) for each in inputs),
            tuple(_tensor(*each) for each in outputs),
            {"cache": "new_cache"} if name == "encoder" else {},
        )
        for name, (inputs, outputs) in tensors.items()
    }


def tiny_manifest(files: dict[str, bytes]) -> m.Manifest:
    """A manifest with something under every key, that lists `files`."""
    return m.Manifest(
        schema=m.BUNDLE_SCHEMA,
        name="tiny-v1.0-float32-null",
        version="1.0",
        build=1,
        minimum_runtime="0.1.0",
        engine=m.EngineSpec("null", "0"),
        recipe="float32",
        audio=m.AudioSpec(16000, 1280, 160),
        streaming=m.StreamingSpec(2, 640, 4),
        diarization=m.DiarizationSpec(8, 4, POWERSET, 6),
        decoding={"speaker_threshold": 0.5},
        asr=m.AsrSpec("tokens.txt", 0, 2),
        separation=m.SeparationSpec(2, 240),
        graphs=_graphs(),
        files={
            name: m.FileSpec(hashlib.sha256(data).hexdigest(), len(data))
            for name, data in files.items()
        },
        source=m.SourceSpec("0" * 64, 1000, {"torch": "2.13.0"}),
        parity={"encoder.sqnr_db": 40.0},
        metrics={"der": 0.15},
        boards=("Raspberry Pi 5",),
    )


@pytest.fixture
def tiny_bundle(tmp_path: Path) -> Path:
    """A valid bundle folder of the null engine: dummy graphs, one file in a folder."""
    folder = tmp_path / "tiny"
    (folder / "selftest").mkdir(parents=True)
    files = {f"{name}.null": f"graph {name}\n".encode() for name in m.GRAPH_NAMES}
    files |= {"tokens.txt": TOKENS.encode(), "selftest/expected.txt": b"hello\n"}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "manifest.json").write_bytes(m.dump(tiny_manifest(files)))
    return folder
