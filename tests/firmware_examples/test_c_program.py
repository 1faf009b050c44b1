"""What does not depend on the engine, with the shipped bundle: bundles that break a rule, wrong
usage, other audio, no microphone. One line each, and the command line's exit codes."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.firmware_examples.engines import ONNX, Engine, needs
from tests.firmware_examples.example import change, flip, read_manifest

Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = needs(ONNX)


@pytest.fixture(scope="module")
def program(build_example: Callable[[Engine], Path]) -> Path:
    return build_example(ONNX)


@pytest.fixture(scope="module")
def run(program: Path, default_bundle: Path, run_program: Run) -> Run:
    """Run the example with the shipped bundle and more arguments."""

    def with_bundle(*words: object, pcm: bytes = b"") -> subprocess.CompletedProcess[str]:
        return run_program(program, "--bundle", default_bundle, *ONNX.arguments(), *words, pcm=pcm)

    return with_bundle


def _shape(folder: Path) -> None:
    graphs = read_manifest(folder)["graphs"]
    graphs["asr"]["inputs"][0]["shape"] = [1, 13, 512]
    change(folder, graphs=graphs)


def _link(path: Path) -> None:
    """A link in place of the file, which goes out of the bundle."""
    path.rename(path.parents[1] / path.name)
    path.symlink_to(f"../{path.name}")


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "a graph was changed": (lambda b: flip(b / "asr.onnx"), "asr.onnx: found sha256"),
    "the language model was changed": (
        lambda b: flip(b / "language.npz"),
        "language.npz: found sha",
    ),
    "a file is missing": (lambda b: (b / "tokens.txt").unlink(), "tokens.txt: found nothing"),
    "a file is too much": (lambda b: (b / "run.sh").touch(), "run.sh: found in the bundle"),
    "a file in a folder is too much": (lambda b: (b / "selftest/x").touch(), "selftest/x: found"),
    "a file is a link": (lambda b: _link(b / "tokens.txt"), "tokens.txt: found a link"),
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
    "no thresholds": (
        lambda b: change(b, decoding={}),
        "decoding.active_threshold: expected a number from 0 to 1",
    ),
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


def test_no_bundle(program: Path, run_program: Run, tmp_path: Path) -> None:
    done = run_program(program, "--bundle", tmp_path / "nothing", "-")

    assert done.returncode == 3
    assert "found no folder, expected a bundle" in done.stderr


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
        (["--min-speakers", "3", "--max-speakers", "2", "-"], "speakers: found 3 to 2"),
    ],
)
def test_wrong_usage(words: list[str], message: str, run: Run) -> None:
    done = run(*words)

    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


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
