"""The table of qualities: figures of made-up results, and the command from start to end."""

import json
from pathlib import Path

import numpy as np
import pytest

from echo_edge.result import Result, Turn, Word
from echo_edge.session import load
from tests.training.simulation.test_pipeline import write_split
from training import quality as quality_command
from training.scoring import quality
from training.scoring.quality import Scene
from training.simulation.mixtures import Mixture

SECOND = np.zeros(16_000, np.float32)


def _scene(turns: list[tuple[float, float, str]], said: list[tuple[str, str]]) -> Scene:
    return Scene("x", np.tile(SECOND, 4), turns, said)


def _words(*told: tuple[float, str, str]) -> tuple[Word, ...]:
    return tuple(Word(at_s, at_s + 0.3, text, speaker, 0.9) for at_s, text, speaker in told)


def test_known_answers() -> None:
    scene = _scene([(0, 2, "a"), (2, 4, "b")], [("a", "good morning"), ("b", "good night")])
    turns = (Turn(0.0, 2.0, "speaker_1", 0.9), Turn(2.0, 3.0, "speaker_2", 0.9))
    words = _words(
        (2.5, "good", "speaker_2"), (0.5, "good", "speaker_1"), (1.0, "morning", "speaker_1"),
        (3.0, "knight", "speaker_2"),
    )  # fmt: skip

    figures = quality.measure([scene], [Result(turns, words, 4.0)])

    assert figures == {
        "der": 25.0, "missed": 25.0, "false": 0.0, "confusion": 0.0, "jer": 25.0,
        "count_right": 100.0, "wer": 25.0, "cpwer": 25.0,
    }  # fmt: skip


def test_words_of_somebody_else_count_once_and_for_speakers_twice() -> None:
    scene = _scene([(0, 2, "a"), (2, 4, "b")], [("a", "good morning"), ("b", "hello")])
    words = _words((0.5, "good", "s1"), (1.0, "morning", "s1"), (2.5, "hello", "s1"))

    figures = quality.measure([scene], [Result((Turn(0.0, 4.0, "s1", 0.9),), words, 4.0)])

    assert figures["wer"] == 0.0
    assert figures["cpwer"] == pytest.approx(66.67)


def test_without_a_transcript_there_are_turns_only() -> None:
    scene = _scene([(0, 3, "a")], [])

    figures = quality.measure([scene], [quality.one_speaker(scene)])

    assert (figures["der"], figures["false"]) == (33.33, 33.33)
    assert "wer" not in figures


def test_true_turns_are_of_as_many_voices_as_sound_alike(default_bundle: Path) -> None:
    rng = np.random.default_rng(0)
    pcm = rng.normal(0, 0.1, 4 * 16_000).astype(np.float32)
    scene = Scene("x", pcm, [(0.0, 2.0, "a"), (2.0, 4.0, "a"), (3.9, 4.0, "b")], [])

    with load(default_bundle) as session:
        result = quality.true_turns(session, scene)

    assert [(turn.start_s, turn.end_s) for turn in result.turns] == [(0.0, 2.0), (2.0, 4.0)]
    assert len({turn.speaker for turn in result.turns}) == 1  # one noise is one voice


def test_the_command(
    tmp_path: Path,
    default_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_split(tmp_path / "dev", [f"s{i}" for i in range(3)], 0)
    monkeypatch.setattr(quality_command, "conversations", lambda _corpus, n: [_loud()] * n)
    monkeypatch.setattr(quality_command, "excerpts", lambda _data: [_loud()])
    monkeypatch.setattr(quality_command, "simulated", lambda _corpus, n, _seconds: [_mixture()] * n)
    out = tmp_path / "out/quality"
    command = ["--data", str(tmp_path), "--cache", str(tmp_path / "cache"), "--out", str(out)]
    command += ["--bundle", str(default_bundle), "--latency-s", "1", "inf", "--dialogues", "1"]
    command += ["--mixtures", "1"]

    assert quality_command.main(command) == 0

    table = capsys.readouterr().out
    rows = [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]
    assert [(row["set"], row["way"], row["latency_s"]) for row in rows] == [
        ("voices, mixtures", "onnx_static_w8a8", ""),
        ("dialogues", "onnx_static_w8a8", "1"), ("dialogues", "onnx_static_w8a8", "inf"),
        ("real", "onnx_static_w8a8", "1"), ("real", "onnx_static_w8a8", "inf"),
        ("dialogues", "one speaker", ""), ("dialogues", "true turns, AHC", ""),
        ("real", "one speaker", ""), ("real", "true turns, AHC", ""),
    ]  # fmt: skip
    assert all(row["der"] >= 0 for row in rows[1:])
    assert 0 <= rows[0]["eer"] <= 100
    assert 0 <= rows[0]["pit"] <= 100
    assert np.isfinite([rows[0]["si_sdri_db"], rows[0]["si_sdri_live_db"]]).all()
    assert table.strip() in out.with_suffix(".md").read_text()
    assert (out / "onnx_static_w8a8_inf.rttm").exists()


def test_each_bundle_stands_beside_float_of_its_own_engine() -> None:
    def row(kind: str, way: str, latency_s: str, **figures: float) -> quality.Row:
        return {"set": kind, "way": way, "latency_s": latency_s} | figures

    def worth(way: str, *figures: float) -> quality.Row:
        return row(
            "voices, mixtures", way, "", **dict(zip(quality.PER_BUNDLE, figures, strict=True))
        )

    found = [
        worth("onnx_float32", 5.0, 90.0, 8.0, 4.0),
        worth("tflite_float32", 4.0, 91.0, 7.0, 3.5),
        worth("tflite_dynamic_w8", 4.5, 90.0, 7.25, 3.75),
        worth("executorch_dynamic_w8", 4.5, 90.5, 8.0, 4.0),
        *[row("dialogues", "onnx_float32", at, der=0.0, wer=0.0, cpwer=0.0) for at in ("1", "2")],
        row("dialogues", "tflite_float32", "1", der=20.0, wer=70.0, cpwer=75.0),
        row("dialogues", "tflite_float32", "2", der=18.0, wer=70.0, cpwer=74.0),
        row("dialogues", "tflite_dynamic_w8", "1", der=19.0, wer=70.5, cpwer=75.0),
        row("dialogues", "tflite_dynamic_w8", "2", der=18.5, wer=70.5, cpwer=75.0),
        row("real", "tflite_dynamic_w8", "2", der=99.0),
    ]

    cells = quality.beside_float(found)

    assert cells == [
        ["onnx_float32", "5.00", "90.00", "8.00", "4.00", "", "", ""],
        ["tflite_float32", "4.00", "91.00", "7.00", "3.50", "", "", ""],
        ["tflite_dynamic_w8", "4.50 (+0.50)", "90.00 (-1.00)", "7.25 (+0.25)", "3.75 (+0.25)",
         "-1.0 to +0.5", "+0.5 to +0.5", "+0.0 to +1.0"],
        ["executorch_dynamic_w8", "4.50 (-0.50)", "90.50 (+0.50)", "8.00 (+0.00)", "4.00 (+0.00)",
         "", "", ""],
    ]  # fmt: skip


def _mixture() -> Mixture:
    """Two voices of 4.8 s, ten chunks, of which one speaks at a time."""
    sources = np.random.default_rng(0).normal(0, 0.1, (3, 10 * 7680)).astype(np.float32)
    active = np.zeros((3, 120), bool)
    active[0, :60] = active[1, 60:] = True
    sources *= active.repeat(640, axis=1)
    return Mixture(sources.sum(0), sources, active, ("a", "b"), (0, 0))


def _loud() -> Scene:
    pcm = np.random.default_rng(0).normal(0, 0.1, 4 * 16_000).astype(np.float32)
    return Scene("x", pcm, [(0.5, 3.5, "a")], [("a", "hello")])
