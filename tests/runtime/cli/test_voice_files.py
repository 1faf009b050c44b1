"""The names of files of separated voices."""

from pathlib import Path

import pytest

from echo_edge.cli.voice_files import name_voices
from echo_edge.result import Source


def _sources(folder: Path, *about: tuple[str | None, str | None]) -> list[Source]:
    made = []
    for number, (speaker, name) in enumerate(about, 1):
        path = folder / f"source_{number}.wav"
        path.write_text(f"{number}")
        made.append(Source(str(path), speaker, name))
    return made


@pytest.mark.parametrize(
    ("about", "names"),
    [
        pytest.param([("speaker_2", None)], ["speaker_2.wav"], id="a label"),
        pytest.param([("speaker_1", "Ada Li")], ["speaker_1_Ada_Li.wav"], id="a name"),
        pytest.param([(None, None)], ["source_1.wav"], id="nobody"),
        pytest.param(
            [("speaker_1", "../x/Zoë\n.")], ["speaker_1_x_Zoë.wav"], id="what no file name has"
        ),
        pytest.param(
            [("speaker_1", None), ("speaker_1", None)], ["speaker_1.wav", "source_2.wav"], id="two"
        ),
    ],
)
def test_names(
    tmp_path: Path, about: list[tuple[str | None, str | None]], names: list[str]
) -> None:
    found = name_voices(_sources(tmp_path, *about), [])

    assert [Path(source.path).name for source in found] == names
    assert [(source.speaker, source.name) for source in found] == about
    assert [Path(source.path).read_text() for source in found] == [
        str(number) for number in range(1, len(names) + 1)
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_an_older_result_is_replaced_and_an_input_is_not(tmp_path: Path) -> None:
    for name in ("speaker_1.wav", "speaker_2.wav"):
        (tmp_path / name).write_text("old")
    sources = _sources(tmp_path, ("speaker_1", None), ("speaker_2", None))

    found = name_voices(sources, [tmp_path / "below" / ".." / "speaker_2.wav", "-"])

    assert [Path(source.path).name for source in found] == ["speaker_1.wav", "source_2.wav"]
    assert (tmp_path / "speaker_1.wav").read_text() == "1"
    assert (tmp_path / "speaker_2.wav").read_text() == "old"


def test_what_cannot_be_renamed_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "speaker_1.wav").mkdir()

    found = name_voices(_sources(tmp_path, ("speaker_1", None)), [])

    assert [Path(source.path).name for source in found] == ["source_1.wav"]
