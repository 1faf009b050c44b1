"""Words of each separated voice, of the pretend model (conftest.py), and who held a slot when."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from echo_edge.attribution.words import Holders, SourceWords
from echo_edge.heads.clustering import NOBODY
from echo_edge.result import Result
from echo_edge.session import Session

Array = NDArray[np.float32]
Said = tuple[float, tuple[int, ...], int]
Speak = Callable[[list[Said]], Array]

A, B, C, SPACE = 2, 3, 4, 1
ACQUAINTED: list[Said] = [
    (1.2, (0,), 0), (1.2, (), 0), (1.2, (1,), 0), (1.2, (), 0), (1.2, (2,), 0), (1.2, (), 0),
]  # fmt: skip
"""Nobody says a word, but afterwards everybody has a slot."""
BOTH: list[Said] = [(0.8, (0,), A), (0.2, (0,), SPACE), (1.2, (0, 1), B), (0.6, (1,), 0)]
MIXED: list[Said] = [*ACQUAINTED, *BOTH, (1.2, (), 0), (1.0, (2,), C), (1.0, (), 0)]


def _said(result: Result) -> list[tuple[str, str | None]]:
    return sorted((word.text, word.speaker) for word in result.words)


def _pieces(pcm: Array, size: int) -> list[Array]:
    return np.split(pcm, range(size, len(pcm), size))


@pytest.fixture
def calls(fake_session: Session, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often each graph ran."""
    counts = dict.fromkeys(fake_session.engines, 0)

    def count(name: str, run: Callable[..., dict[str, Array]]) -> Callable[..., dict[str, Array]]:
        def counted(inputs: dict[str, Array]) -> dict[str, Array]:
            counts[name] += 1
            return run(inputs)

        return counted

    for name, engine in fake_session.engines.items():
        monkeypatch.setattr(engine, "run", count(name, engine.run))
    return counts


@pytest.mark.parametrize("latency_s", [0.0, 0.4, 2.0, math.inf])
def test_what_two_say_at_once_is_what_each_says(
    fake_session: Session, spoken: Speak, latency_s: float
) -> None:
    pcm = spoken(MIXED)

    mixture = fake_session.process(pcm, latency_s)
    sources = fake_session.process(pcm, latency_s, transcribe_sources=True)

    assert _said(mixture) in (
        [("a", "speaker_1"), ("b", speaker), ("c", "speaker_3")]
        for speaker in ("speaker_1", "speaker_2")
    )
    assert _said(sources) == [
        ("a", "speaker_1"),
        ("b", "speaker_1"),
        ("b", "speaker_2"),
        ("c", "speaker_3"),
    ]
    assert (sources.turns, sources.exclusive_turns) == (mixture.turns, mixture.exclusive_turns)
    assert (sources.speakers, sources.speaker_count) == (mixture.speakers, mixture.speaker_count)
    words = {(word.text, word.speaker): word for word in mixture.words}
    for word in sources.words:
        if (word.text, word.speaker) in words:
            heard = words[word.text, word.speaker]
            assert word.start_s == pytest.approx(heard.start_s, abs=0.04)
            assert word.end_s == pytest.approx(heard.end_s, abs=0.04)


def test_where_it_is_not_asked_for_nothing_more_is_done(
    fake_session: Session, spoken: Speak, calls: dict[str, int]
) -> None:
    fake_session.process(spoken(MIXED), 0.4)

    assert calls["separation"] == 0
    assert calls["frontend"] == calls["encoder"] == calls["asr"]


@pytest.mark.parametrize(
    ("said", "n_voices"),
    [
        pytest.param([(8.0, (), 0)], 0, id="silence"),
        pytest.param([(4.0, (0,), A), (4.0, (), 0)], 0.5, id="one, half of the time"),
        pytest.param([(2.0, (0,), A), (2.0, (1,), A), (4.0, (0, 1), A)], 1.5, id="two at once"),
    ],
)
def test_silence_is_not_transcribed(
    fake_session: Session, spoken: Speak, calls: dict[str, int], said: list[Said], n_voices: float
) -> None:
    """100 chunks of two steps; the one after each voice is heard as well."""
    fake_session.process(spoken(said), 0.4, transcribe_sources=True)

    assert calls["frontend"] == calls["encoder"] == 100 + calls["asr"]
    assert 100 * n_voices <= calls["asr"] <= 100 * n_voices + 30


@pytest.mark.parametrize("latency_s", [0.4, 2.0])
def test_words_are_final_once_and_in_time(
    fake_session: Session, spoken: Speak, latency_s: float
) -> None:
    pcm = spoken(MIXED * 3)
    stream = fake_session.stream(latency_s, transcribe_sources=True)

    results = [stream.push(piece) for piece in _pieces(pcm, 1280)]
    results.append(stream.finish())

    whole = Result.joined(results)
    assert whole == fake_session.process(pcm, latency_s, transcribe_sources=True)
    assert len(whole.words) == 12
    # Decided a hop of 0.2 s, a word's reach of 0.5 s and a piece's end after the latency.
    for result in results:
        assert all(word.end_s >= result.duration_s - latency_s - 1.8 for word in result.words)


def test_words_show_before_they_are_final(fake_session: Session, spoken: Speak) -> None:
    pcm = spoken(MIXED)
    stream = fake_session.stream(2.0, transcribe_sources=True)
    shown: dict[tuple[str, str | None], float] = {}
    final: dict[tuple[str, str | None], float] = {}
    for piece in _pieces(pcm, 1280):
        result = stream.push(piece)
        for word in result.tentative.words:
            shown.setdefault((word.text, word.speaker), result.duration_s)
        for word in result.words:
            final.setdefault((word.text, word.speaker), result.duration_s)
    stream.finish()

    assert final
    for said, final_s in final.items():
        assert shown[said] <= final_s - 1.0


@pytest.mark.parametrize("latency_s", [0.4, math.inf])
@pytest.mark.parametrize("silence_s", [0.4, 4.0, 40.0])
def test_silence_shifts_the_words_that_follow(
    fake_session: Session, spoken: Speak, latency_s: float, silence_s: float
) -> None:
    """Whole hops and whole chunks of it: slots are told who they hold chunk by chunk."""
    plain, longer = (
        fake_session.process(
            spoken([*ACQUAINTED, *silence, *BOTH, (1.2, (), 0)]), latency_s, transcribe_sources=True
        )
        for silence in ([], [(silence_s, (), 0)])
    )

    assert len(plain.words) == 3
    for before, after in zip(plain.words, longer.words, strict=True):
        assert (after.text, after.speaker) == (before.text, before.speaker)
        assert after.start_s - before.start_s == pytest.approx(silence_s)
        assert after.end_s - before.end_s == pytest.approx(silence_s)
        assert after.confidence == pytest.approx(before.confidence)


@pytest.mark.parametrize("latency_s", [0.4, math.inf])
def test_memory_does_not_grow(fake_session: Session, spoken: Speak, latency_s: float) -> None:
    """But for the words, where they have to wait for the end."""
    stream = fake_session.stream(latency_s, transcribe_sources=True)
    for _ in range(30):
        stream.push(spoken(MIXED))

    assert isinstance(stream._words, SourceWords)
    for slot in stream._words._slots:
        assert len(slot.holders._since) == 1
        assert len(slot.voices._waiting) < 4
        assert bool(slot.voices._aside) == math.isinf(latency_s)


class TestHolders:
    @staticmethod
    def _at(holders: Holders, *steps: int) -> list[int]:
        return holders.at(np.array(steps, np.intp)).tolist()

    def test_nobody(self) -> None:
        holders = Holders()
        holders.add(0, NOBODY)

        assert self._at(holders, 0, 5) == [NOBODY, NOBODY]
        assert self._at(holders) == []

    @pytest.fixture
    def holders(self) -> Holders:
        holders = Holders()
        for step, voice in enumerate([NOBODY, NOBODY, 2, 2, 5, NOBODY, NOBODY, 2]):
            holders.add(10 * step, voice)
        return holders

    def test_the_first_was_there_before_it_was_known_and_the_last_stays(
        self, holders: Holders
    ) -> None:
        assert self._at(holders, 0, 19, 20, 39, 40, 69, 70, 900) == [2, 2, 2, 2, 5, 5, 2, 2]

    def test_joined_voices(self, holders: Holders) -> None:
        holders.join([0, 1, 0, 2, 2, 1])

        assert self._at(holders, 0, 39, 40, 70) == [0, 0, 1, 0]

    @pytest.mark.parametrize("step", [0, 20, 39, 40, 45, 69, 70, 500])
    def test_what_is_forgotten_is_before(self, holders: Holders, step: int) -> None:
        steps = [step + offset for offset in (0, 1, 5, 30, 100)]
        before = self._at(holders, *steps)

        holders.forget(step)

        assert self._at(holders, *steps) == before

    def test_memory(self) -> None:
        holders = Holders()
        for step, (_, voice) in enumerate(pairwise([0, 1] * 500)):
            holders.add(step, voice)
            holders.forget(step - 10)

        assert len(holders._since) == len(holders._voices) <= 12
