"""Overlap-add and slots, from waveforms that are known."""

from collections.abc import Iterator
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from echo_edge.heads.separation import SeparationDecoder
from echo_edge.manifest import SeparationSpec

Array = NDArray[np.float32]

CHUNK, OVERLAP = 40, 12
NOTHING = np.zeros(0, np.float32)


class Voices:
    """In place of a graph: `[K, samples]` cut as a real one does, faded in and out over the
    overlap, each chunk in the order it is told."""

    def __init__(self, voices: Array, orders: list[tuple[int, ...]]) -> None:
        delayed = np.pad(voices, ((0, 0), (OVERLAP, OVERLAP)))
        fade = np.ones(CHUNK + OVERLAP, np.float32)
        fade[:OVERLAP] = (np.arange(OVERLAP) + 0.5) / OVERLAP
        fade[-OVERLAP:] = fade[:OVERLAP][::-1]
        slots = np.eye(len(voices), 8, dtype=np.float32)
        starts = range(0, voices.shape[1], CHUNK)
        assert len(starts) == len(orders)
        self._chunks: Iterator[dict[str, Array]] = iter(
            {
                "sources": (fade * delayed[:, start : start + CHUNK + OVERLAP])[list(order)],
                "slots": (np.float32(3 + n) * slots)[list(order)],
            }
            for n, (start, order) in enumerate(zip(starts, orders, strict=True))
        )

    def run(self, **_: Array) -> dict[str, Array]:
        return next(self._chunks)


def _voices(n_voices: int, n_chunks: int) -> Array:
    shape = (n_voices, CHUNK * n_chunks)
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def _decode(voices: Array, orders: list[tuple[int, ...]]) -> list[Array]:
    decoder = SeparationDecoder(
        Voices(voices, orders),  # type: ignore[arg-type]
        SeparationSpec(len(voices), OVERLAP),
    )
    return [*(decoder.push(NOTHING, NOTHING, NOTHING) for _ in orders), decoder.finish()]


@pytest.mark.parametrize("n_voices", [1, 2, 3])
@pytest.mark.parametrize("n_chunks", [1, 2, 7])
def test_overlap_add_gives_back_the_voices(n_voices: int, n_chunks: int) -> None:
    voices = _voices(n_voices, n_chunks)

    pieces = _decode(voices, [tuple(range(n_voices))] * n_chunks)

    assert [piece.shape[1] for piece in pieces] == [
        CHUNK - OVERLAP,
        *[CHUNK] * (n_chunks - 1),
        OVERLAP,
    ]
    whole = np.concatenate(pieces, axis=1)
    assert whole.shape == voices.shape
    # The last overlap has no next chunk that fades in: it fades out.
    np.testing.assert_allclose(whole[:, :-OVERLAP], voices[:, :-OVERLAP], atol=1e-6)


@given(st.lists(st.sampled_from(list(permutations(range(3)))), min_size=1, max_size=8))
def test_swapped_slots_are_swapped_back(orders: list[tuple[int, ...]]) -> None:
    voices = _voices(3, len(orders))

    whole = np.concatenate(_decode(voices, orders), axis=1)

    expected = voices[list(orders[0])]  # the first chunk decides
    np.testing.assert_allclose(whole[:, :-OVERLAP], expected[:, :-OVERLAP], atol=1e-6)


def test_a_slot_vector_may_drift() -> None:
    """Each step is small, and in the end it is the opposite of where it began."""
    angles = np.deg2rad(np.arange(0, 181, 10))
    first = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    second = np.stack([-np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
    sources = np.repeat(np.array([[1.0], [2.0]], np.float32), CHUNK + OVERLAP, axis=1)

    class Drifting:
        step = -1

        def run(self, **_: Array) -> dict[str, Array]:
            self.step += 1
            order = [0, 1] if self.step % 2 == 0 else [1, 0]
            slots = np.stack([first[self.step], second[self.step]])
            return {"sources": sources[order], "slots": slots[order]}

    decoder = SeparationDecoder(Drifting(), SeparationSpec(2, OVERLAP))  # type: ignore[arg-type]
    pieces = [decoder.push(NOTHING, NOTHING, NOTHING) for _ in angles]

    assert [piece[:, -1].tolist() for piece in pieces] == [[1.0, 2.0]] * len(angles)


def test_nothing_pushed() -> None:
    decoder = SeparationDecoder(
        Voices(_voices(2, 0), []),  # type: ignore[arg-type]
        SeparationSpec(2, OVERLAP),
    )

    assert not decoder.finish().any()
