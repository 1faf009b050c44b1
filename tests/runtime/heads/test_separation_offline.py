"""A recording heard once more, every voice known from the start."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from echo_edge.bundle.decoding import DecodingSpec
from echo_edge.bundle.manifest import SeparationSpec
from echo_edge.errors import UsageError
from echo_edge.heads.separation_offline import KnownVoices, separate
from echo_edge.result import Result, Speaker, Turn
from echo_edge.session import Session, load
from tests.spectra import above_100_hz

Array = NDArray[np.float32]
CONVERSATION = Path(__file__).parents[3] / "demo" / "conversation.flac"


def _known(*turns: tuple[float, float, int]) -> KnownVoices:
    people = sorted({who for _, _, who in turns})
    speakers = [Speaker(f"speaker_{who}", None, 1.0) for who in people]
    return KnownVoices(speakers, [Turn(a, b, f"speaker_{who}", 0.9) for a, b, who in turns])


def test_who_talks_comes_first_and_then_who_is_nearest_in_time() -> None:
    known = _known((0, 2, 1), (5, 6, 2), (9, 12, 3), (20, 21, 1), (2, 3, 4))

    assert known.nearest(5.2, 5.7) == [1, 3, 0, 2]
    assert known.nearest(0.0, 0.48)[:2] == [0, 3]
    assert known.nearest(19.0, 19.5) == [0, 2, 1, 3]
    assert known.nearest(100.0, 101.0)[0] == 0


def test_who_talks_at_once_comes_in_order() -> None:
    assert _known((0, 9, 1), (0, 9, 2), (0, 9, 3)).nearest(4.0, 4.5) == [0, 1, 2]


def test_nobody() -> None:
    assert KnownVoices([], []).nearest(0.0, 1.0) == []


@pytest.fixture(scope="module")
def session(default_bundle: Path) -> Session:
    return load(default_bundle)


@pytest.fixture(scope="module")
def pcm() -> Array:
    """Fifteen seconds of the conversation, not a whole number of chunks."""
    return np.asarray(soundfile.read(CONVERSATION, 15 * 16000 - 777, dtype="float32")[0])


def _hear(session: Session, pcm: Array, *pieces: Array, minimum: int = 1) -> tuple[Result, Array]:
    stream = session.stream(math.inf, language_model=False, min_speakers=minimum)
    result = Result.joined([stream.push(pcm), stream.finish()])
    nothing = np.zeros((len(result.speakers) + 1, 0), np.float32)
    heard = session.separate(stream, result, pieces or [pcm])
    return result, np.concatenate([nothing, *heard], axis=1)


@pytest.mark.parametrize("minimum", [1, 3])
def test_voices_and_the_rest_sum_to_the_recording(
    session: Session, pcm: Array, minimum: int
) -> None:
    result, voices = _hear(session, pcm, minimum=minimum)

    assert voices.shape == (len(result.speakers) + 1, len(pcm))
    assert len(result.speakers) >= minimum
    heard = slice(0, -session.bundle.manifest.separation.overlap_samples)
    assert above_100_hz(voices.sum(0)[heard] - pcm[heard]) < 1e-3 * above_100_hz(pcm[heard])


def test_every_speaker_is_loud_in_the_own_turns(session: Session, pcm: Array) -> None:
    result, voices = _hear(session, pcm, minimum=3)

    for place, speaker in enumerate(result.speakers):
        own = np.zeros(len(pcm), bool)
        for turn in result.turns:
            if turn.speaker == speaker.id:
                own[round(turn.start_s * 16000) : round(turn.end_s * 16000)] = True
        power = (voices**2)[:, own].mean(1)
        assert power.argmax() == place


@pytest.mark.parametrize("size", [1000, 7680, 100_000])
def test_pieces_do_not_matter(session: Session, pcm: Array, size: int) -> None:
    pieces = [pcm[start : start + size] for start in range(0, len(pcm), size)]

    np.testing.assert_array_equal(_hear(session, pcm, *pieces)[1], _hear(session, pcm)[1])


class Told:
    """In place of every graph: a slot that is told voice i says i + 1 all the time, others 9."""

    def run(self, **inputs: Array) -> dict[str, Array]:
        if "voices" not in inputs:
            latents = [
                "latents",
                "latents_asr",
                "latents_diarization",
                "latents_speaker",
                "latents_separation",
            ]
            return dict.fromkeys(("features", "spectrum", *latents), np.zeros(1))
        told = inputs["voices"][0]
        says = np.where(told.any(1), told.argmax(1) + 1.0, 9.0).astype(np.float32)
        return {"sources": np.repeat(says[:, None], 10 + 2, axis=1)}

    def fill(self, value: float) -> None:
        assert value == 0.0


def test_more_voices_than_slots_take_turns_with_them() -> None:
    manifest = SimpleNamespace(
        audio=SimpleNamespace(chunk_samples=10, sample_rate=10),
        separation=SeparationSpec(max_sources=3, overlap_samples=2),
        streaming=SimpleNamespace(step_samples=5),
        decoding=DecodingSpec(*[0.5] * 8),
    )
    known = _known((0, 2, 1), (2, 4, 2), (4, 6, 3), (6, 8, 4), (8, 10, 5), (8, 10, 1))

    pieces = separate(
        lambda _: Told(), manifest, np.eye(5, dtype=np.float32), known, [np.zeros(100, np.float32)]
    )
    voices = np.concatenate(list(pieces), axis=1)

    assert voices.shape == (6, 100)
    talking = [(0, 0, 20), (1, 20, 40), (2, 40, 60), (3, 60, 80), (4, 80, 98), (0, 80, 98)]
    for place, start, end in talking:
        said = voices[place, start + 2 : end]  # the overlap is still that of the slot's last voice
        assert (said >= place + 1).all()
        assert np.median(said) == place + 1
    assert (np.count_nonzero(voices, axis=0) == 3).all()
    assert not voices[5].any()


def test_silence_and_nothing(session: Session) -> None:
    for n_samples in (0, 100, 20_000):
        result, voices = _hear(session, np.zeros(n_samples, np.float32))
        assert not result.speakers
        assert voices.shape == (1, n_samples)
        assert np.abs(voices).max(initial=0.0) < 1e-6


def test_another_streams_result_is_refused(session: Session, pcm: Array) -> None:
    result, _ = _hear(session, pcm)
    other = session.stream(math.inf)
    other.finish()

    with pytest.raises(UsageError, match="found no speaker"):
        session.separate(other, result, [pcm])
