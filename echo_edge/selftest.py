"""Is the model still itself here? Every graph over one clip, compared with what float torch said.

The exporter uses the same trace for its parity report, so a board is held to what was promised.
"""

import io
import json
import wave
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle import Bundle
from echo_edge.errors import BundleError
from echo_edge.graph import GraphStream
from echo_edge.session import Session

Array = NDArray[np.float32]

AUDIO, EXPECTED = "selftest/audio.wav", "selftest/expected.json"
LATENTS = ("diarization", "speaker", "asr", "separation")


def trace(session: Session, pcm: Array) -> dict[str, Array]:
    """Outputs of all six graphs over `pcm` (float32, 16 kHz), joined over time.

    `latents`, `latents_<head>` `[S, d]`; `asr` and `diarization` posteriors; `speaker` embeddings
    of whole windows; `sources` `[K, samples]`. The last chunk is padded with silence; windows are
    whole, from the start, without overlap.
    """
    manifest = session.bundle.manifest

    def graph(name: str) -> GraphStream:
        return GraphStream(session.engines[name], manifest.graphs[name])

    frontend, encoder = graph("frontend"), graph("encoder")
    asr, separation = graph("asr"), graph("separation")
    nobody = np.zeros(
        (1, manifest.separation.max_sources, manifest.diarization.embedding_dim), "f4"
    )
    size = manifest.audio.chunk_samples
    pcm = np.pad(pcm, (0, -len(pcm) % size)).astype(np.float32)
    pieces: dict[str, list[Array]] = {}
    for start in range(0, len(pcm), size):
        front = frontend.run(pcm=pcm[None, start : start + size])
        latents = encoder.run(features=front["features"])
        out = {name: value[0] for name, value in latents.items()}
        out["features"] = front["features"][0]
        out["asr"] = np.exp(asr.run(latents=latents["latents_asr"])["logprobs"][0])
        separated = separation.run(
            latents=latents["latents_separation"],
            features=front["features"],
            spectrum=front["spectrum"],
            voices=nobody,
        )
        out["sources"] = separated["sources"].T
        for name, value in out.items():
            pieces.setdefault(name, []).append(value)
    joined = {name: np.concatenate(parts) for name, parts in pieces.items()}
    return joined | _windows(session, joined)


def _windows(session: Session, joined: dict[str, Array]) -> dict[str, Array]:
    """The two graphs that read whole windows."""
    manifest = session.bundle.manifest
    window = manifest.diarization.window_steps
    posteriors, embeddings = [], []
    (weights_spec,) = (t for t in manifest.graphs["speaker"].inputs if t.name == "weights")
    weights = np.ones(weights_spec.shape, np.float32)
    for end in range(window, len(joined["latents"]) + 1, window):
        part = slice(end - window, end)
        out = session.engines["diarization"].run(
            {
                "latents": joined["latents_diarization"][None, part],
                "valid": np.ones((1, window), np.float32),
            }
        )
        posteriors.append(np.exp(out["logprobs"][0]))
        latents = joined["latents_speaker"][None, part]
        out = session.engines["speaker"].run({"latents": latents, "weights": weights})
        embeddings.append(out["embeddings"][0, :1])
    if not posteriors:
        return {}
    return {"diarization": np.concatenate(posteriors), "speaker": np.concatenate(embeddings)}


def sqnr_db(reference: Array, measured: Array) -> float:
    """Signal to quantization noise ratio in dB, capped at 150; -150 for what is not finite."""
    noise = float(np.sum((reference.astype(np.float64) - measured) ** 2))
    if not np.isfinite(noise):  # NaN would win every comparison below
        return -150.0
    signal = float(np.sum(reference.astype(np.float64) ** 2))
    return float(min(150.0, 10 * np.log10(max(signal, 1e-20) / max(noise, 1e-20))))


@dataclass(frozen=True)
class SelfTest:
    """SQNR of each compared output on this device, and the least that the bundle allows."""

    sqnr_db: dict[str, float]
    least_db: dict[str, float]

    @property
    def passed(self) -> bool:
        """Whether every output is as close as promised."""
        return all(self.sqnr_db[name] >= least for name, least in self.least_db.items())

    def summary(self) -> str:
        """One line: the worst output against its limit."""
        name = min(self.least_db, key=lambda n: self.sqnr_db[n] - self.least_db[n])
        verdict = "passed" if self.passed else "FAILED"
        found, least = self.sqnr_db[name], self.least_db[name]
        return f"self-test {verdict}: worst output {name} {found:.1f} dB, at least {least:.1f} dB"


def run_selftest(session: Session) -> SelfTest:
    """Compare this device with the bundle's `selftest/`. BundleError if the bundle has none."""
    bundle = session.bundle
    if EXPECTED not in bundle.manifest.files or AUDIO not in bundle.manifest.files:
        raise BundleError(f"{bundle.path.name}: holds no self-test: export it again")
    expected = json.loads((bundle.path / EXPECTED).read_text(encoding="utf-8"))
    measured = trace(session, read_clip(bundle))
    absent = sorted(set(expected) - set(measured))
    if absent:
        raise BundleError(f"{AUDIO}: too short to compare {', '.join(absent)}: export it again")
    found = {
        name: sqnr_db(np.load(bundle.path / "selftest" / entry["file"]), measured[name])
        for name, entry in expected.items()
    }
    return SelfTest(found, {name: float(entry["least_db"]) for name, entry in expected.items()})


def read_clip(bundle: Bundle) -> Array:
    """The bundle's self-test audio, float32 `[samples]`."""
    data = (bundle.path / AUDIO).read_bytes()
    with wave.open(io.BytesIO(data)) as clip:
        pcm = np.frombuffer(clip.readframes(clip.getnframes()), "<i2")
    return pcm.astype(np.float32) / np.float32(32768)
