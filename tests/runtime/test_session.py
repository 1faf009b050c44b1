"""Streams of a pretend model (conftest.py), whose right answers are known."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from echo_edge.heads.clustering import OnlineClusters
from echo_edge.result import Result, Turn, Word
from echo_edge.session import Session

Array = NDArray[np.float32]
Said = tuple[float, tuple[int, ...], int]
Speak = Callable[[list[Said]], Array]

A, B, C, SPACE = 2, 3, 4, 1
CONVERSATION: list[Said] = [
    (1.0, (0,), A), (0.2, (0,), SPACE), (0.8, (0,), B), (1.2, (), 0),
    (1.0, (1,), C), (0.2, (1,), SPACE), (0.4, (0, 1), A), (1.0, (0,), A), (0.6, (), SPACE),
    (1.6, (2,), B), (0.2, (), SPACE), (1.2, (1,), A), (0.2, (1,), SPACE), (0.8, (1,), C),
]  # fmt: skip
CUT = 300
"""Samples left out at the end, so that the length is no multiple of a step or chunk."""

# The session is immutable: using it for many examples is the point.
shared_session = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40
)


@dataclass(frozen=True)
class Heard:
    """Everything a stream gave out."""

    results: list[Result]
    sources: Array

    @property
    def whole(self) -> Result:
        """As `process` joins it."""
        return Result.joined(self.results)


def _listen(session: Session, pcm: Array, cuts: list[int], latency_s: float) -> Heard:
    pieces: list[Array] = [np.zeros((3, 0), np.float32)]
    stream = session.stream(latency_s, on_sources=lambda piece: pieces.append(piece.copy()))
    bounds = [0, *sorted(cut % (len(pcm) + 1) for cut in cuts), len(pcm)]
    # Cuts may coincide: a push of no samples changes nothing.
    parts = [pcm[start:end] for start, end in pairwise(bounds)]
    results = [stream.push(part) for part in parts]
    return Heard([*results, stream.finish()], np.concatenate(pieces, axis=1))


def _spans(result: Result) -> list[tuple[str, float, float]]:
    return [(t.speaker, round(t.start_s, 2), round(t.end_s, 2)) for t in result.turns]


def _texts(result: Result) -> list[tuple[str, str | None]]:
    return [(word.text, word.speaker) for word in result.words]


def _later(item: Turn | Word, where_s: float, by_s: float) -> Turn | Word:
    """The same, so much later if it is said after that; rounded to the millisecond."""
    shift_s = by_s if item.start_s >= where_s else 0.0
    return replace(
        item,
        start_s=round(item.start_s + shift_s, 3),
        end_s=round(item.end_s + shift_s, 3),
        confidence=round(item.confidence, 4),
    )


def _check(result: Result, n_samples: int) -> None:
    """What holds for every whole result."""
    duration_s = n_samples / 16000
    assert result.duration_s == duration_s
    for item in (*result.turns, *result.words):
        assert 0 <= item.start_s <= item.end_s <= duration_s
        assert 0 < item.confidence <= 1 + 1e-6
    assert all(turn.start_s < turn.end_s for turn in result.turns)
    names = [speaker.id for speaker in result.speakers]
    assert names == [f"speaker_{n + 1}" for n in range(len(names))]
    assert result.speaker_count.value == len(names)
    assert {turn.speaker for turn in result.turns} <= set(names)
    assert {word.speaker for word in result.words} <= {*names, None}
    for speaker in result.speakers:
        own = sorted((t.start_s, t.end_s) for t in result.turns if t.speaker == speaker.id)
        assert speaker.speech_s == pytest.approx(sum(end - start for start, end in own))
        assert all(a[1] <= b[0] for a, b in pairwise(own))


def _deciding(session: Session, **decoding: Any) -> Session:
    """The session with other constants of the decoders."""
    manifest = session.bundle.manifest
    changed = replace(manifest, decoding=replace(manifest.decoding, **decoding))
    return replace(session, bundle=replace(session.bundle, manifest=changed))


def _change_voices(
    session: Session, monkeypatch: pytest.MonkeyPatch, change: Callable[[Array], Array]
) -> None:
    """Let everybody sound otherwise."""
    speaker = session.engines["speaker"]
    run = speaker.run

    def changed(inputs: Mapping[str, Array]) -> dict[str, Array]:
        embeddings = change(run(inputs)["embeddings"])
        length = np.linalg.norm(embeddings, axis=2, keepdims=True)
        return {"embeddings": (embeddings / (length + 1e-6)).astype(np.float32)}

    monkeypatch.setattr(speaker, "run", changed)


class TestPretendModel:
    @pytest.mark.parametrize("latency_s", [0.4, math.inf])
    def test_turns_and_words_are_what_was_said(
        self, fake_session: Session, spoken: Speak, latency_s: float
    ) -> None:
        pcm = spoken(CONVERSATION)[:-CUT]

        result = fake_session.process(pcm, latency_s)

        _check(result, len(pcm))
        # By end time while it streams, by start time at the end: only the overlap shows it.
        assert sorted(_spans(result), key=lambda span: span[1]) == [
            ("speaker_1", 0.0, 2.0),
            ("speaker_2", 3.2, pytest.approx(4.8, abs=0.25)),
            ("speaker_1", pytest.approx(4.4, abs=0.4), 5.8),
            ("speaker_3", 6.4, 8.0),
            ("speaker_2", 8.2, pytest.approx(10.4, abs=0.02)),
        ]
        assert _texts(result) == [
            ("a", "speaker_1"),
            ("b", "speaker_1"),
            ("c", "speaker_2"),
            ("a", "speaker_1"),
            ("b", "speaker_3"),
            ("a", "speaker_2"),
            ("c", "speaker_2"),
        ]

    @shared_session
    @given(
        said=st.lists(
            st.tuples(
                st.floats(0.04, 1.6),
                st.sampled_from([(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]),
                st.sampled_from([0, SPACE, A, B, C]),
            ),
            max_size=12,
        ),
        cut=st.integers(0, 639),
        cuts=st.lists(st.integers(0, 10**6), max_size=12),
        latency_s=st.sampled_from([0.0, 0.4, 2.0, math.inf]),
    )
    def test_any_chunking_gives_the_same_result(
        self,
        fake_session: Session,
        spoken: Speak,
        said: list[Said],
        cut: int,
        cuts: list[int],
        latency_s: float,
    ) -> None:
        pcm = spoken(said)
        pcm = pcm[: len(pcm) - cut] if len(pcm) else pcm

        pieces = _listen(fake_session, pcm, cuts, latency_s)

        assert pieces.whole == fake_session.process(pcm, latency_s)
        _check(pieces.whole, len(pcm))
        assert pieces.sources.shape == (3, len(pcm))
        np.testing.assert_array_equal(
            pieces.sources, _listen(fake_session, pcm, [], latency_s).sources
        )

    def test_nothing_is_separated_unless_asked_for(
        self, fake_session: Session, spoken: Speak, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = dict.fromkeys(fake_session.engines, 0)

        def count(name: str, run: Callable[..., dict[str, Array]]) -> Callable[..., object]:
            def counted(inputs: Mapping[str, Array]) -> dict[str, Array]:
                calls[name] += 1
                return run(inputs)

            return counted

        for name, engine in fake_session.engines.items():
            monkeypatch.setattr(engine, "run", count(name, engine.run))
        fake_session.process(spoken(CONVERSATION), 0.4)

        assert calls["separation"] == 0
        assert calls["frontend"] == calls["encoder"] == calls["asr"] > 0

    def test_a_word_within_a_long_turn_that_another_interrupts(
        self, fake_session: Session, spoken: Speak
    ) -> None:
        """The word is out before the first turn ends, and that of the other ends before it."""
        pauses: list[Said] = [(0.2, (1,), 0), (0.2, (0, 1), 0), (0.2, (1,), 0)]
        pcm = spoken([(1.0, (0,), A), (0.2, (0,), SPACE), *pauses, (2.0, (0,), 0)])

        whole = fake_session.process(pcm, 0.4)

        assert [turn.speaker for turn in whole.turns] == ["speaker_2", "speaker_1"]
        assert _texts(whole) == [("a", "speaker_1")]
        assert _listen(fake_session, pcm, list(range(0, len(pcm), 640)), 0.4).whole == whole

    @pytest.mark.parametrize("size", [1, 7, 640, 1279, 1280, 1281, 20000])
    def test_every_block_size(self, fake_session: Session, spoken: Speak, size: int) -> None:
        pcm = spoken(CONVERSATION[:5])[:-CUT]
        if size == 1:
            pcm = pcm[: 16000 // 4 + 1]

        pieces = _listen(fake_session, pcm, list(range(size, len(pcm), size)), 0.4)

        assert pieces.whole == fake_session.process(pcm, 0.4)

    def test_final_turns_never_change(self, fake_session: Session, spoken: Speak) -> None:
        pcm = spoken(CONVERSATION * 2)
        heard = _listen(fake_session, pcm, list(range(0, len(pcm), 4000)), 0.4)

        assert sum(bool(result.turns) for result in heard.results) > 5
        names: list[str] = []
        spoken_s: dict[str, float] = {}
        for before, result in pairwise([Result(), *heard.results]):
            # What is new was not heard before, and speakers keep their names and their speech.
            ids = [speaker.id for speaker in result.speakers]
            assert ids[: len(names)] == names
            assert all(s.speech_s >= spoken_s.get(s.id, 0.0) for s in result.speakers)
            assert all(turn.end_s > before.duration_s - 4.0 for turn in result.turns)
            names, spoken_s = ids, {s.id: s.speech_s for s in result.speakers}
        _check(heard.whole, len(pcm))

    @pytest.mark.parametrize("latency_s", [0.4, math.inf])
    @given(n_hops=st.integers(1, 40), at_start=st.booleans())
    @shared_session
    def test_silence_shifts_what_follows_and_changes_nothing(
        self,
        fake_session: Session,
        spoken: Speak,
        latency_s: float,
        n_hops: int,
        at_start: bool,
    ) -> None:
        """Put in where all was silent for a window: whole hops of it, so that windows see the
        same."""
        n_steps = n_hops * fake_session.bundle.manifest.diarization.hop_steps
        pause: Said = (1.2, (), 0)
        silence: list[Said] = [(0.04 * n_steps, (), 0)]
        before = [] if at_start else [*CONVERSATION, pause]
        after = [pause, *CONVERSATION]

        plain = fake_session.process(spoken([*before, *after]), latency_s)
        longer = fake_session.process(spoken([*before, *silence, *after]), latency_s)

        where_s = len(spoken(before)) / 16000
        assert len(plain.turns) == len(CONVERSATION[1:6]) * (1 if at_start else 2)
        for name in ("turns", "exclusive_turns", "words"):
            expected = [_later(item, where_s, 0.04 * n_steps) for item in getattr(plain, name)]
            assert [_later(item, 0.0, 0.0) for item in getattr(longer, name)] == expected

    @pytest.mark.parametrize("latency_s", [0.4, math.inf])
    def test_two_streams_of_one_session_do_not_meet(
        self, fake_session: Session, spoken: Speak, latency_s: float
    ) -> None:
        recordings = [spoken(CONVERSATION)[:-CUT], spoken(CONVERSATION[::-1])]
        streams = [fake_session.stream(latency_s) for _ in recordings]
        found: list[list[Result]] = [[], []]
        for start in range(0, max(map(len, recordings)), 1500):
            for stream, pcm, results in zip(streams, recordings, found, strict=True):
                results.append(stream.push(pcm[start : start + 1500]))
        for stream, pcm, results in zip(streams, recordings, found, strict=True):
            results.append(stream.finish())
            whole = Heard(results, np.zeros((3, 0))).whole
            assert whole == fake_session.process(pcm, latency_s)

    @pytest.mark.parametrize(
        ("limits", "n_speakers"),
        [
            pytest.param({}, 3, id="free"),
            pytest.param({"max_speakers": 2}, 2, id="at most 2"),
            pytest.param({"max_speakers": 1}, 1, id="at most 1"),
            pytest.param({"min_speakers": 2, "max_speakers": 2}, 2, id="exactly 2"),
            pytest.param({"min_speakers": 3}, 3, id="at least 3"),
            pytest.param({"min_speakers": 3, "max_speakers": 3}, 3, id="exactly 3"),
        ],
    )
    @pytest.mark.parametrize("latency_s", [0.4, math.inf])
    def test_number_of_speakers(
        self,
        fake_session: Session,
        spoken: Speak,
        limits: dict[str, int],
        n_speakers: int,
        latency_s: float,
    ) -> None:
        pcm = spoken(CONVERSATION)

        result = fake_session.process(pcm, latency_s, **limits)

        assert result.speaker_count.value == len(result.speakers) == n_speakers
        _check(result, len(pcm))

    def test_voices_are_joined_now_and_then_where_labels_come_at_the_end(
        self, fake_session: Session, spoken: Speak, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Everybody sounds a little different every time, and there are few places for that."""

        def vary(embeddings: Array) -> Array:
            noise = np.random.default_rng(embeddings.view(np.uint32).ravel()).normal
            return embeddings + noise(0.0, 0.2, embeddings.shape).astype(np.float32)

        _change_voices(fake_session, monkeypatch, vary)
        pcm = spoken([*CONVERSATION, *CONVERSATION])
        expected = fake_session.process(pcm)
        n_joined = []
        join = OnlineClusters.join
        monkeypatch.setattr(
            OnlineClusters, "join", lambda self, groups: n_joined.append(1) or join(self, groups)
        )
        few = _deciding(fake_session, deferred_voices=16)

        found = _listen(few, pcm, list(range(0, len(pcm), 16000)), math.inf)

        assert len(n_joined) > 1
        _check(found.whole, len(pcm))
        assert _spans(found.whole) == _spans(expected)
        assert _texts(found.whole) == _texts(expected)
        assert len(expected.speakers) == 3

    @pytest.mark.parametrize("n_speakers", [1, 2, 3])
    def test_as_many_as_there_should_be(
        self,
        fake_session: Session,
        spoken: Speak,
        monkeypatch: pytest.MonkeyPatch,
        n_speakers: int,
    ) -> None:
        """Voices of a cosine of 0.84 are one, live too, unless more are expected."""
        _change_voices(fake_session, monkeypatch, lambda embeddings: embeddings + np.float32(0.8))
        pcm = spoken([(2.0, (0,), A), (1.2, (), 0), (2.0, (1,), B), (1.2, (), 0), (2.0, (2,), C)])

        limits = {"min_speakers": n_speakers, "max_speakers": n_speakers}
        result = fake_session.process(pcm, 0.4, **limits)

        assert result.speaker_count.value == n_speakers

    @pytest.mark.parametrize(
        ("thresholds", "n_slots"),
        [
            pytest.param({"slot_threshold": 0.8}, 1, id="alike enough to share a slot"),
            pytest.param({"slot_threshold": 0.9}, 2, id="not alike enough"),
            pytest.param({"slot_threshold": 0.9, "group_threshold": 0.8}, 2, id="its own counts"),
        ],
    )
    def test_voices_that_share_a_slot(
        self,
        fake_session: Session,
        spoken: Speak,
        monkeypatch: pytest.MonkeyPatch,
        thresholds: dict[str, float],
        n_slots: int,
    ) -> None:
        """Of two voices of a cosine of 0.84."""

        def alike(embeddings: Array) -> Array:
            return embeddings + np.float32(0.8)

        _change_voices(fake_session, monkeypatch, alike)
        session = _deciding(fake_session, stretch_threshold=0.9, **thresholds)
        stream = session.stream(0.4, on_sources=lambda _: None)
        separation, told = fake_session.engines["separation"], []
        run = separation.run

        def listening(inputs: Mapping[str, Array]) -> dict[str, Array]:
            told.append(int(inputs["voices"].any(axis=2).sum()))
            return run(inputs)

        monkeypatch.setattr(separation, "run", listening)
        stream.push(spoken([(2.0, (0,), A), (1.2, (), 0), (2.0, (1,), B)]))

        assert max(told) == n_slots

    def test_alike_voices_stay_apart_only_where_asked(
        self, fake_session: Session, spoken: Speak, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Two voices too unlike to be linked at once, alike enough to be one at the end."""

        def alike(embeddings: Array) -> Array:
            mixed = embeddings @ np.array([[1.0], [0.9]] + 4 * [[0.0]], np.float32)
            return np.concatenate([mixed, 0.9 * embeddings[..., 1:2], embeddings[..., 2:]], axis=2)

        _change_voices(fake_session, monkeypatch, alike)
        pcm = spoken([(2.0, (0,), A), (1.2, (), 0), (2.0, (1,), B)])

        counts = [
            fake_session.process(pcm, min_speakers=minimum).speaker_count.value
            for minimum in (1, 2)
        ]

        assert counts == [1, 2]
