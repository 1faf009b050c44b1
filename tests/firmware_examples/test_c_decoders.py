"""The decoders in C against those in Python: the same outputs of graphs, the same turns, words and
separated voices. Recordings are simulated; an engine that replays what Python's graphs said stands
in for a real one."""

import hashlib
import json
import re
import shutil
import subprocess
import wave
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from echo_edge import manifest as m
from echo_edge.bundle import Bundle
from echo_edge.language import load_language_model
from echo_edge.recorder.lines import turn_line, word_line
from echo_edge.sources import SourceWriter
from echo_edge.stream import Stream, StreamOptions
from echo_edge.tokens import read_tokens
from tests.firmware_examples.example import Lines, read_lines

Array = NDArray[np.float32]
Run = Callable[..., subprocess.CompletedProcess[str]]

WIDTH, STEP_S, WINDOW, HOP = 4, 0.04, 250, 25
LONGEST_TIME_OFF_S = 0.0401
TEXT = "the quick brown fox said that his table was a good one qzx borogoves and then i left"
WORDS = TEXT.split()


@dataclass(frozen=True)
class Scene:
    """A simulated recording and how it is to be decoded."""

    seed: int
    seconds: float = 70.0
    n_voices: int = 3
    latency_s: float = 2.0
    max_speakers: int = 20
    language_model: bool = True
    noise: float = 0.4
    separate: bool = False

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
    "hard to tell apart": Scene(7, n_voices=5, noise=3.0),
    "shorter than a window": Scene(8, seconds=6.1, n_voices=2),
    "shorter than a chunk": Scene(9, seconds=0.2, n_voices=1),
    "separated": Scene(10, seconds=40, separate=True),
    "an hour's habits": Scene(11, seconds=600, n_voices=8, noise=0.8),
}


@dataclass
class Simulated:
    """Outputs of one graph, call after call, and a record of them."""

    spec: m.GraphSpec
    answer: Callable[[Mapping[str, Array]], dict[str, Array]]
    calls: list[bytes] = field(default_factory=list)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        outputs = {t.name: np.zeros(t.shape, np.float32) for t in self.spec.outputs}
        for name, value in self.answer(inputs).items():
            outputs[name] = value.astype(np.float32).reshape(outputs[name].shape)
        self.calls.append(b"".join(outputs[t.name].tobytes() for t in self.spec.outputs))
        return outputs

    def close(self) -> None:
        pass


class Room:
    """Who is active when, what is said, and what graphs would make of it."""

    def __init__(self, scene: Scene, tokens: tuple[str, ...]) -> None:
        self._scene, self._tokens = scene, tokens
        self._random = np.random.default_rng(scene.seed)
        self._active = self._activity()
        voices = self._random.normal(size=(scene.n_voices, 192))
        self._voices = voices / np.linalg.norm(voices, axis=1, keepdims=True)
        self._logprobs = self._spoken()
        self._n_windows = self._n_chunks = 0
        self._locals: list[int] = []

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

    def _spoken(self) -> Array:
        """`[frames, tokens]`: words letter by letter, each letter one to three frames, pauses."""
        random = self._random
        path: list[int] = []
        while len(path) < 2 * self._scene.n_steps + 48:
            for letter in str(random.choice(WORDS)) + " ":
                path += [self._tokens.index(letter)] * int(random.integers(1, 4))
                path += [0] * int(random.integers(0, 4))
            path += [0] * int(random.integers(0, 70) * (random.random() < 0.2))
        logits = random.gumbel(size=(len(path), len(self._tokens))) * 1.2
        logits[np.arange(len(path)), path] += 6.0
        return np.asarray(logits - np.log(np.exp(logits).sum(1, keepdims=True)), np.float32)

    def asr(self, _: Mapping[str, Array]) -> dict[str, Array]:
        start = 24 * self._n_chunks
        self._n_chunks += 1
        return {"logprobs": self._logprobs[start : start + 24]}

    def diarization(self, _: Mapping[str, Array]) -> dict[str, Array]:
        """Up to three of the window's voices, in an order of its own, with doubts."""
        self._n_windows += 1
        end = min(HOP * self._n_windows, self._scene.n_steps)
        window = np.zeros((WINDOW, self._scene.n_voices), bool)
        have = min(end, WINDOW)
        window[WINDOW - have :] = self._active[end - have : end]
        loudest = np.argsort(-window.sum(0), kind="stable")[:3]
        self._locals = self._random.permutation(loudest).tolist()
        logits = self._random.normal(size=(WINDOW, 7)) * self._scene.noise
        sets = [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]
        for step, row in enumerate(window):
            here = tuple(k for k, voice in enumerate(self._locals) if row[voice])[:2]
            logits[step, sets.index(here)] += 5.0
        return {"logprobs": logits - np.log(np.exp(logits).sum(1, keepdims=True))}

    def speaker(self, _: Mapping[str, Array]) -> dict[str, Array]:
        found = np.zeros((3, 192))
        for k, voice in enumerate(self._locals):
            noise = self._random.normal(size=192) * 0.05 * self._scene.noise
            found[k] = self._voices[voice] + noise
            found[k] /= np.linalg.norm(found[k])
        return {"embeddings": found}

    def separation(self, _: Mapping[str, Array]) -> dict[str, Array]:
        loud = self._random.uniform(0.0, 0.6, (3, 1)) * [[1.0], [0.5], [0.01]]
        return {"sources": self._random.normal(size=(3, 7920)) * loud}


def _tensor(name: str, *shape: int) -> m.TensorSpec:
    return m.TensorSpec(name, shape, "float32")


def _manifest(shipped: m.Manifest) -> m.Manifest:
    """The shipped bundle's numbers for graphs that a simulation can fill: narrow, without state."""
    chunk = shipped.streaming.chunk_steps
    mixes = [_tensor(f"latents_{head}", 1, chunk, WIDTH)
             for head in ("diarization", "speaker", "asr", "separation")]  # fmt: skip
    latents, features = _tensor("latents", 1, chunk, WIDTH), _tensor("features", 1, 4 * chunk, 80)
    spectrum, window = _tensor("spectrum", 1, 4 * chunk, 257, 2), _tensor("latents", 1, 250, WIDTH)
    tensors = {
        "frontend": ([_tensor("pcm", 1, 640 * chunk)], [features, spectrum]),
        "encoder": ([features], [latents, *mixes]),
        "asr": ([latents], [_tensor("logprobs", 1, 2 * chunk, 29)]),
        "separation": (
            [latents, features, spectrum, _tensor("voices", 1, 3, 192)],
            [_tensor("sources", 3, 640 * chunk + 240), _tensor("presence", 3)],
        ),
        "diarization": ([window, _tensor("valid", 1, 250)], [_tensor("logprobs", 1, 250, 7)]),
        "speaker": ([window, _tensor("weights", 1, 3, 250)], [_tensor("embeddings", 1, 3, 192)]),
    }
    graphs = {
        name: m.GraphSpec(f"{name}.null", tuple(inputs), tuple(outputs), {})
        for name, (inputs, outputs) in tensors.items()
    }
    return replace(shipped, engine=m.EngineSpec("null", "0"), graphs=graphs, boards=())


@dataclass(frozen=True)
class Reference:
    """A scene as Python decodes it, and the bundle that replays its graphs."""

    scene: Scene
    bundle: Path
    lines: Lines
    speech_s: dict[str, float]
    sources: Array

    def arguments(self) -> list[str]:
        scene = self.scene
        words = ["--bundle", str(self.bundle), "--latency-s", str(scene.latency_s)]
        words += ["--max-speakers", str(scene.max_speakers)]
        return words + ([] if scene.language_model else ["--no-language-model"])


def _decode(scene: Scene, default_bundle: Path, folder: Path) -> Reference:
    manifest = _manifest(m.parse((default_bundle / "manifest.json").read_bytes()))
    files = {name: (default_bundle / name).read_bytes() for name in ("tokens.txt", "language.npz")}
    tokens = read_tokens(files["tokens.txt"], manifest)
    language = load_language_model(default_bundle / "language.npz")
    room = Room(scene, tokens)
    engines = {
        name: Simulated(spec, getattr(room, name, lambda _: {}))
        for name, spec in manifest.graphs.items()
    }
    parts: list[Array] = []
    options = StreamOptions(
        scene.latency_s, max_speakers=scene.max_speakers, language_model=scene.language_model
    )
    bundle = Bundle(folder, manifest, "", tokens, language)
    stream = Stream(bundle, engines, options, parts.append if scene.separate else None)
    silence = np.zeros(scene.n_samples, np.float32)
    results = [stream.push(block) for block in np.array_split(silence, 7)] + [stream.finish()]
    lines: Lines = {
        "turn": [turn_line(turn) for result in results for turn in result.turns],
        "word": [word_line(word) for result in results for word in result.words],
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
    return Reference(scene, folder, lines, speech_s, joined)


@pytest.fixture(scope="module")
def references(
    default_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Reference]:
    """A scene by name, decoded by Python once."""
    folder, made = tmp_path_factory.mktemp("scenes"), dict[str, Reference]()

    def get(name: str) -> Reference:
        if name not in made:
            made[name] = _decode(SCENES[name], default_bundle, folder / str(SCENES[name].seed))
        return made[name]

    return get


def _silence(scene: Scene) -> bytes:
    return bytes(2 * scene.n_samples)


def _assert_same(found: Lines, expected: Lines) -> None:
    """Equal texts and speakers, times within a step, confidences within rounding."""
    for kind in ("turn", "word"):
        names = [(line.get("text"), line["speaker"]) for line in found[kind]]
        assert names == [(line.get("text"), line["speaker"]) for line in expected[kind]]
        for mine, theirs in zip(found[kind], expected[kind], strict=True):
            assert mine.keys() == theirs.keys()
            assert abs(mine["start_s"] - theirs["start_s"]) < LONGEST_TIME_OFF_S
            assert abs(mine["end_s"] - theirs["end_s"]) < LONGEST_TIME_OFF_S
            assert mine["confidence"] == pytest.approx(theirs["confidence"], abs=2e-3)


@pytest.mark.parametrize(
    ("name", "mode"),
    [(name, "release") for name in SCENES]
    + [(name, "asan") for name in SCENES if SCENES[name].seconds <= 70],
)
def test_same_turns_and_words(
    name: str,
    mode: str,
    references: Callable[[str], Reference],
    build_replay: Callable[[str], Path],
    run_program: Run,
) -> None:
    program, reference = build_replay(mode), references(name)

    done = run_program(program, *reference.arguments(), "-", pcm=_silence(reference.scene))

    assert (done.returncode, done.stderr) == (0, "")
    found = read_lines(done.stdout)
    _assert_same(found, reference.lines)
    (end,) = found["end"]
    assert end["duration_s"] == pytest.approx(reference.scene.n_samples / 16_000, abs=1e-4)
    assert {s["id"]: s["speech_s"] for s in end["speakers"]} == pytest.approx(
        reference.speech_s, abs=1e-3
    )


def test_scenes_are_worth_comparing(references: Callable[[str], Reference]) -> None:
    many = references("more voices than fit")
    assert len(many.speech_s) == 20
    assert len(references("more voices than allowed").speech_s) == 2
    assert len(references("three voices").lines["word"]) > 80
    assert len(references("an hour's habits").lines["turn"]) > 100
    words = [word for name in SCENES for word in references(name).lines["word"]]
    assert any(word["speaker"] is None for word in words)


def test_same_separated_voices(
    references: Callable[[str], Reference],
    build_replay: Callable[[str], Path],
    run_program: Run,
    tmp_path: Path,
) -> None:
    reference = references("separated")
    with SourceWriter(tmp_path / "python", 3) as writer:
        writer.write(reference.sources)
    turns = reference.lines["turn"]

    done = run_program(
        build_replay("asan"), *reference.arguments(), "--separate", tmp_path / "c", "-",
        pcm=_silence(reference.scene),
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    kept = writer.keep(tuple(_turn(line) for line in turns))
    found = read_lines(done.stdout)["source"]
    assert [Path(x["path"]).name for x in found] == [Path(x.path).name for x in kept]
    assert [x["speaker"] for x in found] == [x.speaker for x in kept]
    assert len(kept) == 2, "the third slot is nearly silent"
    for source in kept:
        expected, mine = (
            _samples(Path(source.path)),
            _samples(tmp_path / "c" / Path(source.path).name),
        )
        assert len(mine) == reference.scene.n_samples
        assert np.abs(mine - expected).max() <= 1
    assert not (tmp_path / "c/source_3.wav").exists()


def _turn(line: dict[str, Any]) -> Any:
    from echo_edge.results import Turn

    return Turn(line["start_s"], line["end_s"], line["speaker"], line["confidence"])


def _samples(path: Path) -> NDArray[np.int64]:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int64)


def test_nothing_is_allocated_while_audio_flows(
    references: Callable[[str], Reference],
    build_replay: Callable[[str], Path],
    run_program: Run,
    tmp_path: Path,
) -> None:
    reference, program = references("separated"), build_replay("count")
    counts = []
    for seconds in (1, 40):
        done = run_program(
            program, *reference.arguments(), "--separate", tmp_path / "voices", "-",
            pcm=bytes(2 * 16_000 * seconds),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        counts.append(int(re.findall(r"allocations: (\d+)", done.stderr)[0]))

    assert counts[0] == counts[1] > 100


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="needs valgrind: apt install valgrind")
def test_valgrind_finds_nothing(
    references: Callable[[str], Reference],
    build_replay: Callable[[str], Path],
    run_program: Run,
    tmp_path: Path,
) -> None:
    reference = references("shorter than a window")
    flags = ["--leak-check=full", "--show-leak-kinds=all", "--errors-for-leak-kinds=all"]

    done = run_program(
        "valgrind", "-q", "--error-exitcode=9", *flags, build_replay("release"),
        *reference.arguments(), "--separate", tmp_path / "voices", "-",
        pcm=_silence(reference.scene),
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


def test_memory_is_told_by_part(
    references: Callable[[str], Reference], build_replay: Callable[[str], Path], run_program: Run
) -> None:
    reference = references("shorter than a chunk")
    done = run_program(
        build_replay("release"), *reference.arguments(), "--memory", "-", pcm=bytes(200)
    )
    sizes = dict(re.findall(r"(\w+) +(\d+) bytes", done.stderr))
    total = int(sizes.pop("total"))
    assert total == sum(map(int, sizes.values()))
    assert {"beam", "diarization", "language", "turns", "words", "encoder"} <= sizes.keys()


STRANGE: list[Any] = [0, -1, 2**31, 2**63, 1.5, 1e308, None, True, "", "x" * 300, "../x", [], {},
                      [1] * 9, [10**7, 10**7]]  # fmt: skip


def _put_strange(node: Any, random: Random) -> None:
    """Replace one value somewhere below `node`."""
    while True:
        key = random.choice(list(node) if isinstance(node, dict) else range(len(node)))
        if not (isinstance(node[key], dict | list) and node[key] and random.random() < 0.9):
            node[key] = random.choice(STRANGE)
            return
        node = node[key]


def test_strange_manifests_do_no_harm(
    references: Callable[[str], Reference],
    build_replay: Callable[[str], Path],
    run_program: Run,
    tmp_path: Path,
) -> None:
    """Sixty of them, under the sanitizers: refused in one line, or of no consequence."""
    reference, program, random = references("shorter than a chunk"), build_replay("asan"), Random(0)
    shutil.copytree(reference.bundle, tmp_path / "bundle")
    text, codes = (reference.bundle / "manifest.json").read_bytes(), []
    for _ in range(60):
        manifest = json.loads(text)
        _put_strange(manifest, random)
        (tmp_path / "bundle/manifest.json").write_text(json.dumps(manifest))

        done = run_program(program, "--bundle", tmp_path / "bundle", "-", pcm=bytes(32_000))

        codes.append(done.returncode)
        assert done.returncode in (0, 1, 3), done.stderr
        assert len(done.stderr.splitlines()) == (1 if done.returncode else 0), done.stderr
    assert codes.count(3) > 30
