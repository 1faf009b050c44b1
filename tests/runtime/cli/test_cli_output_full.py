"""Output files on a disk that is full."""

import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from echo_edge.bundle.find import find_bundle
from tests.runtime.cli.processes import COMMAND


def _small_files(n_bytes: int) -> Callable[[], None]:
    """Files of so many bytes at most, as on a disk that fills up."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))

    return limit


class TestDiskFull:
    """What was heard is not lost, and one line says where it is."""

    @pytest.fixture
    def clip(self) -> Path:
        return find_bundle(None) / "selftest" / "labelled.flac"

    @pytest.mark.parametrize("options", [["--latency-s", "2"], [], ["--format", "json"]], ids=str)
    def test_text(self, tmp_path: Path, clip: Path, options: list[str]) -> None:
        out = tmp_path / "out"
        out.write_text("old")
        words = [*COMMAND, "run", str(clip), "--no-voices", *options]
        whole = subprocess.run(words, capture_output=True, check=True, text=True)

        done = subprocess.run(
            [*words, "--out", str(out)], capture_output=True, check=False, text=True,
            preexec_fn=_small_files(700),
        )  # fmt: skip

        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert "File too large" in done.stderr
        assert "the text is on standard output" in done.stderr
        if "json" not in options:
            assert done.stdout == whole.stdout
        assert out.read_text() == "old"
        assert list(tmp_path.iterdir()) == [out]

    def test_text_that_nobody_takes(self, tmp_path: Path, clip: Path) -> None:
        """Then whole lines stay in the file that grew."""
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [*COMMAND, "run", str(clip), "--no-voices", "--latency-s", "2", "--out", "t.txt"],
                stdout=full, stderr=subprocess.PIPE, check=False, cwd=tmp_path, text=True,
                preexec_fn=_small_files(700),
            )  # fmt: skip

        assert done.returncode == 1
        (left,) = tmp_path.iterdir()
        assert left.name in done.stderr
        assert left.read_text().endswith("\n")
        assert left.read_text().count("\n") >= 3

    @pytest.mark.parametrize("options", [["--latency-s", "2"], []], ids=str)
    @pytest.mark.parametrize("name", ["txt", "json"])
    def test_voices(self, tmp_path: Path, clip: Path, options: list[str], name: str) -> None:
        """The text is written all the same; no voice is there in part."""
        done = subprocess.run(
            [*COMMAND, "run", str(clip), "--no-voices", *options, "--separate", "v", "--format",
             name, "--out", "t"],
            capture_output=True, check=False, cwd=tmp_path, text=True,
            preexec_fn=_small_files(200_000),
        )  # fmt: skip

        assert (done.returncode, done.stdout) == (1, "")
        assert "source_1.wav: cannot be written (File too large)" in done.stderr
        assert done.stderr.count("\n") == 1
        assert "speaker_1" in (tmp_path / "t").read_text()
        assert list(tmp_path.glob("v/*")) == []
