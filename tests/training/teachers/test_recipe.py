"""The recipe's commands, in order, with options that the commands take."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def test_the_recipe_walks_from_models_to_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$*" >> "$CALLS"\n')
    python.chmod(0o755)
    (tmp_path / "out/text").mkdir(parents=True)
    (tmp_path / "out/text/book.txt").write_text("A book.")
    calls = tmp_path / "calls"
    (tmp_path / "data").mkdir()
    command = [ROOT / "training/recipes/teachers.sh", tmp_path / "data", tmp_path / "out", "0.5"]
    environment = {**os.environ, "PYTHON": str(python), "CALLS": str(calls)}
    subprocess.run(command, env=environment, check=True)

    asked = [line.split() for line in calls.read_text().splitlines()]
    assert [words[1] for words in asked] == [
        f"training.teachers.{step}" for step in ("fetch", "speech", "cache")
    ]
    for _, module, *options in asked:
        for dependency in ("ctranslate2", "kaldi_native_fbank"):
            pytest.importorskip(dependency)
        monkeypatch.setattr(sys, "argv", [module, *options, "--help"])
        with pytest.raises(SystemExit) as ended:
            importlib.import_module(module).main()
        assert ended.value.code == 0
        assert capsys.readouterr().out.startswith("usage: ")
    assert f"--more {tmp_path}/out/kokoro" in " ".join(asked[-1])
    assert "0.5" in asked[1]
