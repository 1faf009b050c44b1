"""A pretend model whose right answers are known: the level of the audio spells out who speaks and
which character is said, the graphs read it back as real ones do, state and all."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from echo_edge import cli
from echo_edge.bundle.manifest import DiarizationSpec, GraphSpec, Manifest, TensorSpec
from echo_edge.bundle.verify import open_bundle
from echo_edge.engines import Engine
from echo_edge.session import Session
from tests.runtime.recording import SECOND, noise

Array = NDArray[np.float32]
Said = tuple[float, tuple[int, ...], int]
"""Seconds, the speakers (at most two of 0, 1, 2), the token."""

STEP = 640
WINDOW_STEPS, HOP_STEPS = 25, 5
POWERSET = ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2))
N_TOKENS = 5
LEVELS = 64.0


def level(speakers: tuple[int, ...], token: int) -> float:
    """The amplitude of one step, a tone of 8 kHz: below 80 Hz it would be taken for rumble."""
    return (POWERSET.index(speakers) + len(POWERSET) * token) / LEVELS


def _codes(levels: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Powerset class (of speakers, not of local speakers) and token per step."""
    codes = np.clip(np.rint(levels * LEVELS), 0, len(POWERSET) * N_TOKENS - 1).astype(np.int64)
    return codes % len(POWERSET), codes // len(POWERSET)


def _frontend(pcm: Array, pcm_state: Array) -> dict[str, Array]:
    levels = np.abs(pcm.reshape(-1, STEP)[:, STEP // 2])
    features = np.zeros((1, 4 * len(levels), 80), np.float32)
    features[0, :, 0] = np.repeat(levels, 4)
    spectrum = np.zeros((1, 4 * len(levels), 257, 2), np.float32)
    tail = np.concatenate([pcm_state, pcm], axis=1)[:, -pcm_state.shape[1] :]
    return {"features": features, "spectrum": spectrum, "pcm_state_next": tail}


def _encoder(features: Array, **state: Array) -> dict[str, Array]:
    latents = np.zeros((1, features.shape[1] // 4, 16), np.float32)
    latents[0, :, 0] = features[0, ::4, 0]
    heads = ("diarization", "speaker", "asr", "separation")
    out = {"latents": latents} | {f"latents_{head}": latents.copy() for head in heads}
    return out | {f"{name}_next": value + 1 for name, value in state.items()}


def _diarization(latents: Array, valid: Array) -> dict[str, Array]:
    """Speakers numbered by their appearance in the window, as a powerset model numbers them."""
    classes = np.where(valid[0] > 0, _codes(latents[0, :, 0])[0], 0)
    seen = [speaker for index in classes for speaker in POWERSET[index]]
    local = {speaker: n for n, speaker in enumerate(dict.fromkeys(seen))}
    posteriors = np.full((1, len(classes), len(POWERSET)), 0.01, np.float32)
    for step, index in enumerate(classes):
        active = tuple(sorted(local[speaker] for speaker in POWERSET[index]))
        posteriors[0, step, POWERSET.index(active)] = 0.94
    return {"logprobs": np.log(posteriors)}


def _speaker(latents: Array, weights: Array) -> dict[str, Array]:
    """Direction 0, 1 or 2: whoever speaks alone where the weights are."""
    classes = _codes(latents[0, :, 0])[0]
    alone = np.zeros((len(classes), 6), np.float32)
    for speaker in range(3):
        alone[classes == POWERSET.index((speaker,)), speaker] = 1.0
    sums = weights[0] @ alone
    return {"embeddings": (sums / (np.linalg.norm(sums, axis=1, keepdims=True) + 1e-6))[None]}


def _asr(latents: Array, asr_state: Array) -> dict[str, Array]:
    """Each token two steps late, through the state, as a real transcriber lags behind."""
    levels = np.concatenate([asr_state[0, :2, 0], latents[0, :, 0]])
    tokens = np.repeat(_codes(levels[:-2])[1], 2)
    posteriors = np.full((1, len(tokens), N_TOKENS), 0.025, np.float32)
    posteriors[0, np.arange(len(tokens)), tokens] = 0.9
    after = asr_state.copy()
    after[0, :2, 0] = levels[-2:]
    return {"logprobs": np.log(posteriors), "asr_state_next": after}


def _separation(latents: Array, voices: Array, **state: Array) -> dict[str, Array]:
    """The level where a speaker is active, in the slot that is told the speaker's voice; who is in
    which of the others changes from call to call."""
    calls = int(state["slot_valid"][0, 0])
    levels = latents[0, :, 0]
    classes = _codes(levels)[0]
    sources = np.zeros((3, len(levels) * STEP + 240), np.float32)
    for speaker in range(3):
        active = [speaker in POWERSET[index] for index in classes]
        sources[speaker, :-240] = np.repeat(np.where(active, levels, 0.0), STEP)
    told = [int(voice.argmax()) if voice.any() else None for voice in voices[0]]
    left = np.roll([speaker for speaker in range(3) if speaker not in told], calls).tolist()
    order = [left.pop() if speaker is None else speaker for speaker in told]
    out = {"sources": sources[order], "presence": np.ones(3, np.float32)}
    names = [name for name in state if name.startswith("slot_")]
    return out | {f"{name}_next": state[name] + 1 for name in names}


GRAPHS: dict[str, Callable[..., dict[str, Array]]] = {
    "frontend": _frontend,
    "encoder": _encoder,
    "diarization": _diarization,
    "speaker": _speaker,
    "asr": _asr,
    "separation": _separation,
}


@dataclass
class FakeEngine:
    """One graph of the pretend model, held to the shapes of its spec."""

    spec: GraphSpec
    compute: Callable[..., dict[str, Array]]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        assert {n: v.shape for n, v in inputs.items()} == {
            t.name: t.shape for t in self.spec.inputs
        }
        outputs = self.compute(**inputs)
        assert {n: v.shape for n, v in outputs.items()} == {
            t.name: t.shape for t in self.spec.outputs
        }
        return outputs

    def close(self) -> None:
        """Nothing to free."""


def _fake_manifest(manifest: Manifest) -> Manifest:
    """Windows of 1 s every 0.2 s, long enough to tell voices apart."""
    shapes = {
        "latents": (1, WINDOW_STEPS, 16),
        "valid": (1, WINDOW_STEPS),
        "weights": (1, 3, WINDOW_STEPS),
        "logprobs": (1, WINDOW_STEPS, 7),
        "embeddings": (1, 3, 6),
    }

    def resized(tensors: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        return tuple(replace(tensor, shape=shapes[tensor.name]) for tensor in tensors)

    graphs = dict(manifest.graphs)
    for name in ("diarization", "speaker"):
        spec = graphs[name]
        graphs[name] = replace(spec, inputs=resized(spec.inputs), outputs=resized(spec.outputs))
    return replace(
        manifest,
        graphs=graphs,
        diarization=DiarizationSpec(WINDOW_STEPS, HOP_STEPS, POWERSET, 6),
        decoding=replace(manifest.decoding, new_voice_s=0.3, gap_s=0.2, shortest_turn_s=0.2),
    )


@pytest.fixture(autouse=True, scope="session")
def nobody_known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Who is known to the user that runs the tests is not known to them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ECHO_EDGE_VOICES", str(tmp_path_factory.mktemp("nobody") / "voices.json"))
        yield


class _PretendSession(Session):
    """Stays open: a test may run several commands with it."""

    def close(self) -> None:
        """There is nothing to free."""


@pytest.fixture
def fake_session(null_bundle: Path) -> Session:
    """A session of the pretend model."""
    bundle = open_bundle(null_bundle)
    bundle = replace(bundle, manifest=_fake_manifest(bundle.manifest))
    specs = bundle.manifest.graphs
    engines: dict[str, Engine] = {n: FakeEngine(specs[n], GRAPHS[n]) for n in specs}
    return _PretendSession(bundle, 1, engines)


@pytest.fixture
def spoken() -> Callable[[list[Said]], Array]:
    """The audio in which these things are said, one after the other; each a whole step or more."""

    def speak(said: list[Said]) -> Array:
        pieces = [
            np.tile(np.float32([1, -1]) * level(speakers, token), round(seconds / 0.04) * STEP // 2)
            for seconds, speakers, token in said
        ]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)

    return speak


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    def failed(self, code: int, message: str) -> None:
        """Exactly one line on stderr, with this in it."""
        assert (self.code, self.err.count("\n")) == (code, 1), self.err
        assert re.fullmatch(f"echo-edge: .*{message}.*\n", self.err), self.err

    def worked(self) -> None:
        """Nothing on stderr."""
        assert (self.code, self.err) == (0, "")


Command = Callable[..., Outcome]


@pytest.fixture
def command(
    null_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """The command, with a bundle in which nobody speaks unless it is told another."""
    monkeypatch.setenv("ECHO_EDGE_BUNDLE", str(null_bundle))

    def run(*arguments: object) -> Outcome:
        code = cli.main([str(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture
def talking(command: Command, fake_session: Session, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command with the pretend model."""
    monkeypatch.setattr("echo_edge.cli.run.load", lambda *_: fake_session)
    return command


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    """A file of three seconds of noise."""
    soundfile.write(tmp_path / "a.wav", noise(3.0), SECOND)
    return tmp_path / "a.wav"


@pytest.fixture
def process(null_bundle: Path) -> Command:
    """The command in a process of its own, with a bundle in which nobody speaks."""
    code = "import sys; from echo_edge.cli import main; sys.exit(main())"
    environment = os.environ | {"ECHO_EDGE_BUNDLE": str(null_bundle)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}

    def run(*arguments: object, **options: Any) -> Outcome:
        words = [sys.executable, "-c", code, *map(str, arguments)]
        done = subprocess.run(words, check=False, env=environment, **(pipes | options))
        return Outcome(done.returncode, (done.stdout or b"").decode(), done.stderr.decode())

    return run
