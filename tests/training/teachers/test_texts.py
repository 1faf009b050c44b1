"""Sentences to be read aloud."""

import doctest
import re
from pathlib import Path

import numpy as np
import pytest

from training.corpora.data import normalize_text
from training.corpora.held_out import HeldOut
from training.teachers import texts
from training.teachers.texts import (
    book_sentences,
    number,
    readable,
    spoken_number,
    tidy,
    turn_sentences,
)


def test_numbers_are_words() -> None:
    assert doctest.testmod(texts).failed == 0
    assert [number(n) for n in (0, 13, 20, 99, 100, 101, 1000, 1020, 21_300, 999_999)] == [
        "zero", "thirteen", "twenty", "ninety-nine", "one hundred", "one hundred and one",
        "one thousand", "one thousand and twenty", "twenty-one thousand three hundred",
        "nine hundred and ninety-nine thousand nine hundred and ninety-nine",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"Well," said he , "come!"', "Well, said he, come!"),
        ("It's the boys' <UNSURE>day</UNSURE> off", "It's the boys day off"),
        ("one--two _three_", "one—two three"),
        ("‘quoted’ “so”", "‘quoted’ so"),
    ],
)
def test_lines_are_tidied(text: str, expected: str) -> None:
    assert tidy(text) == expected


def test_a_book_gives_whole_plain_sentences(tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_text(
        "CHAPTER THE FIRST\n\n"
        'He saw\nMr. Brown there. "Come in, come in!" said she. Two words. He paid 20 pounds.\n\n'
        "and so it went on, uncapitalised. It cost (he said) too much. The END of it came soon."
        "\n\nA last—and long; one, isn't it?\n"
    )

    assert list(book_sentences(book)) == [
        "He saw Mr. Brown there.",
        "Come in, come in! said she.",
        "The END of it came soon.",
        "A last—and long; one, isn't it?",
    ]


def test_turns_are_said_in_stretches(tmp_path: Path) -> None:
    path = tmp_path / "turns.tsv"
    long = "One two three four five six seven eight nine ten. "
    path.write_text(f'text\nUm, <UNSURE>hello</UNSURE> . How are you?\n{long * 3}"Yes"\n')

    assert list(turn_sentences(path)) == [
        "Um, hello. How are you?",
        (long * 2).strip(),
        f"{long}Yes",
    ]


def test_what_is_held_out_or_has_digits_is_not_read() -> None:
    held_out = HeldOut(["one two three four five"])
    said = ["Hello.", "One, two, three, four, five!", "In 1984.", "", "Hello.", "word " * 29, "..."]
    assert readable(said, held_out) == ["Hello."]


def test_numbers_and_letters_are_spoken_in_full() -> None:
    rng = np.random.default_rng(0)
    said = [spoken_number(rng) for _ in range(300)]

    assert len(set(said)) > 280
    for text in said:
        assert re.fullmatch(r"[A-Z][A-Za-z ,.;:'-]*\.", text)
        assert normalize_text(text)
    assert any(re.search(r"\b[A-Z], [A-Z], [A-Z]", text) for text in said)
