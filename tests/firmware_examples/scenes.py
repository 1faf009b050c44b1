"""Simulated recordings as Python decodes them, in bundles whose graphs an engine of the C examples
replays: the same outputs of graphs for both."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle import manifest as m
from echo_edge.bundle.language_model import SPACE, load_language_model
from echo_edge.bundle.tokens import WORD_START, read_tokens
from echo_edge.bundle.verify import Bundle
from echo_edge.recorder.messages import rounded, to_line
from echo_edge.result import SpeakerCount
from echo_edge.stream import Stream, StreamOptions
from tests.firmware_examples.example import Lines
from tests.firmware_examples.second_pass import (
    END,
    PROMPT,
    SUBWORDS,
    WIDTH,
    WORDS,
    SimulatedSecondPass,
    second_pass_tensors,
    tensor,
)

Array = NDArray[np.float32]
Answer = dict[str, NDArray[np.floating]]

STEP_S, WINDOW, HOP = 0.04, 250, 25
N_PHONES = 43


@dataclass(frozen=True)
class Scene:
    """A simulated recording and the options to decode it with."""

    seed: int
    seconds: float = 70.0
    n_voices: int = 3
    latency_s: float = 2.0
    min_speakers: int = 1
    max_speakers: int = 20
    language_model: bool = True
    noise: float = 0.4
    separate: bool = False
    second_pass: bool = False

    @property
    def n_samples(self) -> int:
        return round(self.seconds * 16_000) + 37

    @property
    def n_steps(self) -> int:
        return -(-self.n_samples // 640)


SCENES = {
    "three voices": Scene(1),
    "letter by letter": Scene(2, language_model=False),
    "decided at once": Scene(3, latency_s=0.0, n_voices=4),
    "decided late": Scene(4, latency_s=30.0, noise=1.0),
    "more voices than fit": Scene(5, seconds=150, n_voices=26, noise=0.1),
    "more voices than allowed": Scene(6, n_voices=6, max_speakers=2),
    "at least so many voices": Scene(12, n_voices=2, min_speakers=4, noise=2.0),
    "hard to tell apart": Scene(7, n_voices=5, noise=3.0),
    "shorter than a window": Scene(8, seconds=6.1, n_voices=2),
    "shorter than a chunk": Scene(9, seconds=0.2, n_voices=1),
    "separated": Scene(10, seconds=40, separate=True),
    "an hour's habits": Scene(11, seconds=600, n_voices=8, noise=0.8),
}


@dataclass
class Simulated:
    """One graph with simulated outputs, and a record of them, call after call."""

    spec: m.GraphSpec
    answer: Callable[[Mapping[str, Array]], Answer]
    calls: list[bytes] = field(default_factory=list)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        outputs = {t.name: np.zeros(t.shape, np.float32) for t in self.spec.outputs}
        for name, value in self.answer(inputs).items():
            outputs[name] = value.astype(np.float32).reshape(outputs[name].shape)
        self.calls.append(b"".join(outputs[t.name].tobytes() for t in self.spec.outputs))
        return outputs

    def close(self) -> None:
        pass


class Simulation:
    """A simulated recording: activity, words, and the outputs of graphs that fit them."""

    def __init__(self, scene: Scene, tokens: tuple[str, ...], phones: dict[str, bytes]) -> None:
        """`phones` of words; those of other words are no word of the vocabulary."""
        self._scene = scene
        self._random = np.random.default_rng(scene.seed)
        self._active = self._activity()
        voices = self._random.normal(size=(scene.n_voices, 192))
        self._voices = voices / np.linalg.norm(voices, axis=1, keepdims=True)
        self._characters, said = self._spoken(
            {word: [tokens.index(c) for c in word] for word in WORDS},
            tokens.index(" "),
            len(tokens),
        )
        self._phones, _ = self._spoken(
            {word: [*phones.get(word, b"\x0b\x0b\x11\x16")] for word in WORDS}, SPACE, N_PHONES
        )
        self._n_windows = self._n_chunks = self._n_encoded = 0
        second = SimulatedSecondPass(self._random, said)
        self.asr_memory, self.asr_decoder = second.asr_memory, second.asr_decoder
        self._window = np.zeros((WINDOW, scene.n_voices), bool)
        """Activity `[steps, voices]` in the window of the last call of `diarization`."""

    def _activity(self) -> NDArray[np.bool_]:
        """`[steps, voices]`: turns of 0.1 to 5 s, some of which overlap."""
        random, scene = self._random, self._scene
        active = np.zeros((scene.n_steps, scene.n_voices), bool)
        at = 0
        while at < scene.n_steps:
            length = int(random.integers(3, 125))
            active[at : at + length, random.integers(scene.n_voices)] = True
            at += length + int(random.integers(-20, 30))
            at = max(at, 0)
        return active

    def _spoken(
        self, spellings: dict[str, list[int]], space: int, size: int
    ) -> tuple[Array, list[tuple[int, str]]]:
        """`[frames, size]`: words token by token, each of one to three frames, pauses; first frame
        and text of each word."""
        random = self._random
        path: list[int] = []
        said: list[tuple[int, str]] = []
        while len(path) < 2 * self._scene.n_steps + 48:
            word = str(random.choice(WORDS))
            said.append((len(path), word))
            for token in [*spellings[word], space]:
                path += [token] * int(random.integers(1, 4))
                path += [0] * int(random.integers(0, 4))
            path += [0] * int(random.integers(0, 70) * (random.random() < 0.2))
        logits = random.gumbel(size=(len(path), size)) * 1.2
        logits[np.arange(len(path)), path] += 6.0
        logprobs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        return np.asarray(logprobs, np.float32), said

    def encoder(self, _: Mapping[str, Array]) -> Answer:
        """Latents that tell the second pass which steps they are of, from 1."""
        steps = np.arange(12.0) + 12 * self._n_encoded + 1
        self._n_encoded += 1
        return {"latents": np.repeat(steps[:, None], WIDTH, 1)}

    def asr(self, _: Mapping[str, Array]) -> Answer:
        now = slice(24 * self._n_chunks, 24 * (self._n_chunks + 1))
        self._n_chunks += 1
        return {"logprobs": self._characters[now], "phones": self._phones[now]}

    def diarization(self, _: Mapping[str, Array]) -> Answer:
        """Up to four of the window's voices, of whom two are taken for one local speaker, in
        an order of its own, with doubts."""
        self._n_windows += 1
        end = min(HOP * self._n_windows, self._scene.n_steps)
        self._window = window = np.zeros((WINDOW, self._scene.n_voices), bool)
        have = min(end, WINDOW)
        window[WINDOW - have :] = self._active[end - have : end]
        loudest = np.argsort(-window.sum(0), kind="stable")[:4]
        voices = self._random.permutation(loudest).tolist()
        logits = self._random.normal(size=(WINDOW, 7)) * self._scene.noise
        sets = [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]
        for step, row in enumerate(window):
            here = tuple(sorted({k % 3 for k, voice in enumerate(voices) if row[voice]})[:2])
            logits[step, sets.index(here)] += 5.0
        return {"logprobs": logits - np.log(np.exp(logits).sum(1, keepdims=True))}

    def speaker(self, inputs: Mapping[str, Array]) -> Answer:
        """Of each row of weights the voice that is active most where they are."""
        found = np.zeros((3, 192))
        for k, weights in enumerate(inputs["weights"][0]):
            voice = int((weights @ self._window).argmax())
            noise = self._random.normal(size=192) * 0.05 * self._scene.noise
            found[k] = self._voices[voice] + noise
            found[k] /= np.linalg.norm(found[k])
        return {"embeddings": found}

    def separation(self, _: Mapping[str, Array]) -> Answer:
        loud = self._random.uniform(0.0, 0.6, (3, 1)) * [[1.0], [0.5], [0.01]]
        return {"sources": self._random.normal(size=(3, 7920)) * loud}


def _manifest(shipped: m.Manifest, second_pass: bool) -> m.Manifest:
    """The shipped bundle's numbers for graphs that a simulation can fill: narrow, without state."""
    chunk = shipped.streaming.chunk_steps
    mixes = [tensor(f"latents_{head}", 1, chunk, WIDTH)
             for head in ("diarization", "speaker", "asr", "separation")]  # fmt: skip
    latents, features = tensor("latents", 1, chunk, WIDTH), tensor("features", 1, 4 * chunk, 80)
    spectrum, window = tensor("spectrum", 1, 4 * chunk, 257, 2), tensor("latents", 1, 250, WIDTH)
    tensors = {
        "frontend": ([tensor("pcm", 1, 640 * chunk)], [features, spectrum]),
        "encoder": ([features], [latents, *mixes]),
        "asr": (
            [latents],
            [tensor("logprobs", 1, 2 * chunk, 29), tensor("phones", 1, 2 * chunk, N_PHONES)],
        ),
        "separation": (
            [latents, features, spectrum, tensor("voices", 1, 3, 192)],
            [tensor("sources", 3, 640 * chunk + 240), tensor("presence", 3)],
        ),
        "diarization": ([window, tensor("valid", 1, 250)], [tensor("logprobs", 1, 250, 7)]),
        "speaker": ([window, tensor("weights", 1, 3, 250)], [tensor("embeddings", 1, 3, 192)]),
    }
    asr, state = shipped.asr, {"valid": "valid_next", "key_cache_0": "key_cache_0_next"}
    if second_pass:
        tensors |= second_pass_tensors(chunk)
        asr = replace(asr, second_pass=m.SecondPassSpec("subwords.txt", PROMPT, END))
    graphs = {
        name: m.GraphSpec(
            f"{name}.null", tuple(inputs), tuple(outputs), state if name == "asr_decoder" else {}
        )
        for name, (inputs, outputs) in tensors.items()
    }
    return replace(shipped, engine=m.EngineSpec("null", "0"), asr=asr, graphs=graphs, boards=())


@dataclass(frozen=True)
class Reference:
    """A scene as Python decodes it, and the bundle that replays its graphs."""

    scene: Scene
    bundle: Path
    lines: Lines
    speech_s: dict[str, float]
    sources: Array
    count: SpeakerCount

    def arguments(self) -> list[str]:
        scene = self.scene
        words = ["--bundle", str(self.bundle), "--latency-s", str(scene.latency_s)]
        words += ["--min-speakers", str(scene.min_speakers)]
        words += ["--max-speakers", str(scene.max_speakers)]
        return words + ([] if scene.language_model else ["--no-language-model"])


def decode(scene: Scene, default_bundle: Path, folder: Path, **decoding: Any) -> Reference:
    """The scene as Python decodes it, with these constants in place of the shipped ones; the bundle
    that replays it goes to `folder`."""
    shipped = m.parse((default_bundle / "manifest.json").read_bytes())
    manifest = _manifest(shipped, scene.second_pass)
    manifest = replace(manifest, decoding=replace(manifest.decoding, **decoding))
    files = {name: (default_bundle / name).read_bytes() for name in ("tokens.txt", "language.npz")}
    tokens = read_tokens(files["tokens.txt"], manifest)
    language = load_language_model(default_bundle / "language.npz")
    stored = np.load(default_bundle / "language.npz")
    words = stored["words"].astype(str).tolist()
    phones = dict(zip(words, stored["sounds"].tolist(), strict=True))
    simulation = Simulation(scene, tokens, phones)
    engines = {
        name: Simulated(spec, getattr(simulation, name, lambda _: {}))
        for name, spec in manifest.graphs.items()
    }
    parts: list[Array] = []
    options = StreamOptions(
        scene.latency_s, scene.min_speakers, scene.max_speakers, scene.language_model
    )
    subwords = tuple(SUBWORDS) if scene.second_pass else ()
    if scene.second_pass:
        files["subwords.txt"] = (
            "".join(f"{s}\n" for s in SUBWORDS).replace(" ", WORD_START).encode()
        )
    bundle = Bundle(folder, manifest, "", tokens, language, subwords=subwords)
    stream = Stream(bundle, engines, options, parts.append if scene.separate else None)
    silence = np.zeros(scene.n_samples, np.float32)
    results = [stream.push(block) for block in np.array_split(silence, 7)] + [stream.finish()]
    lines: Lines = {
        "turn": [to_line(rounded(turn)) for result in results for turn in result.turns],
        "word": [to_line(rounded(word)) for result in results for word in result.words],
    }
    lines["turn"].sort(key=lambda x: (x["start_s"], x["end_s"], x["speaker"]))
    lines["word"].sort(key=lambda x: (x["start_s"], x["end_s"]))
    files |= {f"{name}.null": b"".join(engine.calls) for name, engine in engines.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    listing = {n: m.FileSpec(hashlib.sha256(d).hexdigest(), len(d)) for n, d in files.items()}
    (folder / "manifest.json").write_bytes(m.dump(replace(manifest, files=listing)))
    speech_s = {speaker.id: speaker.speech_s for speaker in results[-1].speakers}
    joined = np.concatenate(parts, axis=1) if parts else np.zeros((3, 0), np.float32)
    return Reference(scene, folder, lines, speech_s, joined, results[-1].speaker_count)
