from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from echo_edge.errors import OutputError
from echo_edge.result import Source, Speaker, Turn
from echo_edge.writers.wav_sources import SourceWriter

Array = NDArray[np.float32]


def _tone(seconds: float, *spans: tuple[float, float, float]) -> Array:
    """Silence but for spans of start, end and amplitude."""
    samples = np.zeros(round(seconds * 16000), np.float32)
    for start_s, end_s, amplitude in spans:
        part = slice(round(start_s * 16000), round(end_s * 16000))
        samples[part] = amplitude * np.sin(np.arange(part.stop - part.start))
    return samples


def _turn(start_s: float, end_s: float, speaker: str) -> Turn:
    return Turn(start_s, end_s, speaker, 0.9)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _write(folder: Path, *voices: Array) -> SourceWriter:
    writer = SourceWriter(folder, len(voices))
    with writer:
        writer.write(np.stack(voices))
    return writer


@pytest.mark.parametrize(
    ("voices", "turns", "speakers"),
    [
        pytest.param(
            [_tone(4, (0, 2, 0.5)), _tone(4, (2, 4, 0.5))],
            [_turn(0, 2, "a"), _turn(2, 4, "b")],
            {"source_1.wav": "a", "source_2.wav": "b"},
            id="one voice each",
        ),
        pytest.param(
            [_tone(4, (2, 4, 0.5)), _tone(4, (0, 2, 0.5))],
            [_turn(0, 2, "a"), _turn(2, 4, "b")],
            {"source_1.wav": "b", "source_2.wav": "a"},
            id="the other way round",
        ),
        pytest.param(
            [_tone(4, (0, 2, 0.5)), _tone(4)],
            [_turn(0, 2, "a")],
            {"source_1.wav": "a"},
            id="an empty slot is removed",
        ),
        pytest.param(
            [_tone(4, (0, 2, 0.5)), _tone(4, (0, 2, 0.05))],
            [_turn(0, 2, "a")],
            {"source_1.wav": "a"},
            id="a nearly empty one too",
        ),
        pytest.param(
            [_tone(4, (0, 2, 0.5), (2, 4, 0.2))],
            [_turn(2, 4, "b"), _turn(0, 2, "a")],
            {"source_1.wav": "a"},
            id="whose turns hold most of the energy",
        ),
        pytest.param(
            [_tone(4, (0, 1, 0.4), (1, 2, 0.5), (2, 3, 0.4))],
            [_turn(0, 1, "a"), _turn(1, 2, "b"), _turn(2, 3, "a")],
            {"source_1.wav": "a"},
            id="over all turns",
        ),
        pytest.param(
            [_tone(4, (0, 1, 0.5), (1, 4, 0.4))],
            [_turn(0, 1, "a"), _turn(1, 4, "b")],
            {"source_1.wav": "b"},
            id="over whole turns",
        ),
        pytest.param(
            [_tone(4, (0, 1, 0.5))], [_turn(2, 4, "a")], {"source_1.wav": None}, id="no turn there"
        ),
        pytest.param([_tone(4, (0, 1, 0.5))], [], {"source_1.wav": None}, id="no turns"),
        pytest.param([_tone(4), _tone(4)], [_turn(0, 4, "a")], {}, id="silence"),
        pytest.param(
            [_tone(4, (3, 4, 0.5))], [_turn(3, 9, "a")], {"source_1.wav": "a"}, id="beyond the end"
        ),
    ],
)
def test_keep(
    tmp_path: Path, voices: list[Array], turns: list[Turn], speakers: dict[str, str | None]
) -> None:
    folder = tmp_path / "deep" / "sources"
    writer = _write(folder, *voices)

    kept = writer.keep(tuple(turns), (Speaker("a", "Ada", 1.0),))

    assert kept == tuple(
        Source(str(folder / name), who, "Ada" if who == "a" else None)
        for name, who in speakers.items()
    )
    assert _names(folder) == sorted(speakers)
    for name in speakers:
        written, rate = soundfile.read(folder / name, dtype="float32")
        assert rate == 16000
        np.testing.assert_allclose(written, voices[int(name[7]) - 1], atol=1e-4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
@given(cuts=st.lists(st.integers(1, 47999), max_size=6))
def test_any_chunking_gives_the_same_files_and_owners(tmp_path: Path, cuts: list[int]) -> None:
    voices = np.stack([_tone(3, (0, 1, 0.5)), _tone(3, (1.05, 2, 0.4))])
    turns = (_turn(0, 1.04, "a"), _turn(1.04, 2, "b"))
    writer = SourceWriter(tmp_path / "pieces", 2)
    with writer:
        for piece in np.split(voices, sorted(cuts), axis=1):
            writer.write(piece)

    kept = writer.keep(turns)

    assert [source.speaker for source in kept] == ["a", "b"]
    for source, voice in zip(kept, voices, strict=True):
        np.testing.assert_allclose(soundfile.read(source.path)[0], voice, atol=1e-4)


def _write_all(writer: SourceWriter) -> None:
    for value in (1.0, np.nan):
        writer.write(np.full((2, 4000), value, np.float32))


def _fail(folder: Path) -> None:
    """Write something, then meet an error."""
    writer = SourceWriter(folder, 2)
    with pytest.raises(ValueError, match="not finite"), writer:
        _write_all(writer)


def test_an_error_keeps_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "sources"
    _fail(folder)

    assert _names(tmp_path) == []


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "source_1.wav").write_text("old")
    (tmp_path / "other").write_text("mine")
    _fail(tmp_path)

    assert _names(tmp_path) == ["other", "source_1.wav"]
    assert (tmp_path / "source_1.wav").read_text() == "old"


def _as_file(folder: Path) -> None:
    folder.write_text("")


def _under_file(folder: Path) -> None:
    folder.parent.write_text("")


def _with_folder_for_file(folder: Path) -> None:
    (folder / "source_2.wav").mkdir(parents=True)


@pytest.mark.parametrize("obstruct", [_as_file, _under_file, _with_folder_for_file])
def test_refuses_where_it_cannot_write(tmp_path: Path, obstruct: object) -> None:
    folder = tmp_path / "a" / "sources"
    if obstruct is not _under_file:
        folder.parent.mkdir()
    assert callable(obstruct)
    obstruct(folder)
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(OutputError) as caught, SourceWriter(folder, 2):
        raise AssertionError("it cannot be written")

    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before
