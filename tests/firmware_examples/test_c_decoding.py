"""The constants of the decoders in C: the same table as Python's, and each of them counts."""

import json
import math
import re
import shutil
import subprocess
import wave
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from echo_edge.bundle.manifest import parse
from echo_edge.errors import BundleError
from echo_edge.session import load
from tests.firmware_examples.engines import EXAMPLES, ONNX, Engine, needs
from tests.firmware_examples.example import change, first_seconds, read_lines, read_manifest
from tests.firmware_examples.scenes import Reference, Scene, decode
from tests.firmware_examples.test_c_decoders import assert_same_lines
from tests.runtime.bundle.test_decoding import FIELDS, RANGES, REQUIRED

Run = Callable[..., subprocess.CompletedProcess[str]]
HEADER = EXAMPLES / "libecho/src/bundle/decoding.h"

VOICES = Scene(31, seconds=30, n_voices=3, min_speakers=9, language_model=False, noise=1.0)
WORDS = Scene(32, seconds=20, n_voices=2)
TWICE = Scene(34, seconds=60, n_voices=2, language_model=False, second_pass=True)
AT_THE_END = Scene(33, seconds=40, n_voices=20, latency_s=math.inf, language_model=False, noise=3.0)
GIVEN = replace(AT_THE_END, n_voices=6, min_speakers=2, noise=1.0)

LIVE: dict[str, tuple[Scene, float, dict[str, float]]] = {
    "active_threshold": (VOICES, 0.9, {}),
    "gap_s": (VOICES, 2.0, {}),
    "new_voice_s": (VOICES, 4.0, {}),
    "shortest_turn_s": (VOICES, 1.5, {}),
    "stretch_threshold": (VOICES, 1.0, {}),
    "expected_voice_margin": (VOICES, 2.0, {}),
    "min_embedded_steps": (VOICES, 60.0, {}),
    "word_reach_s": (VOICES, 0.0, {}),
    "language_weight": (WORDS, 0.0, {}),
    "word_bonus": (WORDS, 20.0, {}),
    "beam_margin": (WORDS, 0.1, {}),
    "beam_width": (WORDS, 1, {}),
    "commit_frames": (WORDS, 1000, {"stability_margin": 0.0, "word_silence_s": 60.0}),
    "frame_posterior": (WORDS, 0.99, {}),
    "min_phone_logprob": (WORDS, -0.1, {}),
    "stability_margin": (WORDS, 0.0, {}),
    "unfinished_logprob": (WORDS, 0.0, {}),
    "word_lag_s": (WORDS, 0.1, {}),
    "word_silence_s": (WORDS, 0.1, {}),
    "second_pass_lead_s": (TWICE, 1.0, {}),
    "second_pass_max_loss": (TWICE, 0.0, {}),
    "second_pass_min_speech": (TWICE, 1.0, {}),
    "second_pass_pause_s": (TWICE, 0.1, {}),
    "second_pass_tail_s": (TWICE, 2.0, {}),
}
"""Constants that count while audio flows: a recording, another value, and constants that make the
difference plain."""
LATER: dict[str, tuple[Scene, float]] = {
    "group_threshold": (AT_THE_END, -1.0),
    "brief_s": (AT_THE_END, 0.0),
    "brief_share": (AT_THE_END, 0.0),
    "brief_threshold": (AT_THE_END, 1.0),
    "given_count_share": (GIVEN, 0.0),
    "given_count_threshold": (GIVEN, -1.0),
    "count_slope": (AT_THE_END, 1.0),
    "deferred_voices": (AT_THE_END, 16),
    "min_logged_score": (AT_THE_END, 1.0),
    "count_confidence": (VOICES, 0.1),
}
"""Constants that only Python decides by: the C library decides while it listens."""
ELSEWHERE = {"slot_decay", "slot_threshold", "word_memory_s"}
"""Constants with a test of their own below; of `slot_decay`, by which free slots are compared, that
is tests/runtime/heads/test_separation.py."""
PEOPLE = {"voice_threshold", "name_min_s", "enrol_min_s", "enrol_min_share"}
"""Constants of known people, of whom the C library knows nothing;
tests/runtime/speakers/test_enrol.py and attribution/test_names.py see them change."""


@pytest.fixture(scope="module")
def program(build_replay: Callable[[str], Path]) -> Path:
    return build_replay("release")


@pytest.fixture(scope="module")
def decoded(
    default_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Reference]:
    """A recording as Python decodes it with these constants, once."""
    folder, made = tmp_path_factory.mktemp("decoded"), dict[str, Reference]()

    def get(scene: Scene, **decoding: float) -> Reference:
        key = f"{scene} {sorted(decoding.items())}"
        if key not in made:
            made[key] = decode(scene, default_bundle, folder / str(len(made)), **decoding)
        return made[key]

    return get


def test_each_constant_is_looked_at() -> None:
    assert {*LIVE, *LATER, *ELSEWHERE, *PEOPLE} == {*FIELDS}


def test_the_table_is_that_of_python() -> None:
    rows = re.findall(
        r"^    X\((\w+), (\w+), (\S+), (\S+), (\S+)\)", HEADER.read_text(), re.MULTILINE
    )

    expected = [
        (
            name,
            "INTEGER" if isinstance(field.default, int) else "NUMBER",
            *(f"{limit:g}" for limit in RANGES[name]),
            "NAN" if name in REQUIRED else f"{field.default:g}",
        )
        for name, field in FIELDS.items()
    ]
    assert rows == expected


@pytest.mark.parametrize("name", FIELDS)
def test_both_refuse_a_constant_outside_its_range(
    name: str,
    references: Callable[[str], Reference],
    program: Path,
    run_program: Run,
    tmp_path: Path,
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(references("shorter than a chunk").bundle, bundle)
    good = read_manifest(bundle)["decoding"]
    low, high = RANGES[name]
    for value in (low - 1, high + 1, "1"):
        change(bundle, decoding=good | {name: value})

        done = run_program(program, "--bundle", bundle, "-")

        assert done.returncode == 3
        assert f"manifest.json: decoding.{name}: expected a" in done.stderr
        assert f"from {low:g} to {high:g}" in done.stderr
        with pytest.raises(BundleError, match=rf"manifest.json: decoding.{name}: found"):
            parse((bundle / "manifest.json").read_bytes())
    change(bundle, decoding=good | {f"{name}_x": 1})
    assert "decoding: expected only keys" in run_program(program, "--bundle", bundle, "-").stderr


def test_both_have_the_same_defaults(
    default_bundle: Path, program: Path, run_program: Run, tmp_path: Path
) -> None:
    """A bundle from before all keys but the tuned ones, decoded with defaults."""
    reference = decode(WORDS, default_bundle, tmp_path / "bundle")
    decoding = read_manifest(reference.bundle)["decoding"]
    change(reference.bundle, decoding={name: decoding[name] for name in REQUIRED})

    _assert_c_agrees(reference, program, run_program)


@pytest.mark.parametrize("name", LIVE)
def test_each_constant_counts_and_both_agree(
    name: str, decoded: Callable[..., Reference], program: Path, run_program: Run
) -> None:
    scene, value, rest = LIVE[name]
    shipped, changed = decoded(scene, **rest), decoded(scene, **rest | {name: value})

    assert _decided(changed) != _decided(shipped)
    _assert_c_agrees(changed, program, run_program)


@pytest.mark.parametrize("name", LATER)
def test_each_constant_of_the_end_counts(name: str, decoded: Callable[..., Reference]) -> None:
    scene, value = LATER[name]
    shipped, changed = decoded(scene), decoded(scene, **{name: value})

    assert _decided(changed) != _decided(shipped)


def _decided(reference: Reference) -> tuple[Any, ...]:
    sources = reference.sources.tobytes()
    return json.dumps(reference.lines), reference.speech_s, reference.count, sources


def _assert_c_agrees(reference: Reference, program: Path, run: Run) -> None:
    """C prints the same turns and words."""
    done = run(program, *reference.arguments(), "-", pcm=bytes(2 * reference.scene.n_samples))

    assert (done.returncode, done.stderr) == (0, "")
    assert_same_lines(read_lines(done.stdout), reference.lines)


def test_words_that_wait_have_as_much_memory_as_the_bundle_says(
    references: Callable[[str], Reference],
    program: Path,
    run_program: Run,
    tmp_path: Path,
) -> None:
    bundle, sizes = tmp_path / "bundle", list[int]()
    shutil.copytree(references("shorter than a chunk").bundle, bundle)
    decoding = read_manifest(bundle)["decoding"]
    for memory_s in (20.0, 60.0):
        change(bundle, decoding=decoding | {"word_memory_s": memory_s})
        done = run_program(program, "--bundle", bundle, "--memory", "-", pcm=bytes(200))
        sizes += map(int, re.findall(r"turns +(\d+) bytes", done.stderr))

    assert sizes == [20 * 25 * 20 * 4, 60 * 25 * 20 * 4]


@pytest.mark.parametrize("engine", [pytest.param(ONNX, marks=needs(ONNX))])
def test_both_give_one_slot_to_voices_that_are_alike(
    engine: Engine,
    default_bundle: Path,
    build_example: Callable[[Engine], Path],
    run_program: Run,
    recording: Path,
    tmp_path: Path,
) -> None:
    """With a threshold below all cosines: one voice has a slot, and the separated sound differs."""
    bundle, pcm, found = tmp_path / "bundle", first_seconds(recording, 20), list[bytes]()
    shutil.copytree(default_bundle, bundle)
    decoding = read_manifest(bundle)["decoding"]
    for threshold in (decoding["slot_threshold"], -1.0):
        change(bundle, decoding=decoding | {"slot_threshold": threshold})
        done = run_program(
            build_example(engine), "--bundle", bundle, *engine.arguments(),
            "--no-language-model", "--separate", tmp_path / str(threshold), "-", pcm=pcm,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        parts = list[NDArray[np.float32]]()
        with load(bundle) as session:
            stream = session.stream(2.0, language_model=False, on_sources=parts.append)
            stream.push(np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768))
            stream.finish()
        sources = np.concatenate(parts, axis=1)
        kept = sorted((tmp_path / str(threshold)).glob("*.wav"))
        assert kept
        for path in kept:
            expected = sources[int(path.stem.removeprefix("source_")) - 1]
            assert np.abs(_samples(path) - expected).max() < 0.02
        found.append(b"".join(path.read_bytes() for path in kept))

    assert found[0] != found[1]


def _samples(path: Path) -> NDArray[np.float32]:
    with wave.open(str(path)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return pcm.astype(np.float32) / np.float32(32768)
