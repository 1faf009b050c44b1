import json
import math
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import srt
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from echo_edge.errors import UsageError
from echo_edge.files import save
from echo_edge.result import Result, Source, Speaker, SpeakerCount, Turn, Word
from echo_edge.writers.formats import (
    FORMAT_NAMES,
    AudioInfo,
    BundleInfo,
    Timing,
    render,
    to_ctm,
    to_json,
    to_rttm,
    to_srt,
    to_txt,
    to_vtt,
)

AUDIO = AudioInfo("/tmp/a b/my talk.wav", 12.5, 16000)  # noqa: S108 - only a name
BUNDLE = BundleInfo("tiny", "1.0", "null", "float32", "f" * 64)
TIMING = Timing(0.123456, 1.5)
TALK = Result(
    turns=(Turn(1.2, 4.8, "speaker_1", 0.91), Turn(4.0, 6.5, "speaker_2", 0.8)),
    words=(
        Word(1.25, 1.5, "hello", "speaker_1", 0.9),
        Word(1.5, 2.0, "there", "speaker_1", 0.95),
        Word(3.0, 3.4, "again", "speaker_1", 0.5),
        Word(9.0, 9.5, "huh", None, 0.4),
    ),
    duration_s=12.5,
    speakers=(Speaker("speaker_1", None, 3.6), Speaker("speaker_2", "Ana Li", 2.5)),
    speaker_count=SpeakerCount(2, 0.75),
    sources=(Source("out/speaker_1.wav", "speaker_2", "Ana Li"), Source("out/source_2.wav", None)),
)
NO_WORDS = Result(turns=TALK.turns)


def _render(result: Result, name: str) -> str:
    return render(result, name, audio=AUDIO, bundle=BUNDLE, timing=TIMING)


def test_txt() -> None:
    assert to_txt(TALK) == (
        "[00:00:01.2 - 00:00:02.0] speaker_1: hello there\n"
        "[00:00:03.0 - 00:00:03.4] speaker_1: again\n"
        "[00:00:04.0 - 00:00:06.5] Ana Li: (no words)\n"
        "[00:00:09.0 - 00:00:09.5] ?: huh\n"
    )


def test_rttm() -> None:
    assert _render(TALK, "rttm") == (
        "SPEAKER my_talk 1 1.200 3.600 <NA> <NA> speaker_1 <NA> <NA>\n"
        "SPEAKER my_talk 1 4.000 2.500 <NA> <NA> Ana_Li <NA> <NA>\n"
    )


def test_ctm() -> None:
    assert _render(TALK, "ctm").splitlines()[:2] == [
        "my_talk 1 1.250 0.250 hello 0.900",
        "my_talk 1 1.500 0.500 there 0.950",
    ]


def test_json_is_the_schema() -> None:
    document = json.loads(_render(TALK, "json"))

    assert document == {
        "schema": "echo-edge.result/1",
        "audio": {"path": AUDIO.path, "duration_s": 12.5, "sample_rate": 16000},
        "bundle": {
            "name": "tiny",
            "version": "1.0",
            "engine": "null",
            "recipe": "float32",
            "sha256": "f" * 64,
        },
        "speakers": [
            {"id": "speaker_1", "name": None, "speech_s": 3.6},
            {"id": "speaker_2", "name": "Ana Li", "speech_s": 2.5},
        ],
        "speaker_count": {"value": 2, "confidence": 0.75},
        "turns": [
            {"start_s": 1.2, "end_s": 4.8, "speaker": "speaker_1", "confidence": 0.91},
            {"start_s": 4.0, "end_s": 6.5, "speaker": "speaker_2", "confidence": 0.8},
        ],
        "words": [
            {
                "start_s": word.start_s,
                "end_s": word.end_s,
                "text": word.text,
                "speaker": word.speaker,
                "confidence": word.confidence,
            }
            for word in TALK.words
        ],
        "sources": [
            {"path": "out/speaker_1.wav", "speaker": "speaker_2", "name": "Ana Li"},
            {"path": "out/source_2.wav", "speaker": None, "name": None},
        ],
        "timing": {"rtf": 0.1235, "wall_s": 1.5},
    }


def test_json_takes_numpy_numbers() -> None:
    turn = Turn(np.float32(0.1), np.float64(0.2), "speaker_1", np.float32(0.9))
    result = Result(turns=(turn,), speaker_count=SpeakerCount(np.int64(1), 1.0))

    document = json.loads(to_json(result, audio=AUDIO, bundle=BUNDLE, timing=Timing(None, 0.0)))

    assert document["turns"][0]["start_s"] == 0.1
    assert document["speaker_count"]["value"] == 1
    assert document["timing"]["rtf"] is None


def test_srt() -> None:
    cues = list(srt.parse(to_srt(TALK)))

    assert [cue.content for cue in cues] == ["speaker_1: hello there", "speaker_1: again", "?: huh"]
    assert cues[0].start == timedelta(seconds=1.25)
    assert cues[0].end == timedelta(seconds=2)
    assert [cue.index for cue in cues] == [1, 2, 3]


def test_vtt() -> None:
    cues = list(webvtt.from_string(to_vtt(TALK)))

    assert [(cue.voice, cue.text) for cue in cues] == [
        ("speaker_1", "hello there"),
        ("speaker_1", "again"),
        ("?", "huh"),
    ]
    assert (cues[0].start, cues[0].end) == ("00:00:01.250", "00:00:02.000")


def test_cues_of_words_that_overlap_are_whole() -> None:
    """Two talk at once: each has one cue, not one per word."""
    said = [(1.0, "she"), (1.1, "he"), (1.4, "says"), (1.5, "asks"), (2.2, "why"), (1.9, "yes")]
    speakers = ["speaker_1", "speaker_2"] * 3
    words = [
        Word(start_s, start_s + 0.35, text, speaker, 0.9)
        for (start_s, text), speaker in zip(said, speakers, strict=True)
    ]
    result = Result(words=(*words, Word(3.0, 3.2, "so", "speaker_2", 0.9)))

    assert [cue.content for cue in srt.parse(to_srt(result))] == [
        "speaker_1: she says why",
        "speaker_2: he asks yes so",
    ]
    ctm = [line.split()[4] for line in to_ctm(result, "a").splitlines()]
    assert ctm == ["she", "he", "says", "asks", "yes", "why", "so"]


def test_subtitles_without_words_show_speech() -> None:
    assert [cue.content for cue in srt.parse(to_srt(NO_WORDS))] == [
        "speaker_1: [speech]",
        "speaker_2: [speech]",
    ]
    assert [cue.text for cue in webvtt.from_string(to_vtt(NO_WORDS))] == ["[speech]"] * 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("txt", "(no speech found)\n"),
        ("rttm", ""),
        ("ctm", ""),
        ("srt", ""),
        ("vtt", "WEBVTT\n"),
    ],
)
def test_empty_result(name: str, text: str) -> None:
    assert _render(Result(), name) == text


def test_empty_result_as_json() -> None:
    document = json.loads(_render(Result(), "json"))

    assert document["turns"] == document["words"] == document["sources"] == []


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        ([(0, 1, "a", "s"), (1.8, 2, "b", "s")], ["a b"]),
        ([(0, 1, "a", "s"), (1.81, 2, "b", "s")], ["a", "b"]),
        ([(0, 1, "a", "s"), (1, 2, "b", "t")], ["a", "b"]),
        ([(0, 3, "a", "s"), (3, 6, "b", "s"), (6, 6.1, "c", "s")], ["a b", "c"]),
        ([(0, 1, "a" * 42, "s"), (1, 2, "b" * 41, "s")], ["a" * 42 + " " + "b" * 41]),
        ([(0, 1, "a" * 42, "s"), (1, 2, "b" * 42, "s")], ["a" * 42, "b" * 42]),
        ([(0, 1, "a" * 200, "s")], ["a" * 200]),
        ([(1, 2, "b", "s"), (0, 1, "a", "s")], ["a b"]),
    ],
    ids=["gap", "long gap", "speaker", "6 s", "84 characters", "85 characters", "one", "order"],
)
def test_grouping(words: list[tuple[float, float, str, str]], texts: list[str]) -> None:
    result = Result(words=tuple(Word(*word, 1.0) for word in words))

    assert [cue.text for cue in webvtt.from_string(to_vtt(result))] == texts


@pytest.mark.parametrize(
    "text", ["<b>", "a --> b", "&amp;", "R&D", "a\n\nb", "1", "<v x>", "\u2028"]
)
def test_text_cannot_break_subtitles(text: str) -> None:
    hostile = Turn(0.0, 1.0, f"x>{text}", 1.0)
    words = (Word(0.0, 1.0, text, f"x>{text}", 1.0), Word(5.0, 6.0, "after", "s", 1.0))
    result = Result(turns=(hostile,), words=words)

    assert len(list(srt.parse(to_srt(result)))) == 2
    cues = list(webvtt.from_string(to_vtt(result)))
    assert [cue.text for cue in cues[1:]] == ["after"]
    assert "-->" not in to_vtt(result).split("\n")[3]


def test_columns_stay_columns() -> None:
    result = Result(
        turns=(Turn(0.0, 1.0, "Ana Maria", 1.0),), words=(Word(0.0, 1.0, "a\tb", None, 1.0),)
    )

    rttm = "SPEAKER my_talk 1 0.000 1.000 <NA> <NA> Ana_Maria <NA> <NA>\n"
    assert to_rttm(result, "my\ntalk") == rttm
    assert to_ctm(result, "") == "<NA> 1 0.000 1.000 a_b 1.000\n"


def test_long_recordings_have_long_hours() -> None:
    result = Result(words=(Word(360_000.0, 360_000.5, "late", "s", 1.0),))

    assert "100:00:00.0 - 100:00:00.5" in to_txt(result)
    assert next(iter(srt.parse(to_srt(result)))).start == timedelta(hours=100)
    assert "100:00:00.000 --> 100:00:00.500" in to_vtt(result)


@pytest.mark.parametrize("name", FORMAT_NAMES)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_not_finite_is_a_bug(name: str, value: float) -> None:
    result = Result(turns=(Turn(0.0, value, "s", 1.0),), words=(Word(0.0, value, "a", "s", 1.0),))

    with pytest.raises(ValueError, match=r"finite|not JSON compliant"):
        _render(result, name)


def test_unknown_format() -> None:
    with pytest.raises(UsageError, match="found 'docx', expected one of txt, json"):
        _render(TALK, "docx")


times = st.floats(0, 1e6).flatmap(lambda t: st.tuples(st.just(t), st.floats(t, t + 20)))
speakers = st.sampled_from(["speaker_1", "speaker_2"])
turns = st.builds(lambda t, s: Turn(*t, s, 0.5), times, speakers)
words = st.builds(
    lambda t, x, s: Word(*t, x, s, 0.5), times, st.text("ab<>&-\n'", min_size=1), speakers
)
results = st.builds(
    lambda t, w: Result(turns=tuple(t), words=tuple(w)), st.lists(turns), st.lists(words)
)


def _parsed(kind: Any, text: str) -> list[Any]:
    """The lines of a file as meeteval reads them; it reads no empty file."""
    return list(kind.parse(text)) if text else []


@given(results)
def test_any_result_parses_in_order(result: Result) -> None:
    meeteval = pytest.importorskip("meeteval", reason="needs echo-edge[eval]")
    subtitles = list(srt.parse(to_srt(result)))
    starts = [cue.start for cue in subtitles]
    assert starts == sorted(starts)
    assert all(cue.end > cue.start for cue in subtitles)
    assert len(webvtt.from_string(to_vtt(result))) == len(subtitles)
    turns = _parsed(meeteval.io.RTTM, to_rttm(result, "x"))
    assert all(turn.duration > 0 for turn in turns)
    assert [turn.begin_time for turn in turns] == sorted(turn.begin_time for turn in turns)
    assert len(turns) == len(result.turns)
    words = _parsed(meeteval.io.CTM, to_ctm(result, "x"))
    assert all(word.duration >= 0 and 0 <= float(word.confidence) <= 1 for word in words)
    assert [word.begin_time for word in words] == sorted(word.begin_time for word in words)
    assert len(words) == len(result.words)
    n_lines = to_txt(result).count("\n")
    assert n_lines <= max(1, len(result.words) + len(result.turns))


def test_takes_names_that_are_not_utf8(tmp_path: Path) -> None:
    audio = AudioInfo(os.fsdecode(b"caf\xe9.wav"), 1.0, 16000)

    for name in FORMAT_NAMES:
        text = render(TALK, name, audio=audio, bundle=BUNDLE, timing=TIMING)
        save(text, tmp_path / name)

    assert json.loads((tmp_path / "json").read_text())["audio"]["path"] == audio.path
