"""The examples in C and C++, engine by engine: the same answers as the Python runtime with the same
engine, clear refusals with the command line's exit codes, and no more memory than promised."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.firmware_examples.engines import ENGINES, EXECUTORCH, ONNX, TFLITE, Engine
from tests.firmware_examples.example import (
    Lines,
    assert_same,
    assert_similar,
    change,
    first_seconds,
    flip,
    python_lines,
    read_lines,
    replace_file,
)

Run = Callable[..., subprocess.CompletedProcess[str]]
Build = Callable[..., Path]


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    found = request.param
    assert isinstance(found, Engine)
    return found


@pytest.fixture(scope="module")
def bundle(engine: Engine, find_bundle: Callable[[Engine], Path]) -> Path:
    return find_bundle(engine)


@pytest.fixture(scope="module")
def program(engine: Engine, build_example: Build) -> Path:
    return build_example(engine)


@pytest.fixture(scope="module")
def run(engine: Engine, program: Path, bundle: Path, run_program: Run) -> Run:
    """Run the example with its bundle and more arguments."""

    def with_bundle(*words: object, pcm: bytes = b"") -> subprocess.CompletedProcess[str]:
        return run_program(program, "--bundle", bundle, *engine.arguments(), *words, pcm=pcm)

    return with_bundle


@pytest.mark.parametrize("language_model", [True, False])
def test_same_turns_and_words_as_python(
    language_model: bool, engine: Engine, run: Run, recording: Path, bundle: Path
) -> None:
    flags = [] if language_model else ["--no-language-model"]

    done = run(*flags, recording)

    assert (done.returncode, done.stderr) == (0, "")
    found = read_lines(done.stdout)
    expected = python_lines(bundle, recording, language_model=language_model)
    assert len(expected["turn"]) > 10
    assert len(expected["word"]) > 50
    assert_same(found, expected)
    if engine.is_exact:
        assert (found["turn"], found["word"]) == (expected["turn"], expected["word"])


def test_prints_what_expect_txt_says(engine: Engine, run: Run, recording: Path) -> None:
    """After the bundle changed: `make expect` in the example's folder."""
    expected = read_lines((engine.folder / "expect.txt").read_text())

    assert_similar(read_lines(run(recording).stdout), expected)


@pytest.mark.parametrize("folder", [e.folder for e in (ONNX, TFLITE, EXECUTORCH)])
def test_readme_quotes_expect_txt(folder: Path) -> None:
    expected = (folder / "expect.txt").read_text().splitlines()
    readme = (folder / "README.md").read_text()

    quoted = re.findall(r'^({"type": .*?)(?:, \.\.\.]})?$', readme, re.MULTILINE)

    assert len(quoted) >= 4
    assert all(any(line.startswith(start) for line in expected) for start in quoted)
    assert f"prints {len(expected)} lines" in readme


def test_all_heads_fit_in_memory(engine: Engine, run: Run, recording: Path, tmp_path: Path) -> None:
    done = run("--stats", "--separate", tmp_path / "voices", recording)

    assert done.returncode == 0, done.stderr
    assert float(re.findall(r"peak RSS ([\d.]+) MiB", done.stderr)[0]) <= engine.max_rss_mib
    assert '"type": "source"' in done.stdout


def test_threads_and_stdin_change_nothing(run: Run, recording: Path) -> None:
    pcm = first_seconds(recording, 10)

    one, two = run("-", pcm=pcm), run("--threads", "2", "-", pcm=pcm)

    assert (one.returncode, two.returncode) == (0, 0)
    assert one.stdout == two.stdout != ""


def test_nothing_is_allocated_while_audio_flows(
    engine: Engine,
    build_example: Build,
    bundle: Path,
    run_program: Run,
    recording: Path,
    tmp_path: Path,
) -> None:
    program, counts = build_example(engine, "count"), []
    for seconds in (2, 20):
        done = run_program(
            program, "--bundle", bundle, *engine.arguments(), "--separate", tmp_path, "-",
            pcm=first_seconds(recording, seconds),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        counts.append(int(re.findall(r"allocations: (\d+)", done.stderr)[0]))
    assert counts[0] == counts[1] > 100


def test_sanitizers_find_nothing(
    engine: Engine,
    build_example: Build,
    bundle: Path,
    run_program: Run,
    recording: Path,
    tmp_path: Path,
) -> None:
    done = run_program(
        build_example(engine, "asan"), "--bundle", bundle, *engine.arguments(),
        "--separate", tmp_path, "-", pcm=first_seconds(recording, 15),
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


def _other_graph(bundle: Path, suffix: str, name: str) -> None:
    """Another graph in place of the transcription, with its hash in the manifest."""
    replace_file(bundle, f"asr{suffix}", (bundle / f"{name}{suffix}").read_bytes())


def _half(bundle: Path, suffix: str) -> None:
    data = (bundle / f"asr{suffix}").read_bytes()
    replace_file(bundle, f"asr{suffix}", data[: len(data) // 2])


HARM: dict[str, tuple[Callable[[Path, str], object], int, str]] = {
    "a wrong hash": (lambda b, s: flip(b / f"asr{s}"), 3, "asr{}: found sha256"),
    "a file is missing": (
        lambda b, s: (b / f"speaker{s}").unlink(),
        3,
        "speaker{}: found nothing",
    ),
    "a newer engine": (
        lambda b, s: change(
            b, engine={"name": {".pte": "executorch"}.get(s, s[1:]), "minimum_version": "99.0"}
        ),
        1,
        "expected at least 99.0 for this bundle",
    ),
    "half a graph": (_half, 1, "asr{}: {} cannot "),
    "another graph": (lambda b, s: _other_graph(b, s, "encoder"), 3, "asr{}: found "),
    "another shape": (lambda b, s: _other_graph(b, s, "speaker"), 3, "asr{}: "),
}


@pytest.mark.parametrize("name", HARM)
def test_a_broken_bundle_is_refused(
    name: str, engine: Engine, program: Path, bundle: Path, run_program: Run, tmp_path: Path
) -> None:
    harm, code, message = HARM[name]
    library = {ONNX: "onnxruntime", TFLITE: "litert", EXECUTORCH: "executorch"}[engine]
    shutil.copytree(bundle, tmp_path / "bundle")
    harm(tmp_path / "bundle", engine.suffix)

    done = run_program(
        program, "--bundle", tmp_path / "bundle", *engine.arguments(), "-", pcm=bytes(100)
    )

    assert done.returncode == code, done.stderr
    assert message.format(engine.suffix, library) in done.stderr
    assert done.stderr.startswith("echo-edge: ")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_a_bundle_for_another_engine(
    engine: Engine, program: Path, null_bundle: Path, default_bundle: Path, run_program: Run
) -> None:
    others = {"null": null_bundle} | ({"onnx": default_bundle} if engine != ONNX else {})
    for name, other in others.items():
        done = run_program(program, "--bundle", other, "-")

        assert done.returncode == 1
        assert f"engine {name}: this program cannot run it (it can: {engine.name})" in done.stderr


def test_no_engine(
    engine: Engine, program: Path, bundle: Path, run_program: Run, tmp_path: Path
) -> None:
    (tmp_path / "text.so").write_text("no library")
    text = tmp_path / "text.so"
    expected: list[tuple[object, int, str]] = [
        (text, 1, "name the file with --engine-library"),
        ("libc.so.6", 1, "found another library"),
    ]
    if engine is TFLITE:
        expected[1] = ("libc.so.6", 1, "found another library without LiteRt")
    if engine is EXECUTORCH:  # whose libraries are linked
        expected = [(text, 2, "--engine-library: found")]
    for library, code, message in expected:
        done = run_program(
            program, "--bundle", bundle, "--engine-library", library, "-", pcm=bytes(100)
        )
        assert done.returncode == code
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_audio_that_breaks_off_is_processed_first(
    run: Run, recording: Path, tmp_path: Path
) -> None:
    (tmp_path / "cut.wav").write_bytes(recording.read_bytes()[: 44 + 32_000 * 8])

    done = run(tmp_path / "cut.wav")

    assert done.returncode == 1
    assert "cut.wav: breaks off at 8.000 s, expected 63.080 s" in done.stderr
    found = read_lines(done.stdout)
    assert found["end"][0]["duration_s"] == 8.0
    assert len(found["word"]) > 5


def test_no_microphone(run: Run) -> None:
    done = run("mic:hw:7,0")

    assert done.returncode == 1
    assert "microphone hw:7,0:" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("cpu", ["cortex-a72", "cortex-a76"])
def test_same_on_emulated_boards(
    cpu: str,
    engine: Engine,
    emulate: Callable[[Path, str], Lines],
    run: Run,
    recording: Path,
) -> None:
    """Pi 4 and Pi 5: their processors round int8 products differently, so letters may differ."""
    there = emulate(engine.folder, cpu)

    assert_similar(there, read_lines(run("-", pcm=first_seconds(recording, 12)).stdout))


def test_needs_few_libraries(engine: Engine, program: Path) -> None:
    """An engine's library is loaded by name, or linked in C++; the others are inside."""
    needed = subprocess.run(
        ["objdump", "-p", program], check=True, capture_output=True, text=True
    ).stdout
    libraries = set(re.findall(r"NEEDED +(\S+)", needed))
    if engine is EXECUTORCH:
        libraries -= {"libstdc++.so.6", "libgcc_s.so.1"}
        libraries = {name for name in libraries if not name.startswith("libexecutorch")}
    assert libraries <= {"libc.so.6", "libm.so.6", "libdl.so.2", "ld-linux-aarch64.so.1"}
