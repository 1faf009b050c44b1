"""Fixtures that more than one test file uses."""

import hashlib
import io
import json
import os
import wave
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

import echo_edge
from echo_edge.bundle import manifest as m
from echo_edge.bundle.decoding import DecodingSpec

# How long one example takes says more about what else the machine does than about the code.
settings.register_profile("echo-edge", deadline=None)
settings.load_profile("echo-edge")

# Nobody, either of two speakers, both: small enough to read, and every rule has something to bite.
POWERSET = ((), (0,), (1,), (0, 1))
ECHO_POWERSET = ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2))
DECODING = DecodingSpec(
    active_threshold=0.5,
    gap_s=0.4,
    group_threshold=0.55,
    language_weight=0.6,
    new_voice_s=1.0,
    shortest_turn_s=0.2,
    stretch_threshold=0.75,
    word_bonus=1.0,
    slot_threshold=0.55,
)
LATENTS = ("diarization", "speaker", "asr", "separation")
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
        decoding=DECODING,
        asr=m.AsrSpec("tokens.txt", 0, 2, ""),
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


def _echo_graphs() -> dict[str, m.GraphSpec]:
    """The names, state and order of a real bundle's tensors, at 2 steps a chunk and d 16."""
    slots = [("slot_key_cache", 2, 4, 2), ("slot_value_cache", 2, 4, 2), ("slot_valid", 1, 4)]
    caches = [("key_cache", 2, 2, 4, 8), ("value_cache", 2, 2, 4, 8), ("cache_valid", 1, 4)]
    tensors = {
        "frontend": (
            [("pcm", 1, 1280)],
            [("features", 1, 8, 80), ("spectrum", 1, 8, 257, 2)],
            [("pcm_state", 1, 240)],
        ),
        "encoder": (
            [("features", 1, 8, 80)],
            [("latents", 1, 2, 16), *((f"latents_{head}", 1, 2, 16) for head in LATENTS)],
            [("conv_state", 1, 4, 16), *caches],
        ),
        "diarization": ([("latents", 1, 8, 16), ("valid", 1, 8)], [("logprobs", 1, 8, 7)], []),
        "speaker": ([("latents", 1, 8, 16), ("weights", 1, 3, 8)], [("embeddings", 1, 3, 6)], []),
        "asr": ([("latents", 1, 2, 16)], [("logprobs", 1, 4, 5)], [("asr_state", 1, 4, 16)]),
        "separation": (
            [
                ("latents", 1, 2, 16),
                ("features", 1, 8, 80),
                ("spectrum", 1, 8, 257, 2),
                ("voices", 1, 3, 6),
            ],
            [("sources", 3, 1520), ("presence", 3)],
            slots,
        ),
    }
    return {
        name: m.GraphSpec(
            f"{name}.null",
            tuple(_tensor(*each) for each in inputs + state),
            tuple(_tensor(*each) for each in outputs)
            + tuple(_tensor(f"{state_name}_next", *shape) for state_name, *shape in state),
            {state_name: f"{state_name}_next" for state_name, *_ in state},
        )
        for name, (inputs, outputs, state) in tensors.items()
    }


def _array_bytes(array: np.ndarray) -> bytes:
    data = io.BytesIO()
    np.save(data, array)
    return data.getvalue()


def _selftest_files() -> dict[str, bytes]:
    """One second of seeded noise and what the null engine makes of it: zeros, and exp(0)."""
    clip = io.BytesIO()
    noise = np.random.default_rng(0).integers(-3000, 3000, 16_000)
    with wave.open(clip, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(noise.astype("<i2").tobytes())
    n_chunks = 13
    outputs = {
        "latents": (np.zeros((2 * n_chunks, 16), np.float16), 0.0),
        "asr": (np.ones((4 * n_chunks, 5), np.float16), 100.0),
        "diarization": (np.ones((24, 7), np.float16), 100.0),
        "speaker": (np.zeros((3, 6), np.float16), 0.0),
        "sources": (np.zeros((1520 * n_chunks, 3), np.float16), 0.0),
    }
    expected = {n: {"file": f"{n}.npy", "least_db": least} for n, (_, least) in outputs.items()}
    files = {f"selftest/{name}.npy": _array_bytes(array) for name, (array, _) in outputs.items()}
    files["selftest/audio.wav"] = clip.getvalue()
    files["selftest/expected.json"] = json.dumps(expected).encode()
    return files


@pytest.fixture
def null_bundle(tmp_path: Path) -> Path:
    """A bundle of the null engine that runs: a real one's tensors, decoding and self-test.

    Chunks of 2 steps (80 ms), windows of 8 steps every 4. Nobody speaks: every output is zero.
    """
    folder = tmp_path / "null"
    (folder / "selftest").mkdir(parents=True)
    files = {f"{name}.null": f"graph {name}\n".encode() for name in m.GRAPH_NAMES}
    files |= {"tokens.txt": TOKENS.encode()} | _selftest_files()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    manifest = replace(
        tiny_manifest(files),
        name="null-v1.0-float32-null",
        diarization=m.DiarizationSpec(8, 4, ECHO_POWERSET, 6),
        separation=m.SeparationSpec(3, 240),
        graphs=_echo_graphs(),
    )
    (folder / "manifest.json").write_bytes(m.dump(manifest))
    return folder


@dataclass(frozen=True)
class Owner:
    """Somebody who signs bundles, and a device that trusts them."""

    key: Path
    trust: Path

    def sign(self, folder: Path, **changes: object) -> Path:
        """Make the manifest list the files as they are now, take `changes` at its top level, and
        sign it all, whatever it is; the folder."""
        manifest = json.loads((folder / "manifest.json").read_bytes()) | changes
        paths = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        content = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        for name in set(content) & set(manifest.get("files", {})):
            digest = hashlib.sha256(content[name]).hexdigest()
            manifest["files"][name] = {"sha256": digest, "size_bytes": len(content[name])}
        content["manifest.json"] = json.dumps(manifest).encode()
        (folder / "manifest.json").write_bytes(content["manifest.json"])
        return self.sign_files(folder, content)

    def sign_files(self, folder: Path, content: dict[str, bytes]) -> Path:
        """Sign these files of the folder as they are; the folder."""
        from echo_edge.bundle.keys import read_private_key
        from echo_edge.bundle.signature import sign

        sha256 = {n: hashlib.sha256(d).hexdigest() for n, d in content.items() if n != "SIGNATURE"}
        signature = sign("null", sha256, read_private_key(self.key))
        (folder / "SIGNATURE").write_bytes(signature)
        return folder


@pytest.fixture(scope="session")
def make_owner(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Owner]:
    """A new owner; `expires` is the last day of the key."""
    pytest.importorskip("cryptography", reason="needs echo-edge[sign]")
    from echo_edge.bundle.keys import generate

    def make(expires: Any = None) -> Owner:
        folder = tmp_path_factory.mktemp("owner")
        generate(folder / "owner", expires)
        (folder / "trust").mkdir()
        (folder / "owner.pub").rename(folder / "trust" / "owner.pub")
        return Owner(folder / "owner.key", folder / "trust")

    return make


@pytest.fixture(scope="session")
def owner(make_owner: Callable[..., Owner]) -> Owner:
    """Whom the device trusts."""
    return make_owner()


@pytest.fixture
def signed_bundle(null_bundle: Path, owner: Owner) -> Path:
    """The null bundle, build 5, for any board, signed by `owner`."""
    return owner.sign(null_bundle, build=5, boards=[])


@pytest.fixture(scope="session")
def default_bundle() -> Path:
    """The bundle that ships with the package, or the one that $ECHO_EDGE_BUNDLE names."""
    shipped = Path(echo_edge.__file__).parent / "default_bundle"
    folder = Path(os.environ.get("ECHO_EDGE_BUNDLE") or shipped)
    assert (folder / "manifest.json").is_file(), f"{folder}: no bundle; set ECHO_EDGE_BUNDLE"
    return folder
