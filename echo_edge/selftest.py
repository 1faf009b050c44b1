"""Is the model still itself here? Every graph over one clip, compared with that of float torch.

The exporter uses the same trace for its parity report, so a board is held to what was promised.
"""

import io
import wave
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.npy import read_npy
from echo_edge.bundle.types import FileName, as_bundle_error
from echo_edge.bundle.verify import Bundle
from echo_edge.errors import BundleError
from echo_edge.session import Session
from echo_edge.strict_json import convert, read_json

Array = NDArray[np.float32]

AUDIO, EXPECTED = "selftest/audio.wav", "selftest/expected.json"
MAX_CLIP_SAMPLES = 60 * 16_000
"""Samples; the test runs on every installation."""
LATENTS = ("diarization", "speaker", "asr", "separation")


def trace(session: Session, pcm: Array) -> dict[str, Array]:
    """Outputs of all six graphs over `pcm` (float32, 16 kHz), joined over time.

    `latents`, `latents_<head>` `[S, d]`; `asr`, `phones` and `diarization` posteriors; `speaker`
    embeddings of whole windows; `sources` `[K, samples]`. The last chunk is padded with silence;
    windows are whole, from the start, without overlap.
    """
    manifest = session.bundle.manifest
    frontend, encoder = session.graph("frontend"), session.graph("encoder")
    asr, separation = session.graph("asr"), session.graph("separation")
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
        decoded = asr.run(latents=latents["latents_asr"])
        out["asr"] = np.exp(decoded["logprobs"][0])
        if "phones" in decoded:
            out["phones"] = np.exp(decoded["phones"][0])
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
        return all(self.sqnr_db[name] >= min_db for name, min_db in self.least_db.items())

    def summary(self) -> str:
        """One line: the worst output against its limit."""
        name = min(self.least_db, key=lambda n: self.sqnr_db[n] - self.least_db[n])
        verdict = "passed" if self.passed else "FAILED"
        found, min_db = self.sqnr_db[name], self.least_db[name]
        return f"self-test {verdict}: worst output {name} {found:.1f} dB, at least {min_db:.1f} dB"


@dataclass(frozen=True)
class Expected:
    """The content of a bundle's `selftest/`."""

    clip: Array
    """float32, 16 kHz, `[samples]`."""
    arrays: dict[str, Array]
    """Output -> the array that float torch computes from the clip."""
    least_db: dict[str, float]


@dataclass(frozen=True)
class _Entry:
    """One entry of `expected.json`."""

    file: FileName
    least_db: float


def read_selftest(bundle: Bundle) -> Expected:
    """The files of the self-test; needs no engine.

    BundleError if the bundle has none, or one that cannot be read.
    """
    if EXPECTED not in bundle.manifest.files or AUDIO not in bundle.manifest.files:
        raise BundleError(
            f"{bundle.path.name}: holds no self-test: export it again", "selftest-files"
        )
    text = (bundle.path / EXPECTED).read_bytes()
    with as_bundle_error():
        entries: dict[str, _Entry] = convert(
            read_json(text, EXPECTED), dict[str, _Entry], f"{EXPECTED}: "
        )
    if not entries:
        raise BundleError(
            f"{EXPECTED}: found nothing to compare: export it again", "selftest-files"
        )
    arrays = {name: _read_array(bundle, entry.file) for name, entry in entries.items()}
    least_db = {name: entry.least_db for name, entry in entries.items()}
    return Expected(read_clip(bundle), arrays, least_db)


def run_selftest(session: Session, expected: Expected | None = None) -> SelfTest:
    """Compare this device with the bundle's `selftest/`, or with `expected`, read from there.

    BundleError as from `read_selftest`, and for arrays of other shapes than the graphs compute.
    """
    expected = expected or read_selftest(session.bundle)
    return judge(expected, trace(session, expected.clip))


def judge(expected: Expected, measured: dict[str, Array]) -> SelfTest:
    """Compare what `trace` found on this device with what is expected. BundleError for arrays of
    other shapes than the graphs compute."""
    for name, array in expected.arrays.items():
        if name not in measured:
            raise BundleError(
                f"{AUDIO}: too short to compare {name[:100]}: export it again", "selftest-files"
            )
        if array.shape != measured[name].shape:
            raise BundleError(
                f"{EXPECTED}: {name[:100]}: found {list(array.shape)}, expected "
                f"{list(measured[name].shape)}, what the graphs compute: export it again",
                "selftest-files",
            )
    found = {name: sqnr_db(array, measured[name]) for name, array in expected.arrays.items()}
    return SelfTest(found, expected.least_db)


def _read_array(bundle: Bundle, file: str) -> Array:
    """An array of `selftest/`, as float32."""
    name = f"selftest/{file}"
    if name not in bundle.manifest.files:
        raise BundleError(f"{EXPECTED}: found {file}, expected a listed file", "selftest-files")
    try:
        array = read_npy((bundle.path / name).read_bytes())
        if array.dtype.kind != "f":
            raise ValueError(f"found {array.dtype}, expected floats")
    except ValueError as error:
        raise BundleError(
            f"{name}: found no .npy file to compare with ({error}): export it again",
            "selftest-files",
        ) from error
    return array.astype(np.float32)


def read_clip(bundle: Bundle) -> Array:
    """The bundle's self-test audio, float32 `[samples]`.

    BundleError if it is not what it should be: 16 kHz, mono, 16 bits, at most a minute.
    """
    try:
        with wave.open(io.BytesIO((bundle.path / AUDIO).read_bytes())) as clip:
            form = (clip.getframerate(), clip.getnchannels(), clip.getsampwidth())
            n_frames = clip.getnframes()
            data = clip.readframes(min(n_frames, MAX_CLIP_SAMPLES))
    except (wave.Error, EOFError) as error:
        raise BundleError(
            f"{AUDIO}: found no WAV file ({error}): export it again", "selftest-files"
        ) from error
    if form != (16_000, 1, 2) or not 0 < n_frames <= MAX_CLIP_SAMPLES or len(data) != 2 * n_frames:
        raise BundleError(
            f"{AUDIO}: found {form[0]} Hz, {form[1]} channels, {8 * form[2]} bits, {n_frames} "
            f"samples, expected 16000 Hz, 1 channel, 16 bits, 1 to {MAX_CLIP_SAMPLES} samples: "
            "export it again",
            "selftest-files",
        )
    return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)
