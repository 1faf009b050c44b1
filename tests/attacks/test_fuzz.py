"""A short run of each target of `fuzz.py`; tests/attacks/README.md has the long ones."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TARGETS = (
    "manifest", "signature", "statement", "tar", "onnx", "npy", "truth", "language", "audio",
    "heard",
)  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_a_thousand_inputs(
    target: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pytest.importorskip("atheris", reason="needs pip install atheris")
    if target == "heard":
        pytest.importorskip("av", reason="needs pip install av")
        if shutil.which("ffmpeg") is None:
            pytest.skip("needs ffmpeg")
    script = Path(__file__).with_name("fuzz.py")

    # The peak memory that libFuzzer looks at begins with that of whoever started it, on Linux: not
    # with the tests' when a shell is in between.
    done = subprocess.run(
        [
            "sh",
            "-c",
            '"$@"; exit $?',
            "sh",
            sys.executable,
            script,
            target,
            "-runs=1000",
            "-seed=1",
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(tmp_path_factory.mktemp("fuzz"))},
        timeout=120,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    assert "stat::number_of_executed_units: 1000" in done.stderr
    assert list(tmp_path.iterdir()) == []
