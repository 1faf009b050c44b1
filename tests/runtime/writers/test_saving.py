"""`Result.save` and its companions: the text of the writers, the form by the suffix."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from echo_edge.errors import OutputError, UsageError
from echo_edge.result import BundleInfo, Origin, Result, Speaker, Turn, Word
from echo_edge.writers import formats

ORIGIN = Origin("talks/my talk.wav", BundleInfo("tiny", "1.0", "null", "float32", "f" * 64), 2.5)
TALK = Result(
    turns=(Turn(1.2, 4.8, "speaker_1", 0.91),),
    words=(Word(1.25, 1.5, "hello", "speaker_1", 0.9),),
    duration_s=5.0,
    speakers=(Speaker("speaker_1", "Ana Li", 3.6),),
    origin=ORIGIN,
)


def _as_the_command_writes_it(form: str) -> str:
    assert ORIGIN.bundle is not None
    return formats.render(
        TALK,
        form,
        audio=formats.AudioInfo(ORIGIN.path, 5.0, 16000),
        bundle=ORIGIN.bundle,
        timing=formats.Timing(0.5, 2.5),
    )


@pytest.mark.parametrize("form", formats.FORMAT_NAMES)
def test_the_suffix_is_the_form(tmp_path: Path, form: str) -> None:
    for path in (tmp_path / f"x.{form}", str(tmp_path / f"y.{form.upper()}")):
        TALK.save(path)

        assert Path(path).read_text(encoding="utf-8") == _as_the_command_writes_it(form)


@pytest.mark.parametrize(
    ("form", "make"),
    [("txt", Result.to_txt), ("json", Result.to_json), ("rttm", Result.to_rttm),
     ("ctm", Result.to_ctm), ("srt", Result.to_srt), ("vtt", Result.to_vtt)],
)  # fmt: skip
def test_text(form: str, make: Callable[[Result], str]) -> None:
    assert make(TALK) == _as_the_command_writes_it(form)


def test_the_name_in_rttm_and_ctm(tmp_path: Path) -> None:
    unnamed = replace(TALK, origin=Origin())
    unnamed.save(tmp_path / "call 7.rttm")

    assert (tmp_path / "call 7.rttm").read_text().split()[1] == "call_7"
    assert TALK.to_rttm("a").split()[1] == "a"
    assert TALK.to_ctm("b").split()[0] == "b"
    assert unnamed.to_rttm().split()[1] == "<NA>"


@pytest.mark.parametrize(
    ("name", "found"), [("x.pdf", "the suffix .pdf"), ("x", "no suffix"), (".srt", "no suffix")]
)
def test_another_suffix(tmp_path: Path, name: str, found: str) -> None:
    with pytest.raises(UsageError, match=rf"{name}: found {found}, expected one of \.txt, .*\.vtt"):
        TALK.save(tmp_path / name)

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nowhere"):
        TALK.save(tmp_path / "nowhere" / "x.srt")


def test_json_needs_the_bundle_that_made_it(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("old")

    with pytest.raises(UsageError, match="no bundle that made it"):
        replace(TALK, origin=Origin()).save(tmp_path / "x.json")

    assert (tmp_path / "x.json").read_text() == "old"


def test_json_tells_the_time_it_took() -> None:
    assert json.loads(TALK.to_json())["timing"] == {"rtf": 0.5, "wall_s": 2.5}
    nothing = replace(TALK, duration_s=0.0)
    assert json.loads(nothing.to_json())["timing"]["rtf"] is None
