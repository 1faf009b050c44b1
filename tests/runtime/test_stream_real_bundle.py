"""Streams of the bundle that ships: its own kernels keep the promises that test_session.py tests
with a pretend model."""

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import echo_edge
from echo_edge import Result, Session, Stream, Turn

Array = NDArray[np.float32]

CONVERSATION = Path(__file__).parents[2] / "demo" / "conversation.flac"


@pytest.fixture(scope="module")
def real(default_bundle: Path) -> Session:
    return echo_edge.load(default_bundle)


@pytest.fixture(scope="module")
def pcm() -> Array:
    """21.3 s, which no chunk divides; windows of 10 s slide over most of it."""
    samples, _ = soundfile.read(CONVERSATION, 21 * 16000 + 4801, dtype="float32")
    return np.asarray(samples)


class Listener:
    """One stream and everything that comes out of it."""

    def __init__(self, session: Session, latency_s: float) -> None:
        self._pieces = [np.zeros((3, 0), np.float32)]
        self._parts: list[Result] = []
        self._stream: Stream = session.stream(latency_s, on_sources=self._pieces.append)

    def push(self, pcm: Array) -> None:
        self._parts.append(self._stream.push(pcm))

    def finish(self) -> tuple[Result, Array]:
        whole = Result.joined([*self._parts, self._stream.finish()])
        return whole, np.concatenate(self._pieces, axis=1)


def _listen(session: Session, latency_s: float, pieces: Iterable[Array]) -> tuple[Result, Array]:
    listener = Listener(session, latency_s)
    for piece in pieces:
        listener.push(piece)
    return listener.finish()


def _cut(pcm: Array, size: int) -> list[Array]:
    return np.split(pcm, range(size, len(pcm), size))


@pytest.mark.parametrize("latency_s", [math.inf, 2.0])
def test_any_cutting_gives_the_same(real: Session, pcm: Array, latency_s: float) -> None:
    whole = real.process(pcm, latency_s)
    assert whole.turns
    heard = [_listen(real, latency_s, _cut(pcm, size)) for size in (160, 16_001, len(pcm))]

    for result, sources in heard:
        assert result == whole
        np.testing.assert_array_equal(sources, heard[0][1])
        assert sources.shape == (3, len(pcm))
    assert np.abs(heard[0][1]).max() > 0.01


@settings(max_examples=4, derandomize=True)
@given(
    cuts=st.lists(st.integers(0, 21 * 16000 + 4801), max_size=20),
    latency_s=st.sampled_from([math.inf, 2.0]),
)
def test_cutting_anywhere_gives_the_same(
    real: Session, pcm: Array, cuts: list[int], latency_s: float
) -> None:
    stream = real.stream(latency_s)
    parts = [stream.push(piece) for piece in np.split(pcm, sorted(cuts))]

    assert Result.joined([*parts, stream.finish()]) == real.process(pcm, latency_s)


def test_streams_share_nothing(real: Session, pcm: Array) -> None:
    pieces = [_cut(pcm, 5000), _cut(np.ascontiguousarray(pcm[::-1]), 30_000)]
    listeners = [Listener(real, 1.0) for _ in pieces]
    for turn in range(max(map(len, pieces))):
        for listener, mine in zip(listeners, pieces, strict=True):
            if turn < len(mine):
                listener.push(mine[turn])

    for listener, mine in zip(listeners, pieces, strict=True):
        result, sources = listener.finish()
        alone, alone_sources = _listen(real, 1.0, [np.concatenate(mine)])
        assert result == alone
        np.testing.assert_array_equal(sources, alone_sources)


@pytest.mark.parametrize("latency_s", [math.inf, 2.0])
@pytest.mark.parametrize("n_samples", [0, 1, 7681, 40_000])
def test_silence(real: Session, latency_s: float, n_samples: int) -> None:
    silence = np.zeros(n_samples, np.float32)
    result, sources = _listen(real, latency_s, [silence])

    assert (result.turns, result.words, result.speakers) == ((), (), ())
    assert (result.speaker_count.value, result.duration_s) == (0, n_samples / 16000)
    assert sources.shape == (3, n_samples)


@pytest.mark.parametrize("latency_s", [math.inf, 0.5])
def test_one_speaker_at_most(real: Session, pcm: Array, latency_s: float) -> None:
    result = real.process(pcm, latency_s, max_speakers=1)

    assert [speaker.id for speaker in result.speakers] == ["speaker_1"]
    assert {turn.speaker for turn in result.turns} == {"speaker_1"}


@pytest.mark.parametrize("kind", ["clipped", "noise", "loud", "tiny"])
def test_hostile_audio_gives_finite_results(real: Session, pcm: Array, kind: str) -> None:
    audio = {
        "clipped": np.sign(pcm),
        "noise": np.random.default_rng(0).uniform(-1, 1, len(pcm)).astype(np.float32),
        "loud": pcm * np.float32(1e6),
        "tiny": pcm * np.float32(1e-30),
    }[kind]

    result, sources = _listen(real, 2.0, [audio[:40_000]])

    assert np.isfinite(sources).all()
    assert result.duration_s == 2.5
    for item in (*result.turns, *result.words):
        assert 0.0 <= item.start_s <= item.end_s <= 2.5
        assert 0.0 <= item.confidence <= 1.0 + 1e-6


def test_the_language_model_can_be_left_out(real: Session, pcm: Array) -> None:
    searched, plain = real.process(pcm), real.process(pcm, language_model=False)
    without = replace(real, bundle=replace(real.bundle, language=None)).process(pcm)

    assert plain == without
    assert searched.turns == plain.turns
    assert [w.text for w in searched.words] != [w.text for w in plain.words]
    for words in (searched.words, plain.words):
        assert [w.start_s for w in words] == sorted(w.start_s for w in words)
        assert all(0.0 <= w.start_s < w.end_s <= len(pcm) / 16_000 for w in words)
        assert all(0.0 < w.confidence <= 1.0 for w in words)


def test_words_and_turns_show_before_they_are_final(real: Session, pcm: Array) -> None:
    """Most words within a second of their end, every turn a second before it is settled."""
    stream, heard_s = real.stream(2.0), 0.0
    words_s: dict[tuple[float, str], float] = {}
    turns: list[tuple[float, Turn]] = []
    settled: list[tuple[float, Turn]] = []
    final: list[Result] = []
    for piece in _cut(pcm, 8000):
        result = stream.push(piece)
        heard_s += len(piece) / 16000
        final.append(result)
        coming = result.tentative
        for word in coming.words:
            words_s.setdefault((word.start_s, word.text), heard_s)
        turns += [(heard_s, turn) for turn in coming.turns]
        settled += [(heard_s, turn) for turn in result.turns]
        said = {(word.start_s, word.text) for word in result.words}
        assert not said & {(word.start_s, word.text) for word in coming.words}
        assert all(part.end_s <= heard_s for part in (*coming.words, *coming.turns))
    final.append(stream.finish())

    assert final[-1].tentative == echo_edge.Tentative()
    whole = Result.joined(final)
    late_s = [words_s.get((w.start_s, w.text), math.inf) - w.end_s for w in whole.words]
    assert np.mean(np.array(late_s) <= 1.0) > 0.5  # the others looked like other words at first
    for final_s, turn in settled:
        same = [
            at_s
            for at_s, seen in turns
            if (seen.speaker, seen.start_s) == (turn.speaker, turn.start_s)
        ]
        assert min(same) <= final_s - 1.0
    assert settled


def test_until_the_end_there_are_words_only(real: Session, pcm: Array) -> None:
    tentative = real.stream(math.inf).push(pcm).tentative

    assert tentative.turns == ()
    assert len(tentative.words) > 5
    assert {word.speaker for word in tentative.words} == {None}
