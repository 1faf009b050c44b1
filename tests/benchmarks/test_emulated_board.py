"""Emulated processors: what they are told to be, how outputs are compared, what is counted."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.emulation import arm_guest, arm_root
from benchmarks.emulation import board as emulated_board
from echo_edge.board.info import read_board
from echo_edge.bundle.verify import open_bundle
from echo_edge.engines import engine_version
from echo_edge.errors import EchoError

COUNTS = [7, *range(10, 10 + len(arm_guest.PARTS) - 1)]

LOOP = """
#include <unistd.h>
int main(void)
{
    long n = 1000000;
    getpgid(-4); /* part 3 */
    __asm__ volatile("1: subs %0, %0, #1\\n b.ne 1b" : "+r"(n) : : "cc");
    getpgid(-1);
    return (int)n;
}
"""


def needs(*tools: str) -> None:
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}: {arm_root.APT} gcc-aarch64-linux-gnu")


def needs_counter(*tools: str) -> None:
    needs("qemu-aarch64", "cc", *tools)
    if not arm_root.can_count():
        pytest.skip("qemu-aarch64 takes other plug-ins than ours")


@pytest.mark.parametrize(
    ("version", "options", "can"),
    [("7.2.22", "-plugin FILE", True), ("7.2.22", "", False), ("10.0.13", "-plugin FILE", False)],
)
def test_only_a_qemu_that_takes_the_plug_in_counts(
    version: str, options: str, can: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    qemu = tmp_path / "qemu-aarch64"
    answers = f"-version) echo 'qemu-aarch64 version {version}' ;;\n-help) echo '{options}' ;;"
    qemu.write_text(f"#!/bin/sh\ncase $1 in\n{answers}\nesac\n")
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert arm_root.can_count() is can


@pytest.mark.parametrize(
    ("cpu", "name", "isa"),
    [
        ("cortex-a53", "Cortex-A53", ("neon",)),
        ("cortex-a72", "Cortex-A72", ("neon",)),
        ("cortex-a76", "Cortex-A76", ("neon", "dotprod")),
    ],
)
def test_processors_are_what_they_say(
    tmp_path: Path, cpu: str, name: str, isa: tuple[str, ...]
) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(arm_root.cpuinfo(cpu))
    board = read_board(tmp_path, "aarch64")
    assert (board.cpu, board.isa, board.cores) == (name, isa, 4)


def test_equal_and_other_bits_are_told_apart() -> None:
    here = {"asr": np.ones((4, 5), np.float32), "latents": np.ones((4, 5), np.float32)}
    there = {"asr": here["asr"], "latents": here["latents"] + np.float32(0.01)}
    outputs = emulated_board.compare(here, there)
    assert outputs["asr"] == {"equal_bits": True, "sqnr_db": 150.0, "most_difference": 0.0}
    latents = outputs["latents"]
    assert not latents["equal_bits"]
    assert latents["sqnr_db"] == pytest.approx(40, abs=0.1)
    assert latents["most_difference"] == pytest.approx(0.01, rel=1e-3)


def test_counts_are_per_second_of_audio_and_without_loading() -> None:
    figures = emulated_board.per_audio_s([1000 * count for count in COUNTS], 10.0)
    assert figures == {
        "all": 100 * sum(COUNTS[1:]),
        **{name: 100 * count for name, count in zip(arm_guest.PARTS[1:], COUNTS[1:], strict=True)},
    }


def test_a_part_without_instructions_is_no_count() -> None:
    counts = list(COUNTS)
    counts[arm_guest.PARTS.index("encoder")] = 0
    with pytest.raises(EchoError, match="found no instructions in encoder"):
        emulated_board.per_audio_s(counts, 10.0)


def test_a_missing_file_of_counts_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(EchoError, match=r"counts.txt: found no counts .* takes plug-ins"):
        arm_root.read_counts(tmp_path / "counts.txt")


def test_a_turn_is_a_whole_number_of_chunks_and_hops(default_bundle: Path) -> None:
    manifest = open_bundle(default_bundle).manifest
    n_chunks = emulated_board.round_chunks(manifest)
    assert n_chunks * manifest.streaming.chunk_steps % manifest.diarization.hop_steps == 0
    assert n_chunks <= manifest.diarization.hop_steps


def test_what_was_not_counted_is_a_dash(tmp_path: Path) -> None:
    output = {"equal_bits": False, "sqnr_db": 41.26, "most_difference": 0.1}
    record = {
        "bundle": {"engine": "tflite", "recipe": "dynamic_w8"},
        "cpu": "cortex-a72",
        "compared_with": "Some processor",
        "selftest_passed": False,
        "outputs": dict.fromkeys(("latents", "asr"), output),
        "instructions": None,
    }
    emulated_board.save([record], tmp_path / "new/found", "the command")
    assert json.loads((tmp_path / "new/found.jsonl").read_text()) == record
    text = (tmp_path / "new/found.md").read_text()
    assert "`the command`" in text
    assert "Some processor" in text
    cells = [cell.strip() for cell in text.splitlines()[-1].strip("|").split("|")]
    assert cells == ["tflite", "dynamic_w8", "cortex-a72", "FAILED", "41.3", "41.3"] + ["-"] * 7


def test_another_engine_is_refused(null_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert emulated_board.main(["--bundle", str(null_bundle)]) == 1
    *_, last = capsys.readouterr().err.splitlines()
    assert "found engine null, expected one of onnx, tflite, executorch" in last


def test_missing_tools_are_named(
    default_bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("onnxruntime", reason="needs echo-edge[onnx]")
    monkeypatch.setenv("PATH", str(tmp_path))
    work = tmp_path / "work"
    arguments = ["--bundle", str(default_bundle), "--work", str(work)]
    assert emulated_board.main(arguments) == 1
    counts, tools = capsys.readouterr().err.splitlines()
    assert "found no qemu-aarch64 that takes our plug-in, so nothing is counted" in counts
    assert "mmdebstrap is not installed here: apt-get install" in tools
    for name in ("root/proc", f"numpy-{np.__version__}", f"onnx-{engine_version('onnx')}"):
        (work / name).mkdir(parents=True)
        (work / name.partition("/")[0] / ".complete").touch()
    assert emulated_board.main(arguments) == 1
    _, tools = capsys.readouterr().err.splitlines()
    assert "qemu-aarch64-static is not installed here" in tools


def test_every_instruction_is_counted_in_its_part(tmp_path: Path) -> None:
    needs_counter("aarch64-linux-gnu-gcc")
    plugin, program, out = arm_root.make_counter(tmp_path), tmp_path / "loop", tmp_path / "counts"
    (tmp_path / "loop.c").write_text(LOOP)
    compiler = ("aarch64-linux-gnu-gcc", "-O1", "-static", "-o", str(program))
    subprocess.run((*compiler, str(tmp_path / "loop.c")), check=True)
    subprocess.run(("qemu-aarch64", "-plugin", f"{plugin},out={out}", str(program)), check=True)
    outside, first, second, third, *others = arm_root.read_counts(out)
    assert 2_000_000 <= third <= 2_000_100  # two in each of a million rounds, and the two calls
    assert 0 < outside < 1_000_000
    assert not any((first, second, *others))


def test_a_counter_without_a_file_is_refused(tmp_path: Path) -> None:
    needs_counter()
    plugin = arm_root.make_counter(tmp_path)
    done = subprocess.run(
        ("qemu-aarch64", "-plugin", str(plugin), "/bin/true"), capture_output=True, check=False
    )
    assert done.returncode
    assert b"count_instructions: expected the option out=FILE" in done.stderr


@pytest.mark.slow
@pytest.mark.board
@pytest.mark.parametrize(
    ("engine", "cpu"),
    [("onnx", "cortex-a72"), ("tflite", "cortex-a76"), ("executorch", "cortex-a72")],
)
def test_an_engine_computes_the_same_there(
    engine: str, cpu: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needs("mmdebstrap")
    pytest.importorskip("torch", reason="needs echo-edge[export]")
    if not (counted := arm_root.can_count()):
        needs("qemu-aarch64-static")
    if engine == "executorch":
        needs("aarch64-linux-gnu-g++")
    from tests.small_echo import make_bundle

    bundle, out = make_bundle(engine, tmp_path / "bundle"), tmp_path / "found"
    capsys.readouterr()

    code = emulated_board.main(["--bundle", str(bundle), "--cpu", cpu, "--out", str(out)])

    printed = capsys.readouterr()
    if "pip failed" in printed.err or "mmdebstrap failed" in printed.err:
        pytest.skip(printed.err.strip().splitlines()[-1])
    assert code == 0, printed.err
    (record,) = json.loads(printed.out.splitlines()[-1])
    assert record["selftest_passed"]
    # Where this processor's products saturate (AVX2 without VNNI), it is the one that is off.
    here = json.loads((bundle / "manifest.json").read_text())["parity"]
    for output, found in record["outputs"].items():
        assert found["sqnr_db"] >= min(25.0, here[f"{output}.sqnr_db"] - 3.0), output
    if counted:
        figures = record["instructions"]["per_audio_s"]
        assert figures["all"] == pytest.approx(sum(figures.values()) / 2, abs=9)
        assert figures["all"] > 2 * figures["encoder"]  # such a small encoder is little of it
    assert os.fspath(out) in out.with_suffix(".md").read_text()
