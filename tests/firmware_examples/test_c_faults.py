"""Faults, under the sanitizers: graphs that answer what is no number, thresholds
at the edge of what a manifest allows, folders that are links, a disk without room."""

import fcntl
import math
import re
import shutil
import signal
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.firmware_examples.example import change, read_lines, read_manifest, replace_file
from tests.firmware_examples.scenes import Reference
from tests.runtime.bundle.test_decoding import RANGES

Run = Callable[..., subprocess.CompletedProcess[str]]

STRANGE_ANSWERS = {
    "no numbers": [math.nan],
    "infinities": [math.inf],
    "the other infinities": [-math.inf],
    "the largest numbers": [float(np.finfo(np.float32).max)],
    "posteriors over one": [80.0],
    "a bit of all": [math.nan, math.inf, -math.inf, 80.0, -1.0, -1e-9, 1e38],
}


@pytest.fixture
def bundle(references: Callable[[str], Reference], tmp_path: Path) -> Path:
    """A simulated recording's, to be changed."""
    shutil.copytree(references("shorter than a window").bundle, tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture(scope="module")
def program(build_replay: Callable[..., Path]) -> Path:
    return build_replay("asan")


@pytest.mark.parametrize("name", STRANGE_ANSWERS)
@pytest.mark.parametrize("graph", ["asr", "diarization", "speaker", "separation"])
def test_strange_answers_of_a_graph_do_no_harm(
    graph: str, name: str, bundle: Path, program: Path, run_program: Run, tmp_path: Path
) -> None:
    n_answers = (bundle / f"{graph}.null").stat().st_size // 4
    answers = np.random.default_rng(0).choice(STRANGE_ANSWERS[name], n_answers)
    replace_file(bundle, f"{graph}.null", answers.astype("<f4").tobytes())

    done = run_program(
        program, "--bundle", bundle, "--separate", tmp_path / "voices", "-", pcm=bytes(32_000 * 6)
    )

    assert (done.returncode, done.stderr) == (0, "")
    lines = read_lines(done.stdout)
    assert all(0.0 <= x["confidence"] <= 1.0 for x in lines["turn"] + lines["word"])


@pytest.mark.parametrize("end", ["lowest", "highest"])
@pytest.mark.parametrize("key", RANGES)
def test_any_constant_does_no_harm(
    key: str, end: str, bundle: Path, program: Path, run_program: Run
) -> None:
    value = RANGES[key][0 if end == "lowest" else 1]
    change(bundle, decoding=read_manifest(bundle)["decoding"] | {key: value})

    done = run_program(program, "--bundle", bundle, "-", pcm=bytes(32_000 * 6))

    assert (done.returncode, done.stderr) == (0, "")
    assert len(read_lines(done.stdout)["end"]) == 1


def test_a_folder_that_is_a_link_is_refused(
    bundle: Path, program: Path, run_program: Run, tmp_path: Path
) -> None:
    files = read_manifest(bundle)["files"]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/tokens.txt").write_bytes((bundle / "tokens.txt").read_bytes())
    change(bundle, files=files | {"more/tokens.txt": files["tokens.txt"]})
    (bundle / "more").symlink_to("../elsewhere")

    done = run_program(program, "--bundle", bundle, "-", pcm=bytes(100))

    assert done.returncode == 3
    assert done.stderr.startswith("echo-edge: more: found a link")


def test_no_more_of_an_error_than_a_terminal_can_bear(
    bundle: Path, program: Path, run_program: Run
) -> None:
    change(bundle, engine={"name": "\x1b[2J\tonnx\n", "minimum_version": "0"})

    done = run_program(program, "--bundle", bundle, "-", pcm=bytes(100))

    assert done.returncode == 1
    assert done.stderr.startswith("echo-edge: engine  [2J onnx : this program cannot run it")


def test_voices_that_cannot_be_written(
    bundle: Path, program: Path, run_program: Run, tmp_path: Path
) -> None:
    """A folder that is none, a name too long for a path, a full disk."""
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/source_1.wav").symlink_to("/dev/full")
    for folder, message in (
        (tmp_path / "file", "file/source_1.wav: cannot be written (Not a directory)"),
        (f"{tmp_path}{'/x' * 2100}", "path too long"),
        (tmp_path / "full", "full/source_1.wav: cannot be written (No space left on device)"),
    ):
        done = run_program(
            program, "--bundle", bundle, "--separate", folder, "-", pcm=bytes(32_000)
        )
        assert done.returncode == 1
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert not list((tmp_path / "full").iterdir())


def test_a_microphone_until_ctrl_c(
    bundle: Path, build_replay: Callable[..., Path], run_program: Run
) -> None:
    """Built with ALSA: one that is not there, and silence from its `null` device."""
    if (
        shutil.which("pkg-config") is None
        or subprocess.run(["pkg-config", "--exists", "alsa"], check=False).returncode
    ):
        pytest.skip("needs ALSA: apt install libasound2-dev pkg-config")
    program = build_replay("asan", "yes")

    missing = run_program(program, "--bundle", bundle, "mic:hw:7,0")
    with subprocess.Popen(
        [program, "--bundle", bundle, "mic:null"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        _wait_until_it_listens(process.pid)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)

    assert missing.returncode == 1
    assert "microphone hw:7,0: cannot be opened" in missing.stderr
    assert len(missing.stderr.splitlines()) == 1
    assert (process.returncode, stderr) == (0, b"")
    assert read_lines(stdout.decode())["end"][0]["duration_s"] > 0.0


def test_ctrl_c_in_the_middle_of_a_sample(bundle: Path, program: Path) -> None:
    """All audio received is processed, as at the end of a file."""
    with subprocess.Popen(
        [program, "--bundle", bundle, "-"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(bytes(32_001))
        process.stdin.flush()
        _wait_until_it_listens(process.pid)
        while int.from_bytes(fcntl.ioctl(process.stdin, termios.FIONREAD, bytes(4)), "little"):
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)

    assert (process.returncode, stderr) == (0, b"")
    assert read_lines(stdout.decode())["end"][0]["duration_s"] == 1.0


def _wait_until_it_listens(pid: int) -> None:
    """Until it has loaded everything and a signal ends the audio, not the program."""
    for _ in range(3000):
        (caught,) = re.findall(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
        if int(caught, 16) >> signal.SIGINT - 1 & 1:
            return
        time.sleep(0.1)
    pytest.fail("it never listens")
