"""The second pass of words in C against that in Python: the same texts and times, the same refused
bundles, and no memory while audio flows."""

import re
import shutil
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.firmware_examples.engines import ONNX, Engine, needs
from tests.firmware_examples.example import (
    assert_same,
    change,
    first_seconds,
    python_lines,
    read_lines,
    read_manifest,
    replace_file,
)
from tests.firmware_examples.scenes import Reference, Scene, decode
from tests.firmware_examples.test_c_decoders import assert_same_lines
from tests.firmware_examples.test_c_faults import STRANGE_ANSWERS
from tests.runtime.bundle.test_decoding import RANGES
from tests.runtime.bundle.test_second_pass_bundle import (
    OTHER_SUBWORDS,
    REFUSED,
    SUBWORDS,
    Document,
    write,
)

Run = Callable[..., subprocess.CompletedProcess[str]]

SCENES = {
    "letter by letter": Scene(41, language_model=False, second_pass=True),
    "with a language model": Scene(42, second_pass=True),
    "decided at once": Scene(43, latency_s=0.0, n_voices=4, language_model=False, second_pass=True),
    "without a pause": Scene(44, seconds=200, language_model=False, second_pass=True),
    "shorter than a window": Scene(45, seconds=6.1, language_model=False, second_pass=True),
    "shorter than a chunk": Scene(46, seconds=0.3, n_voices=1, second_pass=True),
}
CONSTANTS = {"without a pause": {"second_pass_pause_s": 10.0}}


@pytest.fixture(scope="module")
def read_twice(
    default_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Reference]:
    """A simulated recording by name, decoded by Python once."""
    folder, made = tmp_path_factory.mktemp("twice"), dict[str, Reference]()

    def get(name: str) -> Reference:
        if name not in made:
            target = folder / name.replace(" ", "_")
            made[name] = decode(SCENES[name], default_bundle, target, **CONSTANTS.get(name, {}))
        return made[name]

    return get


def _pcm(reference: Reference) -> bytes:
    return bytes(2 * reference.scene.n_samples)


@pytest.mark.parametrize("mode", ["release", "asan"])
@pytest.mark.parametrize("name", SCENES)
def test_same_words(
    name: str,
    mode: str,
    read_twice: Callable[[str], Reference],
    build_replay: Callable[[str], Path],
    run_program: Run,
) -> None:
    reference = read_twice(name)

    done = run_program(build_replay(mode), *reference.arguments(), "-", pcm=_pcm(reference))

    assert (done.returncode, done.stderr) == (0, "")
    found = read_lines(done.stdout)
    assert_same_lines(found, reference.lines)
    for mine, theirs in zip(found["word"], reference.lines["word"], strict=True):
        assert (mine["start_s"], mine["end_s"]) == (theirs["start_s"], theirs["end_s"])


def test_scenes_are_worth_comparing(read_twice: Callable[[str], Reference]) -> None:
    lines = [word for name in SCENES for word in read_twice(name).lines["word"]]
    texts = [word["text"] for word in lines]
    assert sum(text.istitle() for text in texts) > 50, "read again"
    assert sum(text.islower() and "," not in text for text in texts) > 50
    assert "5" in texts


def test_nothing_is_allocated_while_audio_flows(
    read_twice: Callable[[str], Reference], build_replay: Callable[[str], Path], run_program: Run
) -> None:
    reference, counts = read_twice("letter by letter"), []
    for seconds in (1, 60):
        done = run_program(
            build_replay("count"), *reference.arguments(), "--memory", "-",
            pcm=bytes(2 * 16_000 * seconds),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        counts.append(int(re.findall(r"allocations: (\d+)", done.stderr)[0]))

    assert counts[0] == counts[1] > 100
    sizes = dict(re.findall(r"^(\w+(?: \w+)?) +(\d+) bytes", done.stderr, re.MULTILINE))
    assert {"asr_memory", "asr_decoder", "second pass", "subwords"} <= sizes.keys()
    assert int(sizes.pop("total")) == sum(map(int, sizes.values()))


@pytest.mark.parametrize("name", STRANGE_ANSWERS)
@pytest.mark.parametrize("graph", ["asr", "asr_memory", "asr_decoder", "diarization"])
def test_strange_answers_of_a_graph_do_no_harm(
    graph: str,
    name: str,
    read_twice: Callable[[str], Reference],
    build_replay: Callable[[str], Path],
    run_program: Run,
    tmp_path: Path,
) -> None:
    reference, bundle = read_twice("letter by letter"), tmp_path / "bundle"
    shutil.copytree(reference.bundle, bundle)
    n_answers = (bundle / f"{graph}.null").stat().st_size // 4
    answers = np.random.default_rng(0).choice(STRANGE_ANSWERS[name], n_answers)
    replace_file(bundle, f"{graph}.null", answers.astype("<f4").tobytes())

    done = run_program(
        build_replay("asan"), "--bundle", bundle, "--no-language-model", "-", pcm=_pcm(reference)
    )

    assert (done.returncode, done.stderr) == (0, "")
    lines = read_lines(done.stdout)
    assert all(0.0 <= x["confidence"] <= 1.0 for x in lines["turn"] + lines["word"])


@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize("key", [key for key in RANGES if key.startswith("second_pass")])
def test_any_constant_does_no_harm(
    key: str,
    end: int,
    read_twice: Callable[[str], Reference],
    build_replay: Callable[[str], Path],
    run_program: Run,
    tmp_path: Path,
) -> None:
    reference, bundle = read_twice("letter by letter"), tmp_path / "bundle"
    shutil.copytree(reference.bundle, bundle)
    change(bundle, decoding=read_manifest(bundle)["decoding"] | {key: RANGES[key][end]})

    done = run_program(
        build_replay("asan"), "--bundle", bundle, "--no-language-model", "-", pcm=_pcm(reference)
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert len(read_lines(done.stdout)["end"]) == 1


def test_a_bundle_with_a_second_pass_is_read(
    null_bundle: Path, build_replay: Callable[[str], Path], run_program: Run
) -> None:
    write(null_bundle, SUBWORDS)

    done = run_program(build_replay("asan"), "--bundle", null_bundle, "-", pcm=bytes(3_200))

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("edit", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_other_manifests_are_refused(
    edit: Callable[[Document], None],
    message: str,
    null_bundle: Path,
    build_replay: Callable[[str], Path],
    run_program: Run,
) -> None:
    write(null_bundle, SUBWORDS, edit)

    done = run_program(build_replay("asan"), "--bundle", null_bundle, "-", pcm=bytes(3_200))

    assert done.returncode == 3, message
    assert re.fullmatch(
        r".*manifest.json: (graphs|asr.second_pass|asr.second_pass.\w+|graphs.asr_\w+): .*\n",
        done.stderr,
    )


@pytest.mark.parametrize("subwords", [subwords for subwords, _ in OTHER_SUBWORDS])
def test_other_subwords_are_refused(
    subwords: list[str], null_bundle: Path, build_replay: Callable[[str], Path], run_program: Run
) -> None:
    write(null_bundle, subwords)

    done = run_program(build_replay("asan"), "--bundle", null_bundle, "-", pcm=bytes(3_200))

    assert done.returncode == 3
    assert re.fullmatch(r".*subwords.txt: (line 1: )?found .*, expected .*\n", done.stderr)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason="needs echo-edge[export] to make a bundle")
@pytest.mark.parametrize("engine", [pytest.param(ONNX, marks=needs(ONNX))])
def test_same_words_of_real_graphs(
    engine: Engine,
    build_example: Callable[[Engine], Path],
    run_program: Run,
    recording: Path,
    tmp_path: Path,
) -> None:
    """With random weights nothing is likely, so every text is taken that has an end. Words are of
    any length, and C cuts those of 200 letters: there is none in the first 12 s."""
    from tests.small_echo import make_bundle_with_second_pass

    bundle = make_bundle_with_second_pass(engine.name, tmp_path / "bundle")
    decoding: dict[str, Any] = read_manifest(bundle)["decoding"]
    change(bundle, decoding=decoding | {"second_pass_max_loss": 1000.0})
    pcm = first_seconds(recording, 12)
    clip = tmp_path / "clip.wav"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "s16le", "-ar", "16000", "-i", "-", clip],
        input=pcm, check=True,
    )  # fmt: skip

    done = run_program(build_example(engine), "--bundle", bundle, *engine.arguments(), "-", pcm=pcm)

    assert (done.returncode, done.stderr) == (0, "")
    found, expected = read_lines(done.stdout), python_lines(bundle, clip)
    assert_same(found, expected)
    assert any(re.search(r"[wx]\d", word["text"]) for word in found["word"])
