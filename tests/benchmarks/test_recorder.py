"""The recorder's benchmarks run from start to end on a bundle that computes nothing."""

import json
from pathlib import Path

import pytest

from benchmarks.recording import kills as recorder_kills
from benchmarks.recording import latency_and_soak as recorder


@pytest.fixture(autouse=True)
def _bundle(null_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHO_EDGE_BUNDLE", str(null_bundle))


def _result(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_kills(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recorder_kills, "MAX_S", 1.0)

    assert recorder_kills.main(["--times", "2", "--folder", str(tmp_path / "kills")]) == 0

    result = _result(capsys)
    assert (result["kills"], result["exact"], result["recovered_alike"]) == (2, 2, 2)
    assert result["passed"] is True
    assert not (tmp_path / "kills").exists()


def test_latency(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody speaks, so nothing is late."""
    assert recorder.main(["latency", "--seconds", "0.5"]) == 0

    assert _result(capsys) == {"audio_s": 0.5, "latency_s": 2.0}


def test_soak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        recorder.main(["soak", "--hours", "0.001", "--pace", "50", "--folder", str(tmp_path)]) == 0
    )

    result = _result(capsys)
    assert (result["exit_code"], result["words"]) == (0, 0)
    assert result["duration_s"] == pytest.approx(63.08, abs=0.05)
    assert list(tmp_path.iterdir()) == [tmp_path / "null"]
