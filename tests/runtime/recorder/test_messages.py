"""Every message crosses a process boundary and is the same there; what is no message is refused."""

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from echo_edge.errors import JsonError
from echo_edge.recorder import log
from echo_edge.recorder.messages import (
    TYPES,
    End,
    Event,
    Failure,
    Message,
    NobodyByName,
    Progress,
    Ready,
    Signal,
    SpeakerName,
    Tentative,
    WordGroup,
    dump,
    forget_between,
    from_line,
    rounded,
    to_line,
)
from echo_edge.result import Turn, Word

TURN = Turn(0.5, 2.25, "speaker_1", 0.91)
WORD = Word(0.5, 0.9, "grüß", None, 1.0)
EXAMPLES: list[Message] = [
    Ready(),
    Progress(1.5),
    TURN,
    WORD,
    SpeakerName("speaker_1", "Ada"),
    Tentative((TURN,), (WORD, WORD)),
    Tentative(),
    Signal(""),
    NobodyByName("voices.json: gone\nall of it" + "x" * 300),
    Failure("encoder.onnx: broken\x1b[2J"),
    End(0.5),
    WordGroup(0.5, 2.0, "speaker_1", "good morning"),
]


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_is_the_same_on_the_other_side(message: Message) -> None:
    text = dump(message)

    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert from_line(json.loads(text)) == message


def test_there_is_an_example_of_every_type() -> None:
    assert {type(message) for message in EXAMPLES} == set(TYPES.values())


@pytest.mark.parametrize(("name", "kind"), TYPES.items())
def test_a_line_says_its_type_and_then_the_fields(name: str, kind: Any) -> None:
    (message, *_) = (each for each in EXAMPLES if type(each) is kind)

    assert is_dataclass(kind)
    assert list(to_line(message)) == ["type", *(each.name for each in fields(kind))]
    assert to_line(message)["type"] == name


def test_the_lines_of_turns_and_words() -> None:
    assert dump(TURN) == (
        '{"type": "turn", "start_s": 0.5, "end_s": 2.25, "speaker": "speaker_1", '
        '"confidence": 0.91}\n'
    )
    assert dump(WORD) == (
        '{"type": "word", "start_s": 0.5, "end_s": 0.9, "text": "grüß", "speaker": null, '
        '"confidence": 1.0}\n'
    )
    assert dump(Tentative((TURN,), ())) == (
        f'{{"type": "tentative", "turns": [{dump(TURN).strip()}], "words": []}}\n'
    )


def test_numbers_are_written_with_four_decimals() -> None:
    assert rounded(Turn(1 / 3, 1, "a", 2 / 3)) == Turn(0.3333, 1.0, "a", 0.6667)


def test_an_event_has_its_own_keys() -> None:
    event = Event("device lost", 1.5, "2026-01-02T03:04:05.000+00:00", {"reason": "pulse: gone"})

    assert to_line(event) == {
        "type": "device lost",
        "at_s": 1.5,
        "utc": "2026-01-02T03:04:05.000+00:00",
        "reason": "pulse: gone",
    }


def test_keys_of_later_versions_do_not_matter() -> None:
    assert from_line({"type": "progress", "done_s": 1, "more": []}) == Progress(1.0)


@pytest.mark.parametrize(
    "line",
    [
        3,
        [],
        {},
        {"type": "start"},
        {"type": ["turn"]},
        {"type": "progress"},
        {"type": "progress", "done_s": "1"},
        {"type": "progress", "done_s": float("nan")},
        to_line(TURN) | {"speaker": None},
        to_line(WORD) | {"text": 3},
        {"type": "tentative", "turns": [to_line(WORD)], "words": [{}]},
    ],
)
def test_what_is_no_message_is_refused(line: object) -> None:
    with pytest.raises(JsonError, match="expected"):
        from_line(line)


@pytest.mark.parametrize(
    ("start_s", "end_s", "left"),
    [
        (0.0, 1.0, [(1.0, 3.0)]),
        (1.5, 2.0, [(1.0, 1.5), (2.0, 3.0)]),
        (0.0, 9.0, []),
        (3.0, 4.0, [(1.0, 3.0)]),
    ],
)
def test_turns_are_cut(start_s: float, end_s: float, left: list[tuple[float, float]]) -> None:
    turn = Turn(1.0, 3.0, "speaker_1", 0.9)

    found = forget_between([turn, End(0.5)], start_s, end_s)

    assert [(x.start_s, x.end_s) for x in found if isinstance(x, Turn)] == left
    assert End(0.5) in found


def test_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"type": "end"}\n\n{"type": "tu\xff\n[1]\n{"type": "word"}\n{"ty')

    assert log.read_lines(path) == [{"type": "end"}, {"type": "word"}]
    assert log.read_lines(tmp_path / "none") == []
