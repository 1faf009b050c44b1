"""Texts of development and of the demo never enter training."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from training.corpora.data import held_out_texts, load_splits
from training.corpora.held_out import HeldOut, demo_texts, grams
from training.synthetic import sentences

HEADER = "utt\tfile\tstart_s\tdur_s\tspeaker\tlang\ttext\tsource"


def write_split(root: Path, speaker: str, texts: list[str]) -> None:
    root.mkdir(parents=True)
    soundfile.write(root / "a.flac", np.zeros(16_000 * len(texts)), 16_000)
    rows = [f"{speaker}_{i}\ta.flac\t{i}\t1\t{speaker}\ten\t{t}\ts" for i, t in enumerate(texts)]
    (root / "index.tsv").write_text("\n".join([HEADER, *rows]) + "\n")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    demo = "I would put it in the middle of the table."
    assert demo in demo_texts()
    write_split(
        tmp_path / "dev", "d", ["The quick brown fox jumps, always.", "Good morning to you"]
    )
    write_split(
        tmp_path / "train",
        "t",
        [
            "A QUICK BROWN FOX JUMPS ALWAYS HIGH",  # five in a row: quick to always
            "the quick brown fox sleeps",
            "good morning to you",
            f"Well, {demo}",
            "nothing of the kind",
        ],
    )
    timing = tmp_path / "timing"
    timing.mkdir()
    turns = "text\nQuick brown fox jumps always. It has been three days.\n"
    (timing / "primock57_turns.tsv").write_text(turns)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "count"), [("", 0), ("a b c d", 0), ("a b c d e", 1), ("a b c d e f", 2)]
)
def test_a_text_has_runs_of_five_words(text: str, count: int) -> None:
    assert len(grams(text)) == count


@pytest.mark.parametrize(
    ("text", "held"),
    [("one two three four five", True), ("zero one two three four five six", True),
     ("one two three four six", False), ("one two three four", False), ("", False)],
)  # fmt: skip
def test_five_words_in_a_row_are_recognised(text: str, held: bool) -> None:
    assert HeldOut(["one two three four five"]).has(text) is held


def test_training_keeps_the_voice_and_loses_the_text(data: Path, tmp_path: Path) -> None:
    train, dev = load_splits(data, tmp_path / "cache")

    assert [u.text for u in train.utterances] == [
        "",
        "the quick brown fox sleeps",
        "good morning to you",
        "",
        "nothing of the kind",
    ]
    assert [u.n_samples for u in train.utterances] == [16_000] * 5
    assert [bool(u.text) for u in dev.utterances] == [True, True]
    held_out = held_out_texts(data)
    assert not any(held_out.has(u.text) for u in train.utterances)


def test_synthetic_speech_reads_nothing_held_out(data: Path) -> None:
    assert sentences(data) == [
        "good morning to you",
        "it has been three days",
        "nothing of the kind",
        "the quick brown fox sleeps",
    ]
