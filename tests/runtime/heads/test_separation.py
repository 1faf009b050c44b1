"""Overlap-add and slots, from waveforms that are known."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from echo_edge.bundle.manifest import SeparationSpec
from echo_edge.frontend import Chunk
from echo_edge.heads.clustering import NOBODY
from echo_edge.heads.separation import SeparationDecoder, VoiceSlots
from tests.conftest import DECODING

Array = NDArray[np.float32]

CHUNK, OVERLAP = 40, 12
NOTHING = np.zeros(0, np.float32)
CHUNK_OF_NOTHING = Chunk(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, 0, 0.0, NOTHING)
NO_VOICES = np.zeros((0, 4), np.float32)
CENTROIDS = np.eye(4, dtype=np.float32)
QUIET = np.zeros(3, np.float32)


class Voices:
    """In place of a graph: `[K, samples]` cut as a real one does, faded in and out over the
    overlap."""

    def __init__(self, voices: Array) -> None:
        delayed = np.pad(voices, ((0, 0), (OVERLAP, OVERLAP)))
        fade = np.ones(CHUNK + OVERLAP, np.float32)
        fade[:OVERLAP] = (np.arange(OVERLAP) + 0.5) / OVERLAP
        fade[-OVERLAP:] = fade[:OVERLAP][::-1]
        self._chunks: Iterator[dict[str, Array]] = iter(
            {"sources": fade * delayed[:, start : start + CHUNK + OVERLAP]}
            for start in range(0, voices.shape[1], CHUNK)
        )

    def run(self, **_: Array) -> dict[str, Array]:
        return next(self._chunks)


def _decode(voices: Array) -> list[Array]:
    spec = SeparationSpec(len(voices), OVERLAP)
    decoder = SeparationDecoder(Voices(voices), spec, DECODING)  # type: ignore[arg-type]
    n_chunks = voices.shape[1] // CHUNK
    pushed = [decoder.push(CHUNK_OF_NOTHING, [], NO_VOICES) for _ in range(n_chunks)]
    return [*pushed, decoder.finish()]


@pytest.mark.parametrize("n_voices", [1, 2, 3])
@pytest.mark.parametrize("n_chunks", [1, 2, 7])
def test_overlap_add_gives_back_the_voices(n_voices: int, n_chunks: int) -> None:
    shape = (n_voices, CHUNK * n_chunks)
    voices = np.random.default_rng(0).standard_normal(shape).astype(np.float32)

    pieces = _decode(voices)

    assert [piece.shape[1] for piece in pieces] == [
        CHUNK - OVERLAP,
        *[CHUNK] * (n_chunks - 1),
        OVERLAP,
    ]
    whole = np.concatenate(pieces, axis=1)
    assert whole.shape == voices.shape
    # The last overlap has no next chunk that fades in: it fades out.
    np.testing.assert_allclose(whole[:, :-OVERLAP], voices[:, :-OVERLAP], atol=1e-6)


def test_nothing_pushed() -> None:
    assert not np.concatenate(_decode(np.zeros((2, 0), np.float32)), axis=1).any()


def test_slots_are_told_nothing_before_a_voice_is_known() -> None:
    told = VoiceSlots(3, alike=0.7).assign([], NO_VOICES, QUIET)

    assert told.shape == (1, 3, 4)
    assert not told.any()


def test_a_voice_keeps_the_slot_in_which_it_was_first_heard() -> None:
    slots = VoiceSlots(3, alike=0.7)

    first = slots.assign([0], CENTROIDS[:1], np.array([0.1, 0.9, 0.2], np.float32))
    second = slots.assign([1, 0], CENTROIDS[:2], np.array([0.0, 0.9, 0.3], np.float32))
    slots.assign([0, 1], CENTROIDS[:2], np.array([9.0, 0.0, 0.0], np.float32))

    assert slots.voices == [NOBODY, 0, 1]
    np.testing.assert_array_equal(first[0], [np.zeros(4), CENTROIDS[0], np.zeros(4)])
    np.testing.assert_array_equal(second[0], [np.zeros(4), CENTROIDS[0], CENTROIDS[1]])


def test_a_fourth_voice_takes_the_place_of_the_longest_silent() -> None:
    slots = VoiceSlots(3, alike=0.7)
    slots.assign([2, 1, 0], CENTROIDS[:3], QUIET)
    before = list(slots.voices)

    slots.assign([3, 0, 2, 1], CENTROIDS, QUIET)

    assert slots.voices == [3 if voice == 1 else voice for voice in before]


@pytest.mark.parametrize(
    ("groups", "held"),
    [
        pytest.param((0, 1, 2), [2, 0, NOBODY], id="nothing joined"),
        pytest.param((1, 0, 2), [2, 1, NOBODY], id="numbered anew"),
        pytest.param((0, 1, 0), [0, NOBODY, NOBODY], id="two become one"),
    ],
)
def test_joined_voices(groups: tuple[int, ...], held: list[int]) -> None:
    slots = VoiceSlots(3, alike=0.7)
    slots.voices = [2, 0, NOBODY]

    slots.join(groups)

    assert slots.voices == held


def test_two_centroids_of_one_person_share_a_slot() -> None:
    slots = VoiceSlots(3, alike=0.7)
    centroids = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], np.float32)

    slots.assign([0, 1, 2], centroids, QUIET)

    assert sorted(slots.voices) == [NOBODY, 0, 2]


@pytest.mark.parametrize(("decay", "slot"), [(0.9, 0), (0.1, 1)])
def test_how_long_a_loud_slot_is_remembered(decay: float, slot: int) -> None:
    """The first slot was loud for long, the second one is loud now."""
    voices = np.zeros((2, 4 * CHUNK), np.float32)
    voices[0, : 3 * CHUNK], voices[1, 3 * CHUNK :] = 1.0, 1.2
    decoding = replace(DECODING, slot_decay=decay)
    decoder = SeparationDecoder(Voices(voices), SeparationSpec(2, OVERLAP), decoding)  # type: ignore[arg-type]
    for _ in range(4):
        decoder.push(CHUNK_OF_NOTHING, [], NO_VOICES)
    decoder.slots.assign([0], CENTROIDS[:1], decoder._energies)

    assert decoder.slots.voices.index(0) == slot
