"""What a stream refuses, very little audio, and engines that fail; the model is conftest.py's."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from echo_edge.engines import Engine
from echo_edge.errors import AudioError, EngineError, UsageError
from echo_edge.result import Result
from echo_edge.session import Session
from echo_edge.stream import MAX_SPEAKERS, Stream

Array = NDArray[np.float32]
Said = tuple[float, tuple[int, ...], int]
Speak = Callable[[list[Said]], Array]

A, B, C, SPACE = 2, 3, 4, 1
CONVERSATION: list[Said] = [
    (1.0, (0,), A), (0.2, (0,), SPACE), (0.8, (1,), B), (0.6, (), SPACE), (1.0, (0, 1), C),
]  # fmt: skip
CUT = 300
"""Samples left out at the end, so that the length is no multiple of a step or chunk."""


def _listen(session: Session, pieces: list[Array], latency_s: float) -> tuple[Result, Array]:
    """The whole result and the separated voices."""
    sources: list[Array] = [np.zeros((3, 0), np.float32)]
    stream = session.stream(latency_s, on_sources=sources.append)
    parts = [*map(stream.push, pieces), stream.finish()]
    return Result.joined(parts), np.concatenate(sources, axis=1)


class TestBadInput:
    @pytest.mark.parametrize(
        ("pcm", "message"),
        [
            pytest.param(np.array([0, np.nan], np.float32), "nan at sample 5001", id="NaN"),
            pytest.param(np.array([np.inf], np.float32), "inf at sample 5000", id="Inf"),
            pytest.param(np.array([0, 0, -np.inf]), "-inf at sample 5002", id="-Inf"),
            pytest.param(np.array([1e30], np.float32), "1e\\+30 at sample 5000", id="too loud"),
            pytest.param(np.array([0.0, 1e300]), "1e\\+300 at sample 5001", id="too loud, double"),
            pytest.param(np.zeros((1, 4), np.float32), r"float32 of shape \[1, 4\]", id="2-D"),
            pytest.param(np.float32(0.5), r"float32 of shape \[\]", id="0-D"),
            pytest.param(np.zeros(4, np.uint8), r"uint8 of shape \[4\]", id="uint8"),
            pytest.param(np.zeros((2, 9)), r"float64 .*pcm\.mean\(axis=0\)", id="channels first"),
            pytest.param(np.zeros((9, 2)), r"float64 .*pcm\.mean\(axis=1\)", id="channels last"),
            pytest.param(np.zeros(4, bool), r"bool of shape \[4\]", id="bool"),
            pytest.param(np.zeros(4, complex), r"complex128 of shape \[4\]", id="complex"),
            pytest.param(np.array(["a"]), "<U1 of shape", id="text"),
        ],
    )
    def test_is_refused_and_the_stream_goes_on(
        self, fake_session: Session, spoken: Speak, pcm: Array, message: str
    ) -> None:
        audio = spoken(CONVERSATION)[:-CUT]
        stream = fake_session.stream(0.4)
        results = [stream.push(audio[:5000])]

        with pytest.raises(AudioError, match=f"push: found {message}"):
            stream.push(pcm)

        results += [stream.push(audio[5000:]), stream.finish()]
        assert Result.joined(results) == fake_session.process(audio, 0.4)

    @pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
    def test_other_floats_are_taken(
        self, fake_session: Session, spoken: Speak, dtype: type[np.floating]
    ) -> None:
        pcm = spoken(CONVERSATION)

        assert fake_session.process(pcm.astype(dtype)) == fake_session.process(pcm)

    @pytest.mark.parametrize(("dtype", "scale"), [(np.int16, 2**15), (">i2", 2**15),
                                                  (np.int32, 2**31)])  # fmt: skip
    def test_integers_are_taken(
        self, fake_session: Session, spoken: Speak, dtype: type[np.integer], scale: int
    ) -> None:
        pcm = np.rint(spoken(CONVERSATION) * 2**15).clip(-(2**15), 2**15 - 1)
        integers = (pcm * (scale // 2**15)).astype(dtype)

        assert fake_session.process(integers) == fake_session.process(
            (pcm / 2**15).astype(np.float32)
        )

    def test_a_path_is_no_audio(self, fake_session: Session) -> None:
        with pytest.raises(UsageError, match=r"the path a\.wav, .*session\.transcribe\(path\)"):
            fake_session.process("a.wav")

    def test_strided_audio_is_taken(self, fake_session: Session, spoken: Speak) -> None:
        pcm = spoken(CONVERSATION)
        stereo = np.stack([pcm, np.zeros_like(pcm)], axis=1)

        assert fake_session.process(stereo[:, 0]) == fake_session.process(pcm)

    def test_the_callers_buffer_may_be_used_again(
        self, fake_session: Session, spoken: Speak
    ) -> None:
        pcm = spoken(CONVERSATION)
        stream, buffer, results = fake_session.stream(0.4), np.zeros(1000, np.float32), []
        for start in range(0, len(pcm), 1000):
            size = len(pcm[start : start + 1000])
            buffer[:size] = pcm[start : start + 1000]
            results.append(stream.push(buffer[:size]))
            buffer[:] = 0.5
        results.append(stream.finish())

        assert Result.joined(results) == fake_session.process(pcm, 0.4)

    @pytest.mark.parametrize("use", [lambda s: s.push(np.zeros(4, np.float32)), Stream.finish])
    def test_a_finished_stream_takes_nothing(
        self, fake_session: Session, use: Callable[[Stream], Result]
    ) -> None:
        stream = fake_session.stream()
        stream.push(np.zeros(1000, np.float32))
        stream.finish()

        with pytest.raises(UsageError, match=r"found a finished stream.*session\.stream\(\)"):
            use(stream)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            pytest.param({"latency_s": -0.1}, "latency_s: found -0.1", id="negative latency"),
            pytest.param({"latency_s": math.nan}, "latency_s: found nan", id="NaN"),
            pytest.param({"min_speakers": 0}, "speakers: found 0 to 20", id="no speakers"),
            pytest.param({"max_speakers": 0}, "speakers: found 1 to 0", id="at most none"),
            pytest.param({"max_speakers": 21}, "speakers: found 1 to 21", id="too many"),
            pytest.param(
                {"min_speakers": 3, "max_speakers": 2}, "speakers: found 3 to 2", id="min above max"
            ),
        ],
    )
    def test_options(self, fake_session: Session, options: dict[str, int], message: str) -> None:
        with pytest.raises(UsageError, match=message):
            fake_session.stream(**options)

    def test_most_speakers_are_allowed(self, fake_session: Session) -> None:
        fake_session.stream(0.0, min_speakers=MAX_SPEAKERS, max_speakers=MAX_SPEAKERS)


class TestLittle:
    @pytest.mark.parametrize("latency_s", [0.0, 2.0, math.inf])
    @pytest.mark.parametrize("n_samples", [0, 1, 639, 1280, 16000 * 5 + 7])
    def test_silence(self, fake_session: Session, n_samples: int, latency_s: float) -> None:
        result, sources = _listen(fake_session, [np.zeros(n_samples, np.float32)], latency_s)

        assert (result.turns, result.words, result.speakers) == ((), (), ())
        assert (result.speaker_count.value, result.duration_s) == (0, n_samples / 16000)
        assert sources.shape == (3, n_samples)
        assert not sources.any()

    @pytest.mark.parametrize(
        ("n_samples", "n_steps"), [(1, 1), (640, 1), (641, 2), (1280, 2), (1281, 3)]
    )
    def test_only_steps_that_were_heard_are_looked_at(
        self,
        fake_session: Session,
        monkeypatch: pytest.MonkeyPatch,
        n_samples: int,
        n_steps: int,
    ) -> None:
        diarization = fake_session.engines["diarization"]
        run, seen = diarization.run, []

        def spy(inputs: Mapping[str, Array]) -> dict[str, Array]:
            seen.append(int(inputs["valid"].sum()))
            return run(inputs)

        monkeypatch.setattr(diarization, "run", spy)
        fake_session.process(np.zeros(n_samples, np.float32))

        assert seen == [n_steps]

    @pytest.mark.parametrize("latency_s", [0.0, math.inf])
    def test_words_written_after_the_audio_are_said_within_it(
        self, fake_session: Session, spoken: Speak, latency_s: float
    ) -> None:
        """The transcriber lags two steps: the last word is complete only in the padding."""
        pcm = spoken([(0.96, (0,), A), (0.04, (0,), B), (0.08, (0,), SPACE)])[: 13 * 1280 + 100]

        (word,) = fake_session.process(pcm, latency_s).words

        assert word.text == "ab"
        assert word.start_s < word.end_s == len(pcm) / 16000


class _Broken:
    """An engine that fails in its Nth run, counted over all graphs of the session."""

    def __init__(self, engine: Engine, calls: list[str], name: str, at: int) -> None:
        self._engine, self._calls, self._name, self._at = engine, calls, name, at

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self._calls.append(self._name)
        if len(self._calls) == self._at:
            raise EngineError(f"{self._name}: failed in run {self._at}")
        return self._engine.run(inputs)

    def close(self) -> None:
        """Nothing to free."""


def _break(session: Session, at: int) -> tuple[Session, list[str]]:
    calls: list[str] = []
    engines: dict[str, Engine] = {
        name: _Broken(engine, calls, name, at) for name, engine in session.engines.items()
    }
    return replace(session, engines=engines), calls


def test_an_engine_that_fails_is_never_passed_over(fake_session: Session, spoken: Speak) -> None:
    pcm = spoken([(0.6, (0,), A), (0.3, (), 0), (0.3, (1,), B)])[:-CUT]
    healthy, calls = _break(fake_session, -1)
    pieces = np.split(pcm, [5000, 5000, 11000])
    _listen(healthy, pieces, 0.4)
    assert set(calls) == set(fake_session.engines)

    for at, name in enumerate(calls, 1):
        broken, runs = _break(fake_session, at)
        with pytest.raises(EngineError, match=f"^{name}: failed in run {at}$"):
            _listen(broken, pieces, 0.4)
        assert len(runs) == at


@pytest.mark.parametrize("name", ["encoder", "speaker", "separation"])
def test_a_bug_keeps_its_traceback(
    fake_session: Session, spoken: Speak, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fail(_inputs: Mapping[str, Array]) -> dict[str, Array]:
        raise ZeroDivisionError

    monkeypatch.setattr(fake_session.engines[name], "run", fail)
    with pytest.raises(ZeroDivisionError):
        _listen(fake_session, [spoken(CONVERSATION)], 0.4)
