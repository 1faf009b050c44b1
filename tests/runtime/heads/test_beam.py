import gc
import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from echo_edge.bundle.decoding import DecodingSpec
from echo_edge.bundle.language_model import START, LanguageModel
from echo_edge.heads.beam import BeamSearch
from echo_edge.heads.ctc import BestPath, DecodedWord, Search
from echo_edge.heads.prefix_tree import PrefixNode
from tests.conftest import DECODING
from tests.runtime.bundle.test_language import arrays

TOKENS = ("<blank>", " ", "a", "b")
WORDS = ["a", "ab", "ba", "bab"]
"""Said as they are written."""

Array = NDArray[np.float32]


def posteriors(n_frames: int, seed: int, sharpness: float = 2.0) -> Array:
    logits = np.random.default_rng(seed).normal(0, sharpness, (n_frames, len(TOKENS)))
    return np.asarray(logits - np.log(np.exp(logits).sum(1, keepdims=True)), dtype=np.float32)


def spoken(text: str, frames_each: int = 3) -> Array:
    """Clear posteriors of `text`: every character for two frames, then a blank."""
    rows = []
    for character in text:
        row = np.full(len(TOKENS), math.log(0.01))
        row[TOKENS.index(character)] = math.log(0.97)
        blank = np.full(len(TOKENS), math.log(0.01))
        blank[0] = math.log(0.97)
        rows += [row] * (frames_each - 1) + [blank]
    return np.array(rows, dtype=np.float32)


def silence(n_frames: int) -> Array:
    row = [math.log(0.97)] + [math.log(0.01)] * (len(TOKENS) - 1)
    return np.array([row] * n_frames, dtype=np.float32)


def constants(silence: float = 10_000.0, lag: float = 10_000.0, **changes: Any) -> DecodingSpec:
    """Those of the tests; `silence` and `lag` in frames."""
    tuned = {"language_weight": 1.1, "word_bonus": -2.0} | changes
    return replace(DECODING, word_silence_s=silence, word_lag_s=lag, **tuned)


def search(decoding: DecodingSpec) -> BeamSearch:
    return BeamSearch(LanguageModel(**arrays(WORDS)), decoding, frame_s=1.0)


def words(found: Search, logprobs: Array) -> list[DecodedWord]:
    return [w for frame in logprobs for w in found.push(frame)] + list(found.finish())


def text(found: Search, logprobs: Array) -> str:
    return " ".join(word.text for word in words(found, logprobs))


def by_all_paths(logprobs: Array, decoding: DecodingSpec) -> dict[str, float]:
    """Score of every spelling, from every path there is: what the search must find."""
    language, scores = LanguageModel(**arrays(WORDS)), {}
    sounds: dict[str, float] = {}
    for path in itertools.product(range(len(TOKENS)), repeat=len(logprobs)):
        collapsed = [token for token, _ in itertools.groupby(path) if token]
        spelling = "".join(TOKENS[token] for token in collapsed)
        total = float(sum(logprobs[t, token] for t, token in enumerate(path)))
        sounds[spelling] = float(np.logaddexp(sounds.get(spelling, -np.inf), total))
    for spelling, total in sounds.items():
        *complete, last = spelling.split(" ")
        if any(word not in WORDS for word in complete):
            continue
        if not any(word.startswith(last) for word in WORDS):
            continue
        previous, score = START, 0.0
        for word in [*complete, last] if last in WORDS else complete:
            at = WORDS.index(word)
            score += decoding.language_weight * language.score(previous, at)
            previous = at
        if last and last not in WORDS:
            score += decoding.language_weight * decoding.unfinished_logprob
        scores[spelling] = total + score + decoding.word_bonus * spelling.count(" ")
    return scores


@pytest.mark.parametrize("seed", range(12))
def test_a_wide_beam_finds_what_all_paths_together_say(seed: int) -> None:
    decoding = constants(
        language_weight=0.7, word_bonus=0.4,
        beam_width=10_000, min_phone_logprob=-math.inf, beam_margin=math.inf,
    )  # fmt: skip
    logprobs = posteriors(6, seed)
    scores = by_all_paths(logprobs, decoding)

    assert text(search(decoding), logprobs) == max(scores, key=lambda s: scores[s]).strip()


@pytest.mark.parametrize("seed", range(5))
def test_clear_speech_is_written_as_it_sounds(seed: int) -> None:
    said = " ".join(np.random.default_rng(seed).choice(WORDS, 6))
    logprobs = np.concatenate([spoken(said), silence(5)])

    found = words(search(constants(language_weight=0.8, word_bonus=0.5)), logprobs)

    assert " ".join(w.text for w in found) == said
    plain = words(BestPath(TOKENS, 10_000), logprobs)
    assert [(w.first, w.end) for w in found] == [(w.first, w.end) for w in plain]
    assert all(0.9 < w.confidence <= 1.0 for w in found)


def test_a_likely_word_beats_a_likelier_sound() -> None:
    logprobs = spoken("bb", frames_each=2)
    logprobs[2] = np.log([0.01, 0.01, 0.44, 0.54])  # "bb" by ear, "ba" by the vocabulary

    assert text(BestPath(TOKENS, 10), logprobs) == "bb"
    assert text(search(constants()), logprobs) == "ba"


def test_words_become_final_before_the_end_and_stay() -> None:
    found, early = search(constants()), []
    for frame in spoken("ab ba ab"):
        early += list(found.push(frame))

    assert [w.text for w in early] == ["ab", "ba"]
    assert [w.text for w in [*early, *found.finish()]] == ["ab", "ba", "ab"]


def test_silence_ends_a_word_without_a_space() -> None:
    found = search(constants(silence=8))
    heard = np.concatenate([spoken("ab"), silence(8)])
    said = [w.text for frame in heard for w in found.push(frame)]

    assert said == ["ab"]


@pytest.mark.parametrize("lag", [20, 60])
def test_a_word_is_final_when_it_is_old(lag: int) -> None:
    found = search(constants(lag=lag, beam_margin=math.inf))
    for index, frame in enumerate(posteriors(400, 3, sharpness=0.3)):
        for word in found.push(frame):
            assert index - word.first <= lag + 2 * DECODING.commit_frames + 30


def alive() -> int:
    return sum(type(item) is PrefixNode for item in gc.get_objects())


def test_the_tree_does_not_grow_with_the_recording() -> None:
    gc.collect()
    before = alive()
    found = search(constants(silence=40, lag=100))
    gc.disable()  # what is dropped must not wait for the collector of cycles
    try:
        for frame in posteriors(3000, 4, sharpness=1.5):
            list(found.push(frame))
        assert alive() - before < 2000
        list(found.finish())
        assert alive() - before < 10
    finally:
        gc.enable()


def test_the_sentence_goes_on_after_silence() -> None:
    unclear = spoken("ba", frames_each=2)
    unclear[0] = np.log([0.01, 0.01, 0.47, 0.51])
    unclear[2] = np.log([0.01, 0.01, 0.51, 0.47])
    found = search(constants(silence=8))
    for frame in [*spoken("a"), *silence(8)]:
        list(found.push(frame))

    assert text(search(constants()), unclear) == "ba"
    assert text(found, unclear) == "ab"  # which follows "a"


@pytest.mark.parametrize("make", [lambda: search(constants()), lambda: BestPath(TOKENS, 10_000)])
def test_peeking_tells_the_end_and_changes_nothing(make: Callable[[], Search]) -> None:
    logprobs = posteriors(40, 3)
    peeked, said = make(), list[DecodedWord]()
    for n_frames, frame in enumerate(logprobs, start=1):
        said += peeked.push(frame)
        ended = make()
        for each in logprobs[:n_frames]:
            list(ended.push(each))

        assert peeked.peek() == peeked.peek() == list(ended.finish())

    assert said + list(peeked.finish()) == words(make(), logprobs)
