"""The command line as its user meets it: what it prints, what it leaves behind, how it ends."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

Array = NDArray[np.float32]


Command = Callable[..., Any]


def _noise(seconds: float = 3.0, rate: int = 16000, channels: int = 1) -> Array:
    shape = (round(seconds * rate), channels)
    return (0.1 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)


def _write(path: Path, samples: Array, rate: int = 16000, subtype: str = "PCM_16") -> None:
    soundfile.write(path, samples, rate, subtype=subtype, format=path.suffix[1:].upper())


def _tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    _write(path, _noise())
    return path


NO_AUDIO: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: path, "cannot be read"),
    "a folder": (Path.mkdir, "found a folder, expected an audio file"),
    "text": (lambda path: path.write_text("hello " * 1000), "not audio that can be read"),
    "an empty file": (Path.touch, "found an empty file"),
    "no samples": (lambda path: _write(path, _noise(0.0)), "holds no samples"),
    "first sample": (lambda path: _write(path, _noise() * np.nan, 16000, "FLOAT"), "sample of nan"),
}


@pytest.mark.parametrize("name", NO_AUDIO)
def test_no_audio(command: Command, tmp_path: Path, name: str) -> None:
    make, message = NO_AUDIO[name]
    make(tmp_path / "a.wav")
    voices = tmp_path / "new" / "voices"
    before = _tree(tmp_path)

    outcome = command(
        "run", tmp_path / "a.wav", "--out", tmp_path / "out.txt", "--separate", voices
    )

    outcome.failed(1, message)
    assert outcome.out == ""
    assert _tree(tmp_path) == before


def _cut(path: Path) -> None:
    _write(path, _noise())
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def _with_a(value: float) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        samples = _noise()
        samples[36_000] = value
        _write(path, samples, 16000, "FLOAT")

    return make


BROKEN: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "truncated WAV": ("a.wav", _cut, "breaks off at"),
    "truncated FLAC": ("a.flac", _cut, "breaks off at"),
    "NaN": ("a.wav", _with_a(np.nan), "found a sample of nan at 2.250 s"),
    "Inf": ("a.wav", _with_a(np.inf), "found a sample of inf at 2.250 s"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_audio_is_processed_to_the_break(
    talking: Command, tmp_path: Path, name: str
) -> None:
    file, make, message = BROKEN[name]
    make(tmp_path / file)
    out = tmp_path / "out.json"

    outcome = talking(
        "run", tmp_path / file, "--format", "json", "--out", out, "--separate", tmp_path / "voices"
    )

    outcome.failed(1, message)
    document = json.loads(out.read_text())
    assert 1.5 < document["audio"]["duration_s"] <= 2.25
    n_samples = round(document["audio"]["duration_s"] * 16000)
    assert document["sources"]
    for source in document["sources"]:
        assert abs(soundfile.info(source["path"]).frames - n_samples) <= 1  # rounded to 0.1 ms
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize(
    ("samples", "rate"),
    [
        pytest.param(_noise(3.0, 8000), 8000, id="8 kHz"),
        pytest.param(_noise(3.0, 96000), 96000, id="96 kHz"),
        pytest.param(_noise(3.0, 16000, 6), 16000, id="6 channels"),
        pytest.param(_noise() * 0, 16000, id="silence"),
        pytest.param(_noise()[:1], 16000, id="one sample"),
    ],
)
def test_unusual_audio(command: Command, tmp_path: Path, samples: Array, rate: int) -> None:
    _write(tmp_path / "a.wav", samples, rate)

    outcome = command("run", tmp_path / "a.wav", "--format", "json")

    outcome.worked()
    document = json.loads(outcome.out)
    assert document["audio"]["duration_s"] == round(len(samples) / rate, 4)
    assert document["turns"] == document["words"] == []


@pytest.mark.parametrize(
    ("option", "target"),
    [
        pytest.param("--out", "nowhere/out.txt", id="missing folder"),
        pytest.param("--out", "a.wav/out.txt", id="below a file"),
        pytest.param("--out", "voices", id="a folder"),
        pytest.param("--separate", "a.wav", id="separate: a file"),
        pytest.param("--separate", "a.wav/voices", id="separate: below a file"),
        pytest.param("--separate", "taken", id="separate: a folder of that name"),
    ],
)
def test_unwritable_output(
    command: Command, wav: Path, tmp_path: Path, option: str, target: str
) -> None:
    (tmp_path / "voices").mkdir()
    (tmp_path / "taken" / "source_2.wav").mkdir(parents=True)
    before = _tree(tmp_path)

    outcome = command("run", wav, option, tmp_path / target)

    outcome.failed(1, f"{target}.*: (cannot be|not a regular file)")
    assert outcome.out == ""
    assert _tree(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param("--threads 0", "threads: found 0, expected 1 to 256", id="threads"),
        pytest.param("--latency-s -1", "latency_s: found -1.0, expected 0 or more", id="latency"),
        pytest.param("--latency-s nan", "latency_s: found nan", id="latency nan"),
        pytest.param("--min-speakers 3 --max-speakers 2", "speakers: found 3 to 2", id="min > max"),
        pytest.param("--min-speakers 0", "speakers: found 0 to 20", id="min 0"),
        pytest.param("--max-speakers 21", "speakers: found 1 to 21", id="max 21"),
    ],
)
def test_wrong_usage(
    command: Command, wav: Path, tmp_path: Path, options: str, message: str
) -> None:
    before = _tree(tmp_path)

    outcome = command("run", wav, "--out", tmp_path / "out.txt", *options.split())

    outcome.failed(2, message)
    assert _tree(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param("fly", "argument COMMAND: invalid choice: 'fly'", id="unknown command"),
        pytest.param("run", "no recording.*see echo-edge run --help", id="no audio"),
        pytest.param("run a.wav --format pdf", "--format: invalid choice: .pdf.", id="format"),
        pytest.param("run a.wav --threads x", "--threads: invalid int value: 'x'", id="no number"),
        pytest.param("run a.wav b.wav", "no --out-dir", id="two files"),
        pytest.param("bundle fly", "argument ACTION: invalid choice: 'fly'", id="unknown action"),
    ],
)
def test_what_the_parser_refuses(command: Command, arguments: str, message: str) -> None:
    outcome = command(*arguments.split())

    outcome.failed(2, message)
    assert outcome.out == ""


class TestProcess:
    """The same in a process of its own: nothing else on stderr, and the exit code arrives."""

    def test_pcm(self, process: Command) -> None:
        outcome = process("run", "-", input=bytes(64000))

        outcome.worked()
        assert outcome.out == "(no speech found)\n"

    def test_audio_error(self, process: Command, tmp_path: Path) -> None:
        _cut(tmp_path / "a.flac")

        outcome = process("run", tmp_path / "a.flac")

        outcome.failed(1, "breaks off at")
        assert outcome.out == "(no speech found)\n"

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            pytest.param("run nothing.wav --threads 0", 1, "check the path", id="audio"),
            pytest.param("run a.wav --threads 0", 2, "threads: found 0", id="usage"),
            pytest.param("bundle verify nowhere", 3, "check the path", id="bundle"),
        ],
    )
    def test_exit_code(
        self, process: Command, wav: Path, arguments: str, code: int, message: str
    ) -> None:
        process(*arguments.split(), cwd=wav.parent).failed(code, message)

    def test_reader_that_has_had_enough(self, process: Command, wav: Path) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "wb") as closed:
            outcome = process("run", wav, stdout=closed)

        assert (outcome.code, outcome.err) == (1, "")
