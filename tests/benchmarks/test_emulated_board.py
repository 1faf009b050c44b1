"""Emulated processors: what they are told to be, how outputs are compared, what is refused."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import emulated_board
from echo_edge.board import read_board


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
    (tmp_path / "proc/cpuinfo").write_text(emulated_board.cpuinfo(cpu))
    board = read_board(tmp_path, "aarch64")
    assert (board.cpu, board.isa, board.cores) == (name, isa, 4)


def test_equal_and_other_bits_are_told_apart() -> None:
    here = {"asr": np.ones((4, 5), np.float32), "latents": np.ones((4, 5), np.float32)}
    there = {"asr": here["asr"], "latents": here["latents"] + np.float32(0.01)}
    result = emulated_board.compare("cortex-a72", here, there | {"passed": np.bool_(True)})
    assert result["selftest_passed"]
    assert result["outputs"]["asr"] == {
        "equal_bits": True, "sqnr_db": 150.0, "most_difference": 0.0
    }  # fmt: skip
    latents = result["outputs"]["latents"]
    assert not latents["equal_bits"]
    assert latents["sqnr_db"] == pytest.approx(40, abs=0.1)
    assert latents["most_difference"] == pytest.approx(0.01, rel=1e-3)
    rows = emulated_board.table([result]).splitlines()
    assert len(rows) == 2 + 2
    assert " no " in rows[3]


def test_another_engine_is_refused(null_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert emulated_board.main(["--bundle", str(null_bundle)]) == 1
    err = capsys.readouterr().err
    assert "found engine null, expected onnx" in err
    assert len(err.splitlines()) == 1


def test_missing_tools_are_named(
    default_bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("onnxruntime", reason="needs echo-edge[onnx]")
    monkeypatch.setenv("PATH", str(tmp_path))
    work = tmp_path / "work"
    assert emulated_board.main(["--bundle", str(default_bundle), "--work", str(work)]) == 1
    assert "mmdebstrap is not installed here: apt-get install" in capsys.readouterr().err
    (work / "root").mkdir(parents=True)
    (work / "complete").touch()
    assert emulated_board.main(["--bundle", str(default_bundle), "--work", str(work)]) == 1
    err = capsys.readouterr().err
    assert "qemu-aarch64-static is not installed here" in err
    assert len(err.splitlines()) == 1
