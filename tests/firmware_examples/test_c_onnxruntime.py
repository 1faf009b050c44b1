"""The ONNX Runtime example in C: the same answers as the Python runtime with the same engine, clear
refusals with the command line's exit codes, and no more memory than promised."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
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
)

onnxruntime = pytest.importorskip("onnxruntime", reason="needs echo-edge[onnx]")

Run = Callable[..., subprocess.CompletedProcess[str]]
Build = Callable[..., Path]

EXAMPLE = Path(__file__).parents[2] / "firmware_examples" / "c_onnxruntime"
MOST_RSS_MIB = 90.0


@pytest.fixture(scope="module")
def library() -> Path:
    """The engine that Python uses here."""
    return next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))


@pytest.fixture(scope="module")
def program(build_example: Build) -> Path:
    return build_example(EXAMPLE)


@pytest.fixture(scope="module")
def run(program: Path, library: Path, default_bundle: Path, run_program: Run) -> Run:
    """Run the example with the shipped bundle and more arguments."""

    def with_bundle(*words: object, pcm: bytes = b"") -> subprocess.CompletedProcess[str]:
        start = [program, "--bundle", default_bundle, "--engine-library", library]
        return run_program(*start, *words, pcm=pcm)

    return with_bundle


@pytest.mark.parametrize("language_model", [True, False])
def test_same_turns_and_words_as_python(
    language_model: bool,
    run: Run,
    recording: Path,
    default_bundle: Path,
) -> None:
    flags = [] if language_model else ["--no-language-model"]

    done = run(*flags, recording)

    assert (done.returncode, done.stderr) == (0, "")
    expected = python_lines(default_bundle, recording, language_model=language_model)
    assert len(expected["turn"]) > 10
    assert len(expected["word"]) > 50
    assert_same(read_lines(done.stdout), expected)


def test_prints_what_expect_txt_says(run: Run, recording: Path) -> None:
    """After the shipped bundle changed: make -C firmware_examples/c_onnxruntime expect."""
    expected = read_lines((EXAMPLE / "expect.txt").read_text())

    assert_alike(read_lines(run(recording).stdout), expected)


def test_all_heads_fit_in_memory(run: Run, recording: Path, tmp_path: Path) -> None:
    done = run("--stats", "--separate", tmp_path / "voices", recording)

    assert done.returncode == 0, done.stderr
    assert float(re.findall(r"peak RSS ([\d.]+) MiB", done.stderr)[0]) <= MOST_RSS_MIB
    assert '"type": "source"' in done.stdout


def test_threads_and_stdin_change_nothing(run: Run, recording: Path) -> None:
    raw = recording.read_bytes()[44 : 44 + 2 * 16_000 * 10]
    alone, together = run("-", pcm=raw), run("--threads", "2", "-", pcm=raw)

    assert (alone.returncode, together.returncode) == (0, 0)
    assert alone.stdout == together.stdout != ""


def test_nothing_is_allocated_while_audio_flows(
    build_example: Build,
    library: Path,
    default_bundle: Path,
    run_program: Run,
    recording: Path,
    tmp_path: Path,
) -> None:
    program, counts = build_example(EXAMPLE, "count"), []
    for seconds in (2, 20):
        done = run_program(
            program, "--bundle", default_bundle, "--engine-library", library,
            "--separate", tmp_path, "-", pcm=recording.read_bytes()[44 : 44 + 32_000 * seconds],
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        counts.append(int(re.findall(r"allocations: (\d+)", done.stderr)[0]))
    assert counts[0] == counts[1] > 100


def test_sanitizers_find_nothing(
    build_example: Build,
    library: Path,
    default_bundle: Path,
    run_program: Run,
    recording: Path,
    tmp_path: Path,
) -> None:
    pcm = recording.read_bytes()[44 : 44 + 32_000 * 15]

    done = run_program(
        build_example(EXAMPLE, "asan"), "--bundle", default_bundle, "--engine-library", library,
        "--separate", tmp_path, "-", pcm=pcm,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


def _shape(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["graphs"]["asr"]["inputs"][0]["shape"] = [1, 13, 512]
    (folder / "manifest.json").write_text(json.dumps(manifest))


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "a graph was changed": (lambda b: flip(b / "asr.onnx"), "asr.onnx: found sha256"),
    "the language model was changed": (
        lambda b: flip(b / "language.npz"),
        "language.npz: found sha",
    ),
    "a file is missing": (lambda b: (b / "tokens.txt").unlink(), "tokens.txt: found nothing"),
    "a file is too much": (lambda b: (b / "run.sh").touch(), "run.sh: found in the bundle"),
    "a file in a folder is too much": (lambda b: (b / "selftest/x").touch(), "selftest/x: found"),
    "a file is a link": (
        lambda b: (
            (b / "tokens.txt").rename(b.parent / "t").parent
            and (b / "tokens.txt").symlink_to("../t")
        ),
        "tokens.txt: found a link",
    ),
    "a file is cut": (
        lambda b: (b / "encoder.onnx").write_bytes((b / "encoder.onnx").read_bytes()[:-1]),
        " bytes, expected ",
    ),
    "no JSON": (lambda b: (b / "manifest.json").write_text("{"), "manifest.json: line 1"),
    "no manifest": (lambda b: (b / "manifest.json").unlink(), "manifest.json: found nothing"),
    "a key twice": (lambda b: (b / "manifest.json").write_text('{"a": 1, "a": 2}'), "duplicate"),
    "another schema": (lambda b: change(b, schema="echo-edge.bundle/2"), "schema: expected"),
    "a newer runtime": (lambda b: change(b, minimum_runtime="99.0.0"), "found 99.0.0"),
    "no graphs": (lambda b: change(b, graphs={}), "graphs: expected exactly six"),
    "another shape": (_shape, "graphs.asr: latents: found [1, 13, 512], expected [1, 12, 512]"),
    "no thresholds": (lambda b: change(b, decoding={}), "active_threshold: expected a finite"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_bundle_is_refused(
    name: str, program: Path, default_bundle: Path, run_program: Run, tmp_path: Path
) -> None:
    harm, message = BROKEN[name]
    bundle = tmp_path / "bundle"
    shutil.copytree(default_bundle, bundle)
    harm(bundle)

    done = run_program(program, "--bundle", bundle, "-")

    assert done.returncode == 3, done.stderr
    assert message in done.stderr
    assert done.stderr.startswith("echo-edge: ")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_no_bundle_and_another_engine(
    program: Path, null_bundle: Path, run_program: Run, tmp_path: Path
) -> None:
    nothing = run_program(program, "--bundle", tmp_path / "nothing", "-")
    other = run_program(program, "--bundle", null_bundle, "-")

    assert (nothing.returncode, other.returncode) == (3, 1)
    assert "found no folder, expected a bundle" in nothing.stderr
    assert "engine null: this program cannot run it (it can: onnx)" in other.stderr


def test_no_engine(program: Path, default_bundle: Path, run_program: Run, tmp_path: Path) -> None:
    (tmp_path / "libonnxruntime.so").write_text("no library")
    libc = "libc.so.6"
    for library, message in (
        (tmp_path / "libonnxruntime.so", "--engine-library"),
        (libc, "another"),
    ):
        done = run_program(
            program, "--bundle", default_bundle, "--engine-library", library, "-", pcm=bytes(100)
        )
        assert done.returncode == 1
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "found 0 arguments"),
        (["a.wav", "b.wav"], "found 2 arguments"),
        (["--theads", "2", "a.wav"], "unknown option"),
        (["--threads", "0", "-"], "--threads: found 0, expected 1 to 256"),
        (["--latency-s", "inf", "-"], "finite"),
        (["--latency-s", "-1", "-"], "latency_s: found -1"),
        (["--max-speakers", "21", "-"], "expected 1 to 20"),
    ],
)
def test_wrong_usage(words: list[str], message: str, run: Run) -> None:
    done = run(*words)

    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_audio_that_breaks_off_is_processed_first(
    run: Run, recording: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.wav"
    cut.write_bytes(recording.read_bytes()[: 44 + 32_000 * 8])

    done = run(cut)

    assert done.returncode == 1
    assert "cut.wav: breaks off at 8.000 s, expected 63.080 s" in done.stderr
    found = read_lines(done.stdout)
    assert found["end"][0]["duration_s"] == 8.0
    assert len(found["word"]) > 5


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no WAV header"),
        (b"fLaC" + bytes(100), "no WAV header"),
        (b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\2\0\x80\x3e\0\0\0\xfa\0\0\4\0\x10\0data\0\0\0\0",
         "other audio"),
        (b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0", "without samples"),
        (b"RIFF\x24\0\0\0WAVE", "without samples"),
    ],
    ids=["empty", "flac", "stereo", "cut in the format", "cut"],
)  # fmt: skip
def test_other_audio_is_refused(data: bytes, message: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "audio.wav").write_bytes(data)

    done = run(tmp_path / "audio.wav")

    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_no_audio_and_no_microphone(run: Run, tmp_path: Path) -> None:
    missing, microphone, odd = run(tmp_path / "no.wav"), run("mic:hw:7,0"), run("-", pcm=b"abc")

    assert [missing.returncode, microphone.returncode, odd.returncode] == [1, 1, 1]
    assert "cannot be read (No such file or directory)" in missing.stderr
    assert "microphone hw:7,0:" in microphone.stderr
    assert "odd number of bytes" in odd.stderr
    assert all(len(x.stderr.splitlines()) == 1 for x in (missing, microphone, odd))


@pytest.mark.slow
@pytest.mark.parametrize("cpu", ["cortex-a72", "cortex-a76"])
def test_same_on_emulated_boards(
    cpu: str, emulate: Callable[[Path, str], Lines], run: Run, recording: Path
) -> None:
    """Pi 4 and Pi 5: their processors round int8 products otherwise, so some letters may differ."""
    there = emulate(EXAMPLE, cpu)

    here = run("-", pcm=recording.read_bytes()[44 : 44 + 32_000 * 12])
    assert_alike(there, read_lines(here.stdout))


def test_needs_the_c_library_alone(program: Path) -> None:
    """The engine's library is loaded by name, the others are inside."""
    needed = subprocess.run(
        ["objdump", "-p", program], check=True, capture_output=True, text=True
    ).stdout
    libraries = set(re.findall(r"NEEDED +(\S+)", needed))
    assert libraries <= {"libc.so.6", "libm.so.6", "libdl.so.2", "ld-linux-aarch64.so.1"}
