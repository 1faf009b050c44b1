import contextlib
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from echo_edge.bundle.language_model import BLANK, START, LanguageModel, load_language_model
from echo_edge.errors import BundleError

Arrays = dict[str, NDArray[Any]]
ENGLISH = Path(__file__).parents[3] / "models" / "english.npz"


PHONES = ("<blank>", "<space>", *"abcdefghijklmnopqrstuvwxyz'")
"""Every letter is a sound."""


def arrays(words: list[str], sounds: list[str] | None = None) -> Arrays:
    """Every word as likely as any other and said as it is written, or as `sounds` say; the second
    follows the first nearly always."""
    size = len(words)
    even = np.full(size, -np.log(size), np.float16)
    return {
        "phones": np.array([phone.encode() for phone in PHONES]),
        "sounds": np.array([bytes(map(PHONES.index, said)) for said in sounds or words]),
        "words": np.array([word.encode() for word in words]),
        "unigram": even,
        "backoff": np.full(size + 1, -2.0, np.float16),
        "rows": np.array([0, *[1] * (size + 1)], np.uint32),
        "columns": np.array([1], np.uint16),
        "bigram": np.array([-0.125], np.float16),
    }


@given(
    st.sets(st.text("abc'", min_size=1, max_size=5), min_size=1, max_size=30),
    st.text("abc'", max_size=6),
)
def test_narrow_finds_the_words_that_begin_so(words: set[str], beginning: str) -> None:
    found = sorted([*words, "bbbbbb"], key=lambda word: [*map(PHONES.index, word)])
    model = LanguageModel(**arrays(found))
    low, high = 0, model.size
    for depth, sound in enumerate(beginning):
        low, high = model.narrow(low, high, depth, PHONES.index(sound))
    exact = model.narrow(low, high, len(beginning), BLANK)

    assert found[low:high] == [word for word in found if word.startswith(beginning)]
    assert found[slice(*exact)] == [word for word in found if word == beginning]


def test_a_known_bigram_is_looked_up_and_another_backs_off() -> None:
    model = LanguageModel(**arrays(["good", "morning", "night"]))

    assert model.score(0, 1) == -0.125
    assert model.score(0, 2) == pytest.approx(-2.0 - np.log(3), abs=1e-3)
    assert model.score(START, 1) == pytest.approx(-2.0 - np.log(3), abs=1e-3)


def test_words_that_sound_alike_are_found_together() -> None:
    model = LanguageModel(**arrays(["meat", "meet", "met"], ["mit", "mit", "mot"]))
    low, high = 0, model.size
    for depth, sound in enumerate("mit"):
        low, high = model.narrow(low, high, depth, PHONES.index(sound))

    assert [model.spelling(word) for word in range(low, high)] == ["meat", "meet"]
    assert model.narrow(low, high, 3, BLANK) == (0, 2)


def test_a_beginning_hopes_for_the_likeliest_word() -> None:
    table = arrays(["good", "morning", "mouse"])
    table["unigram"][1] = -0.5
    model = LanguageModel(**table)

    m, u, x = map(PHONES.index, "mux")
    assert model.begin(0, 3, 0, m) == (1, 3, -0.5)
    assert model.begin(1, 3, 2, u) == (2, 3, pytest.approx(-np.log(3), abs=1e-3))
    assert model.begin(0, 3, 0, x)[2] == -np.inf


def test_the_shipped_model_knows_english() -> None:
    model = load_language_model(ENGLISH)

    def index(word: str) -> int:
        return next(i for i in range(model.size) if model.spelling(i) == word)

    assert model.score(index("of"), index("the")) > model.score(index("the"), index("of"))


WRONG: list[tuple[str, dict[str, NDArray[Any]]]] = [
    ("unigram to be one row", {"unigram": np.zeros((3, 1), np.float32)}),
    ("bigram to be one row of kind f", {"bigram": np.zeros(1, np.int64)}),
    ("unigram to be finite", {"unigram": np.array([0.0, np.nan, 0.0], np.float32)}),
    ("one unigram for each", {"unigram": np.zeros(2, np.float32)}),
    ("one row per word", {"rows": np.array([0, 1], np.uint32)}),
    ("one row per word", {"backoff": np.zeros(3, np.float32)}),
    ("words in ascending order", {"sounds": np.array([b"\3", b"\2", b"\4"])}),
    ("words in ascending order", {"sounds": np.array([b"\2", b"\3"])}),
    (
        "words in ascending order",
        {"sounds": np.array([b"\2"] * 3), "words": np.array([b"b", b"a", b"c"])},
    ),
    ("words in UTF-8", {"words": np.array([b"a", b"\xff", b"c"])}),
    ("words in UTF-8", {"words": np.array([b"a", b"b c", b"d"])}),
    ("known phones", {"sounds": np.array([b"", b"\2", b"\3"])}),
    ("known phones", {"sounds": np.array([b"\1", b"\2", b"\3"])}),
    ("known phones", {"sounds": np.array([b"\2", b"\3", b"\x90"])}),
    ("<blank> and <space>", {"phones": np.array([b"a", b"b", b"c"])}),
    ("rows that ascend", {"rows": np.array([0, 9, 1, 1, 1], np.uint32)}),
    ("rows that ascend", {"rows": np.array([0, 0, 0, 0, 2], np.uint32)}),
    ("columns that are words", {"columns": np.array([3], np.uint16)}),
    ("columns that are words", {"columns": np.array([0, 1], np.uint16)}),
]


@pytest.mark.parametrize(("expected", "change"), WRONG)
def test_a_file_that_would_mislead_the_search_is_refused(
    expected: str, change: Arrays, tmp_path: Path
) -> None:
    path = tmp_path / "language.npz"
    np.savez(path, allow_pickle=False, **(arrays(["a", "b", "c"]) | change))

    with pytest.raises(BundleError, match=f"language.npz: not a language model: .*{expected}"):
        load_language_model(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no zip at all", b"\x93NUMPY\x01\x00"])
def test_a_file_that_is_no_model_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "language.npz"
    path.write_bytes(content)

    with pytest.raises(BundleError, match=r"language\.npz: not a language model"):
        load_language_model(path)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_damage_is_found_or_harmless(changes: list[tuple[int, int]]) -> None:
    stored = io.BytesIO()
    np.savez_compressed(stored, allow_pickle=False, **arrays(["a", "b", "c"]))
    damaged = bytearray(stored.getvalue())
    for at, value in changes:
        damaged[at % len(damaged)] = value
    with tempfile.NamedTemporaryFile(suffix=".npz") as file:
        file.write(damaged)
        file.flush()
        with contextlib.suppress(BundleError):
            model = load_language_model(Path(file.name))
            assert np.isfinite(model.score(START, 0))


def test_objects_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "language.npz"
    table = arrays(["a", "b", "c"]) | {"words": np.array([b"a", None, {}], dtype=object)}
    np.savez(path, allow_pickle=True, **table)

    with pytest.raises(BundleError, match="not a language model"):
        load_language_model(path)
