"""How bundles are held against each other."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import parity
from echo_edge.result import Result, Turn, Word


def result(*turns: tuple[float, float, str], words: str = "") -> Result:
    return Result(
        turns=tuple(Turn(start, end, speaker, 1.0) for start, end, speaker in turns),
        words=tuple(Word(0.0, 1.0, text, None, 1.0) for text in words.split()),
        duration_s=10.0,
    )


REFERENCE = result((0.0, 4.0, "speaker_1"), (4.0, 8.0, "speaker_2"), words="a b c d")


def test_the_same_agrees() -> None:
    assert parity.agreement([REFERENCE], [REFERENCE]) == {"der": 0.0, "wer": 0.0, "relabelled": 0}


def test_differences_are_counted() -> None:
    found = result((0.0, 4.0, "speaker_1"), (4.0, 6.0, "speaker_2"), words="a b x d")
    assert parity.agreement([REFERENCE], [found]) == {"der": 25.0, "wer": 25.0, "relabelled": 0}


def test_swapped_labels_are_no_error_but_seen() -> None:
    found = result((0.0, 4.0, "speaker_2"), (4.0, 8.0, "speaker_1"), words="a b c d")
    assert parity.agreement([REFERENCE], [found]) == {"der": 0.0, "wer": 0.0, "relabelled": 2}


def test_only_like_is_compared_with_like() -> None:
    def record(name: str, recipe: str, der: float) -> parity.Record:
        names = ("float", "one", "other")
        figures = {"der": der, "wer": 0.0, "relabelled": 0}
        return {
            "bundle": {"name": name, "recipe": recipe},
            "agreement": {n: figures | {"der": 0.0 if n == name else der} for n in names},
        }

    records = [
        record("float", "float32", 0.7),
        record("one", "static_w8a8", 0.7),
        record("other", "dynamic_w8", 0.2),
    ]
    assert parity.over_budget(records) == ["one against other: der 0.70, at most 0.5"]


def test_a_report_is_written(
    null_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audio, out = tmp_path / "noise.wav", tmp_path / "new/parity"
    soundfile.write(audio, np.random.default_rng(0).normal(0.0, 0.1, 32_000), 16_000)
    options = ["--recording", str(audio), "--minutes", "0.1", "--rounds", "1", "--out", str(out)]

    assert parity.main(["--bundle", str(null_bundle), str(null_bundle), *options]) == 0
    records = [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]
    assert len(records) == 2
    assert records[0]["drift_db"] == 0.0  # silence against silence
    assert records[1]["encoder_ms"]["2"]["min"] > 0.0
    assert "All agree." in out.with_suffix(".md").read_text()
    assert "All agree." in capsys.readouterr().out


def test_no_bundle_is_refused_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert parity.main(["--bundle", str(tmp_path / "none")]) != 0
    assert capsys.readouterr().err.splitlines()[-1].startswith("parity: ")
