"""The voice-activity gate: its integers are those of gate.c, training learns, levels are chosen as
promised."""

import json
import shutil
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

import echo_edge
from training import gate
from training.corpora.data import Corpus, load_corpus
from training.voice_gate import integer as gi
from training.voice_gate.scenes import (
    Scene,
    Scored,
    background,
    energy_scores,
    equal_error,
    excerpt,
    measure,
    real_meetings,
    scene,
    tuned,
)

EXAMPLE = Path(__file__).parents[2] / "firmware_examples/cortex_m_gate"
ROOMS = np.zeros((1, 4, 6400), np.float32)
ROOMS[..., 0] = 1.0


def _buzz(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Something like a voice: harmonics that come and go, syllable by syllable."""
    time = np.arange(int(seconds * 16_000)) / 16_000
    pitch = rng.uniform(90, 220)
    sound = sum(np.sin(2 * np.pi * pitch * h * time) / h for h in range(1, 20))
    return np.asarray(sound * np.maximum(0, np.sin(2 * np.pi * 2.5 * time)) * 0.1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Four such voices."""
    import soundfile

    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    rows = ["utt\tfile\tstart_s\tdur_s\tspeaker\tlang\ttext\tsource"]
    for name in "abcd":
        soundfile.write(root / f"{name}.flac", _buzz(6.0, rng), 16_000)
        rows += [f"{name}{i}\t{name}.flac\t{2 * i}\t2.0\t{name}\ten\t\tmade" for i in range(3)]
    (root / "index.tsv").write_text("\n".join(rows) + "\n")
    return load_corpus([root], root / "cache")


@pytest.fixture(scope="module")
def scenes(corpus: Corpus) -> list[Scene]:
    voices = corpus.by_speaker()
    return [
        scene(corpus, voices, ROOMS, 12.0, index % 3 > 0, np.random.default_rng((5, index)))
        for index in range(12)
    ]


@pytest.fixture(scope="module")
def learned(scenes: list[Scene]) -> tuple[gate.Student, list[float], np.ndarray]:
    """A student of a few steps, its losses, and what it learned from."""
    features = np.stack([gi.features(gi.levels(s.pcm)).astype(np.int8) for s in scenes])
    targets = np.stack([np.repeat(s.speech, 2) for s in scenes]).astype(np.float32)
    student, losses = gate.train(features, targets, steps=60, batch=4, length=200)
    return student, losses, features


def test_loss_falls(learned: tuple[gate.Student, list[float], np.ndarray]) -> None:
    _, losses, _ = learned

    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])


def test_integers_are_what_was_trained(
    learned: tuple[gate.Student, list[float], np.ndarray],
) -> None:
    """Up to halves that are rounded the other way."""
    student, _, features = learned
    with torch.no_grad():
        logits = student(torch.from_numpy(features)).numpy()

    scores = np.stack([gi.network(student.integers(), f.astype(np.int64)) for f in features])

    assert logits.std() > 0.5
    assert np.abs(scores / gi.SCORE_SCALE - logits).max() < 0.15


def _write_wav(path: Path, pcm: np.ndarray) -> Path:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(pcm.astype("<i2").tobytes())
    return path


def _signals() -> dict[str, np.ndarray]:
    """What could go wrong in fixed point: the loudest, the quietest, nothing, every frequency."""
    rng = np.random.default_rng(3)
    time = np.arange(48_000)
    return {
        "noise": np.clip(rng.normal(0, 8000, 48_000), -32768, 32767),
        "one unit": rng.integers(-1, 2, 48_000),
        "nothing": np.zeros(20_000),
        "the lowest value": np.full(20_000, -32768),
        "full-scale square": np.where(time // 40 % 2, 32767, -32768),
        "highest frequency": np.where(time % 2, 32767, -32768),
        "sweep": np.rint(32767 * np.sin(time**2 * (np.pi / 2 / 48_000))),
        "speech": np.concatenate([np.zeros(9000), 9e4 * _buzz(4.0, rng)]).clip(-32768, 32767),
        "less than a frame": rng.integers(-99, 99, 319),
    }


def _build(sources: Path, tmp_path: Path, mode: str) -> Path:
    for tool in ("make", "gcc"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}: apt install gcc make libc6-dev")
    command = ["make", "-s", "-C", sources, f"BUILD={tmp_path}", f"MODE={mode}", "host"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return tmp_path / f"host-{mode}" / "gate_host"


def _assert_same_in_c(program: Path, weights: gi.Gate, pcm: np.ndarray, path: Path) -> None:
    wav = _write_wav(path, pcm)

    done = subprocess.run([program, wav, "scores"], check=True, capture_output=True, text=True)

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    scores = weights.scores(pcm.astype(np.int16))
    speech, awake = gi.decide(scores, weights.rules)
    found = [line for line in lines if "score" in line]
    assert [line["score"] for line in found] == scores.tolist()
    assert [line["speech"] for line in found] == speech.tolist()
    assert [line["awake"] for line in found] == awake.tolist()
    assert lines[-1]["time_s"] == pytest.approx(len(scores) * gi.FRAME_S)
    assert done.stderr == ""


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped gate for this machine, with sanitizers."""
    return _build(EXAMPLE, tmp_path_factory.mktemp("gate"), "asan")


@pytest.mark.parametrize("name", _signals())
def test_c_computes_the_same(name: str, shipped: Path, tmp_path: Path) -> None:
    weights = gi.read_header(EXAMPLE / "gate_weights.h")

    _assert_same_in_c(shipped, weights, _signals()[name], tmp_path / "a.wav")


def test_c_wakes_and_sleeps_as_python_does(shipped: Path, tmp_path: Path) -> None:
    import soundfile

    weights = gi.read_header(EXAMPLE / "gate_weights.h")
    talk = soundfile.read(EXAMPLE.parents[1] / "demo/conversation.flac", dtype="int16")[0][:320_000]
    rng = np.random.default_rng(1)
    quiet = rng.integers(-20, 20, 80_000).astype(np.int16)
    pcm = np.concatenate([quiet, talk, quiet, talk[:64_000], quiet])

    _assert_same_in_c(shipped, weights, pcm, tmp_path / "a.wav")

    awake = gi.decide(weights.scores(pcm), weights.rules)[1]
    assert not awake[:245].any()
    assert awake[300:1200].mean() > 0.8
    assert not awake[-50:].any()


def test_c_computes_the_same_with_other_weights(
    learned: tuple[gate.Student, list[float], np.ndarray], tmp_path: Path
) -> None:
    """What was just trained, written, compiled and read."""
    sources = tmp_path / "gate"
    shutil.copytree(EXAMPLE, sources, ignore=shutil.ignore_patterns("build"))
    rules = gi.Rules(10, 60, wake_frames=3, hangover_frames=20)
    gi.write_header(sources / "gate_weights.h", gi.Gate(learned[0].integers(), rules), "a test")
    weights = gi.read_header(sources / "gate_weights.h")

    program = _build(sources, tmp_path / "build", "release")

    assert weights.rules == rules
    for name in ("noise", "speech", "full-scale square"):
        _assert_same_in_c(program, weights, _signals()[name], tmp_path / "a.wav")


def test_the_shipped_header_is_small() -> None:
    weights = gi.read_header(EXAMPLE / "gate_weights.h")

    assert (EXAMPLE / "gate_weights.h").stat().st_size < 100_000
    assert sum(layer.weights.size for layer in weights.layers) < 8000
    assert all(np.abs(layer.weights).max() <= 127 for layer in weights.layers)
    assert weights.rules.wake_level >= weights.rules.speech_level


def test_spectrum_is_the_fourier_transform() -> None:
    frames = np.random.default_rng(0).integers(-20_000, 20_000, (3, gi.WINDOW))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(gi.WINDOW) / gi.WINDOW)
    expected = np.abs(np.fft.rfft(frames * hann * 128, axis=1)[:, 1:256]) ** 2

    power = gi._power(frames.astype(np.int64))

    np.testing.assert_allclose(power, expected, atol=3e-3 * expected.mean())


def test_logarithm() -> None:
    values = np.random.default_rng(0).integers(1, 2**62, 1000)
    edges = np.array([1, 2, 3, 2**53 - 1, 2**61, 2**62 - 1])

    for numbers in (values, edges):
        np.testing.assert_allclose(gi._log2(numbers) / 256, np.log2(numbers), atol=0.01)


def test_scenes_are_labelled_exactly(scenes: list[Scene]) -> None:
    again = background(16_000, np.random.default_rng(9))

    assert [s.speech.any() for s in scenes] == [index % 3 > 0 for index in range(12)]
    assert all(not s.speech[:75].any() for s in scenes)
    assert all(len(s.pcm) == 640 * len(s.speech) for s in scenes)
    np.testing.assert_array_equal(again, background(16_000, np.random.default_rng(9)))


def test_meetings_keep_their_truth(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "b1.rttm").write_text("SPEAKER b1 1 0.400 0.800 <NA> <NA> x <NA> <NA>\n")

    (meeting,) = real_meetings(corpus, tmp_path)
    part = excerpt(meeting, 1.2, np.random.default_rng(2))

    assert np.flatnonzero(meeting.speech).tolist() == list(range(10, 30))
    assert len(part.pcm) == 1.2 * 16_000
    assert len(part.speech) == 30
    assert part.speech.tolist() in [meeting.speech[i : i + 30].tolist() for i in range(21)]


def test_measure_counts() -> None:
    speech = np.zeros(400, bool)
    speech[200:300] = True
    scores = np.where(speech, 2000, -2000)
    scores[:10] = 2000  # heard something at the very beginning
    rules = gi.Rules(0, 0, wake_frames=3, hangover_frames=50)
    quiet = Scored(np.full(400, -2000), np.zeros(400, bool))
    noisy = Scored(np.tile(np.repeat([2000, -2000], 100), 2), np.zeros(400, bool))

    clear = measure([Scored(np.where(speech, 2000, -2000), speech), quiet, noisy], rules)
    early = measure([Scored(scores, speech)], rules)

    assert clear["miss"] <= 4
    assert clear["false_wakes_per_h"] == pytest.approx(2 * 3600 / 16)
    assert 0.04 <= clear["latency_p50_s"] <= 0.16
    assert equal_error([Scored(np.where(speech, 2000, -2000), speech), quiet]) < 4
    assert equal_error([Scored(np.where(speech, -2000, 2000), speech)]) > 40
    assert (clear["woken_early_or_never"], early["woken_early_or_never"]) == (0, 100)


def test_levels_are_tuned_as_promised(scenes: list[Scene]) -> None:
    heard = [Scored(energy_scores(s.pcm), np.repeat(s.speech, 2)) for s in scenes]

    rules = tuned(heard, heard[-2:], max_false_wakes=0.0)

    assert measure(heard, rules)["false_wakes_per_h"] == 0.0
    assert rules.wake_level >= rules.speech_level


def test_teacher_is_the_diarization_head(default_bundle: Path) -> None:
    """It hears the conversation of the demonstration, and nobody in digital silence."""
    import soundfile

    folder = Path(echo_edge.__file__).parents[1] / "demo"
    talk = soundfile.read(folder / "conversation.flac", dtype="int16")[0][: 16_000 * 13 + 100]
    with echo_edge.load(default_bundle) as session:
        heard = gate.posteriors(session, talk)
        nothing = gate.posteriors(session, np.zeros(32_000, np.int16))

    assert heard.shape == (325,)
    assert heard.mean() > 0.5
    assert nothing.max() < 0.5
