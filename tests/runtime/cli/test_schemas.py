"""The published JSON Schemas are those of the dataclasses, and what we write fits them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echo_edge.cli.schemas import schemas
from echo_edge.recorder import recordings
from echo_edge.recorder.recordings import ClockJump
from echo_edge.result import Result, Source, Speaker, SpeakerCount, Turn, Word
from echo_edge.strict_json import convert
from echo_edge.writers.document import ResultDocument
from echo_edge.writers.formats import AudioInfo, BundleInfo, Timing, render
from tests.runtime.recording import about

jsonschema = pytest.importorskip("jsonschema", reason="needs pip install jsonschema")
DOCS = Path(__file__).parents[3] / "docs" / "reference"

RESULT = Result(
    turns=(Turn(0.5, np.float32(2.25), "speaker_1", np.float32(0.9)),),  # type: ignore[arg-type]
    words=(Word(0.5, 0.9, "grüß", None, 1.0), Word(1.0, 1.5, "a" * 300, "speaker_1", 0.5)),
    duration_s=3.0,
    speakers=(Speaker("speaker_1", None, 1.75), Speaker("speaker_2", "Ada", 0.0)),
    speaker_count=SpeakerCount(np.int64(2), 0.75),  # type: ignore[arg-type]
    sources=(Source("a.wav", None), Source("b.wav", "speaker_1")),
)


def test_all_of_them_are_there() -> None:
    assert sorted(path.name for path in DOCS.glob("*.schema.json")) == sorted(schemas())


@pytest.mark.parametrize("name", schemas())
def test_the_file_in_the_docs_is_the_latest(name: str) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")

    assert text == json.dumps(schemas()[name], indent=1) + "\n"
    jsonschema.Draft202012Validator.check_schema(json.loads(text))


def errors_of(name: str, document: object) -> list[str]:
    validator = jsonschema.Draft202012Validator(schemas()[name])
    return [error.message for error in validator.iter_errors(document)]


def rendered(rtf: float | None) -> Any:
    text = render(
        RESULT,
        "json",
        audio=AudioInfo("meeting\x01.wav", 3.0, 16_000),
        bundle=BundleInfo("echo", "1.0.0", "onnx", "float32", "0" * 64),
        timing=Timing(rtf, 0.5),
    )
    return json.loads(text)


@pytest.mark.parametrize("rtf", [0.25, None])
def test_a_result_fits(rtf: float | None) -> None:
    document = rendered(rtf)

    assert errors_of("result.schema.json", document) == []
    assert list(document) == list(schemas()["result.schema.json"]["properties"])


def test_a_result_is_read_as_it_was_written() -> None:
    document = rendered(0.25)
    document["audio"]["path"] = "meeting.wav"

    found: ResultDocument = convert(document, ResultDocument, "result: ", lenient=True)

    assert found.words == RESULT.words
    assert found.speaker_count == RESULT.speaker_count
    assert found.timing == Timing(0.25, 0.5)


@pytest.mark.parametrize(
    "changes",
    [
        {"turns": [{"start_s": 1.0}]},
        {"words": {}},
        {"schema": "echo-edge.result/2"},
        {"speaker_count": {"value": "2", "confidence": 1.0}},
        {"timing": {"rtf": "fast", "wall_s": 1.0}},
    ],
)
def test_what_is_no_result_does_not_fit(changes: dict[str, object]) -> None:
    assert errors_of("result.schema.json", rendered(0.25) | changes)


@pytest.mark.parametrize(
    "changes",
    [{}, {"clock_jumps": (ClockJump(0.0, 3600.5),), "continues": "20260102T030405Z"}],
    ids=["plain", "with all keys"],
)
def test_a_recording_fits_and_is_read_again(tmp_path: Path, changes: dict[str, Any]) -> None:
    recordings.write_about(tmp_path, about(**changes))
    document = json.loads((tmp_path / recordings.ABOUT).read_bytes())

    assert errors_of("recording.schema.json", document) == []
    assert recordings.read_about(tmp_path) == about(**changes)
    assert set(document) - {"clock_jumps", "continues"} == {
        "schema", "started_utc", "source", "options",
    }  # fmt: skip
