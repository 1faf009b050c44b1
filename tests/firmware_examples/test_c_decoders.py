"""The decoders in C against those in Python: the same outputs of graphs, the same turns, words and
separated voices. Recordings are simulated. An engine that replays the outputs of Python's graphs
stands in for a real one."""

import json
import re
import shutil
import subprocess
import wave
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from echo_edge.result import Turn
from echo_edge.writers.wav_sources import SourceWriter
from tests.firmware_examples.example import Lines, read_lines
from tests.firmware_examples.scenes import SCENES, Reference, Scene

Run = Callable[..., subprocess.CompletedProcess[str]]

MAX_TIME_OFF_S = 0.0401


def _silence(scene: Scene) -> bytes:
    return bytes(2 * scene.n_samples)


def assert_same_lines(found: Lines, expected: Lines) -> None:
    """Equal texts and speakers, times within a step, confidences within rounding."""
    for kind in ("turn", "word"):
        names = [(line.get("text"), line["speaker"]) for line in found[kind]]
        assert names == [(line.get("text"), line["speaker"]) for line in expected[kind]]
        for mine, theirs in zip(found[kind], expected[kind], strict=True):
            assert mine.keys() == theirs.keys()
            assert abs(mine["start_s"] - theirs["start_s"]) < MAX_TIME_OFF_S
            assert abs(mine["end_s"] - theirs["end_s"]) < MAX_TIME_OFF_S
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
    assert_same_lines(found, reference.lines)
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
    expected_sources = writer.keep(tuple(_turn(line) for line in turns))
    found = read_lines(done.stdout)["source"]
    assert [Path(x["path"]).name for x in found] == [Path(x.path).name for x in expected_sources]
    assert [x["speaker"] for x in found] == [x.speaker for x in expected_sources]
    assert len(expected_sources) == 2, "the third slot is nearly silent"
    for source in expected_sources:
        expected, mine = (
            _samples(Path(source.path)),
            _samples(tmp_path / "c" / Path(source.path).name),
        )
        assert len(mine) == reference.scene.n_samples
        assert np.abs(mine - expected).max() <= 1
    assert not (tmp_path / "c/source_3.wav").exists()


def _turn(line: dict[str, Any]) -> Turn:
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
