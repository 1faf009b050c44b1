"""Shared by the tests of the C and C++ examples: the Python runtime's lines, comparisons with them,
and bundles that are spoilt."""

import json
import wave
from difflib import SequenceMatcher
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import echo_edge
from echo_edge.recorder.messages import rounded, to_line

Lines = dict[str, list[dict[str, Any]]]
"""JSON lines by type, in the order of `echo-edge run --format json`."""

MIN_TURNS, MIN_WORDS = 0.8, 0.5
"""Shares that are the same on another processor; without VNNI, AVX2 saturates and differs most."""


def read_lines(stdout: str) -> Lines:
    """The JSON lines that a program printed."""
    lines: Lines = {"turn": [], "word": [], "source": [], "end": []}
    for text in stdout.splitlines():
        line = json.loads(text)
        lines[line["type"]].append(line)
    return _in_order(lines)


def python_lines(bundle: Path, recording: Path, **options: Any) -> Lines:
    """The Python runtime's lines of the recording."""
    with echo_edge.load(bundle) as session:
        stream = session.stream(2.0, **options)
        results = [stream.push(_samples(recording)), stream.finish()]
    return _in_order(
        {
            "turn": [to_line(rounded(turn)) for result in results for turn in result.turns],
            "word": [to_line(rounded(word)) for result in results for word in result.words],
        }
    )


def _in_order(lines: Lines) -> Lines:
    lines["turn"].sort(key=lambda x: (x["start_s"], x["end_s"], x["speaker"]))
    lines["word"].sort(key=lambda x: (x["start_s"], x["end_s"]))
    return lines


def _samples(recording: Path) -> NDArray[np.float32]:
    with wave.open(str(recording)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return pcm.astype(np.float32) / np.float32(32768)


def first_seconds(recording: Path, seconds: int) -> bytes:
    """Raw samples of the recording's start."""
    return recording.read_bytes()[44 : 44 + 32_000 * seconds]


def assert_same(found: Lines, expected: Lines) -> None:
    """The same texts and speakers, times within a step of 40 ms."""
    for kind in ("turn", "word"):
        assert len(found[kind]) == len(expected[kind])
        for mine, theirs in zip(found[kind], expected[kind], strict=True):
            assert mine.keys() == theirs.keys()
            assert (mine.get("text"), mine["speaker"]) == (theirs.get("text"), theirs["speaker"])
            for key in ("start_s", "end_s"):
                assert mine[key] == pytest.approx(theirs[key], abs=0.0401)
            assert mine["confidence"] == pytest.approx(theirs["confidence"], abs=0.01)


def assert_similar(found: Lines, expected: Lines) -> None:
    """Most turns are equal (speaker, times within 0.2 s), and most words in order: another
    processor rounds int8 products differently, which changes some letters."""
    turns = [
        any(
            mine["speaker"] == theirs["speaker"]
            and abs(mine["start_s"] - theirs["start_s"]) <= 0.2
            and abs(mine["end_s"] - theirs["end_s"]) <= 0.2
            for mine in found["turn"]
        )
        for theirs in expected["turn"]
    ]
    words = SequenceMatcher(
        None, [x["text"] for x in found["word"]], [x["text"] for x in expected["word"]], False
    )
    assert sum(turns) / max(len(found["turn"]), len(expected["turn"])) >= MIN_TURNS
    assert words.ratio() >= MIN_WORDS


def read_manifest(bundle: Path) -> dict[str, Any]:
    """The manifest, parsed and unchecked."""
    manifest: dict[str, Any] = json.loads((bundle / "manifest.json").read_bytes())
    return manifest


def change(bundle: Path, **changes: Any) -> None:
    """Put other values into the manifest."""
    (bundle / "manifest.json").write_text(json.dumps(read_manifest(bundle) | changes))


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def replace_file(bundle: Path, name: str, data: bytes) -> None:
    """Give a file another content, with the hash of that in the manifest."""
    files = read_manifest(bundle)["files"]
    files[name] = {"sha256": sha256(data).hexdigest(), "size_bytes": len(data)}
    (bundle / name).write_bytes(data)
    change(bundle, files=files)
