"""The LiteRT example in C: the same answers as the Python runtime with the same engine, clear
refusals with the command line's exit codes, and no more memory than its README says."""

import re
import shutil
import subprocess
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.firmware_examples.example import (
    Lines,
    assert_alike,
    assert_same,
    change,
    flip,
    python_lines,
    read_lines,
    replace_file,
)

Run = Callable[..., subprocess.CompletedProcess[str]]
Build = Callable[..., Path]

EXAMPLE = Path(__file__).parents[2] / "firmware_examples" / "c_tflite"
MOST_RSS_MIB = 80.0
pytestmark = [
    pytest.mark.slow,  # a bundle is exported first, unless one is in build/
    pytest.mark.skipif(
        find_spec("ai_edge_litert") is None or find_spec("torch") is None,
        reason="needs echo-edge[export] to make a bundle",
    ),
]


@pytest.fixture(scope="module")
def library() -> Path:
    """LiteRT's, as the Python package has it, beside what must not be loaded on a board."""
    spec = find_spec("ai_edge_litert")
    assert spec is not None
    (folder,) = spec.submodule_search_locations or [""]
    return Path(folder) / "libLiteRt.so"


@pytest.fixture(scope="module")
def bundle(make: Callable[..., object]) -> Path:
    make(EXAMPLE, "build/bundle/manifest.json")
    return EXAMPLE / "build/bundle"


@pytest.fixture(scope="module")
def program(build_example: Build) -> Path:
    return build_example(EXAMPLE)


@pytest.fixture(scope="module")
def run(program: Path, library: Path, bundle: Path, run_program: Run) -> Run:
    """Run the example with the exported bundle and more arguments."""

    def with_bundle(*words: object, pcm: bytes = b"") -> subprocess.CompletedProcess[str]:
        start = [program, "--bundle", bundle, "--engine-library", library]
        return run_program(*start, *words, pcm=pcm)

    return with_bundle


def _first(recording: Path, seconds: int) -> bytes:
    """Raw samples of the recording's start."""
    return recording.read_bytes()[44 : 44 + 32_000 * seconds]


@pytest.mark.parametrize("language_model", [True, False])
def test_same_turns_and_words_as_python(
    language_model: bool, run: Run, recording: Path, bundle: Path
) -> None:
    flags = [] if language_model else ["--no-language-model"]

    done = run(*flags, recording)

    assert (done.returncode, done.stderr) == (0, "")
    expected = python_lines(bundle, recording, language_model=language_model)
    assert len(expected["turn"]) > 10
    assert len(expected["word"]) > 50
    assert_same(read_lines(done.stdout), expected)


def test_all_heads_fit_in_memory(run: Run, recording: Path, tmp_path: Path) -> None:
    done = run("--stats", "--separate", tmp_path / "voices", recording)

    assert done.returncode == 0, done.stderr
    assert float(re.findall(r"peak RSS ([\d.]+) MiB", done.stderr)[0]) <= MOST_RSS_MIB
    assert '"type": "source"' in done.stdout


def test_threads_change_nothing(run: Run, recording: Path) -> None:
    pcm = _first(recording, 10)

    alone, together = run("-", pcm=pcm), run("--threads", "2", "-", pcm=pcm)

    assert (alone.returncode, together.returncode) == (0, 0)
    assert alone.stdout == together.stdout != ""


def test_nothing_is_allocated_while_audio_flows(
    build_example: Build,
    library: Path,
    bundle: Path,
    run_program: Run,
    recording: Path,
    tmp_path: Path,
) -> None:
    program, counts = build_example(EXAMPLE, "count"), []
    for seconds in (2, 20):
        done = run_program(
            program, "--bundle", bundle, "--engine-library", library, "--separate", tmp_path, "-",
            pcm=_first(recording, seconds),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        counts.append(int(re.findall(r"allocations: (\d+)", done.stderr)[0]))
    assert counts[0] == counts[1] > 100


def test_sanitizers_find_nothing(
    build_example: Build,
    library: Path,
    bundle: Path,
    run_program: Run,
    recording: Path,
    tmp_path: Path,
) -> None:
    done = run_program(
        build_example(EXAMPLE, "asan"), "--bundle", bundle, "--engine-library", library,
        "--separate", tmp_path, "-", pcm=_first(recording, 15),
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


def _half(path: Path) -> bytes:
    data = path.read_bytes()
    return data[: len(data) // 2]


def _unknown_operators(path: Path) -> bytes:
    """The same graph, of operators in a version that no library has."""
    schema = import_module("ai_edge_litert.schema_py_generated")
    flatbuffers = import_module("flatbuffers")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(path.read_bytes(), 0))
    for code in model.operatorCodes:
        code.version = 99
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


HARM: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "a wrong hash": (lambda b: flip(b / "asr.tflite"), 3, "asr.tflite: found sha256"),
    "a file is missing": (lambda b: (b / "speaker.tflite").unlink(), 3, "speaker.tflite: found no"),
    "a newer engine": (
        lambda b: change(b, engine={"name": "tflite", "minimum_version": "99.0"}),
        1,
        "expected at least 99.0 for this bundle",
    ),
    "no TFLite": (
        lambda b: replace_file(b, "asr.tflite", b"no graph" * 100),
        3,
        "asr.tflite: found no TFL3",
    ),
    "half a graph": (
        lambda b: replace_file(b, "asr.tflite", _half(b / "asr.tflite")),
        1,
        "asr.tflite: litert cannot load it",
    ),
    "a graph for a newer engine": (
        lambda b: replace_file(b, "asr.tflite", _unknown_operators(b / "asr.tflite")),
        1,
        "asr.tflite: litert cannot load it: status 3: ERROR: Didn't find op for builtin",
    ),
    "another graph": (
        lambda b: replace_file(b, "asr.tflite", (b / "encoder.tflite").read_bytes()),
        3,
        "asr.tflite: found ",
    ),
    "another shape": (
        lambda b: replace_file(b, "asr.tflite", (b / "speaker.tflite").read_bytes()),
        3,
        "asr.tflite: inputs: found no latents or another shape",
    ),
}


@pytest.mark.parametrize("name", HARM)
def test_a_broken_bundle_is_refused(
    name: str, program: Path, library: Path, bundle: Path, run_program: Run, tmp_path: Path
) -> None:
    harm, code, message = HARM[name]
    shutil.copytree(bundle, tmp_path / "bundle")
    harm(tmp_path / "bundle")

    done = run_program(
        program, "--bundle", tmp_path / "bundle", "--engine-library", library, "-", pcm=bytes(100)
    )

    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert done.stderr.startswith("echo-edge: ")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_a_bundle_for_another_engine(program: Path, default_bundle: Path, run_program: Run) -> None:
    done = run_program(program, "--bundle", default_bundle, "-")

    assert done.returncode == 1
    assert "engine onnx: this program cannot run it (it can: tflite)" in done.stderr


def _other_version(folder: Path) -> Path:
    """A library with all functions of LiteRT, but of a version that the program does not know."""
    names = re.findall(r"F\(\w+, (\w+),", (EXAMPLE / "litert.h").read_text())
    source = "".join(f"int LiteRt{name}(void) {{ return 0; }}\n" for name in names)
    (folder / "other.c").write_text(source + "char kLiteRtRuntimeBuiltin[8];\n")
    library = folder / "libLiteRt.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", folder / "other.c", "-o", library], check=True, timeout=60
    )
    return library


def test_no_engine(program: Path, bundle: Path, run_program: Run, tmp_path: Path) -> None:
    (tmp_path / "text.so").write_text("no library")
    for library, message in (
        (tmp_path / "text.so", "name the file with --engine-library"),
        ("libc.so.6", "found another library without LiteRt"),
        (_other_version(tmp_path), "found another version of LiteRT (a table of 8 bytes)"),
    ):
        done = run_program(program, "--bundle", bundle, "--engine-library", library, "-")
        assert done.returncode == 1
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


@pytest.mark.parametrize("cpu", ["cortex-a72", "cortex-a76"])
def test_same_on_emulated_boards(
    cpu: str, emulate: Callable[[Path, str], Lines], run: Run, recording: Path
) -> None:
    """Pi 4 and Pi 5: their processors round otherwise, so some letters may differ."""
    there = emulate(EXAMPLE, cpu)

    assert_alike(there, read_lines(run("-", pcm=_first(recording, 12)).stdout))
