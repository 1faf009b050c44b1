"""What a program does with a session: files, streams, what is closed."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import echo_edge
from echo_edge.errors import AudioError, EchoError, UsageError
from echo_edge.result import Result
from echo_edge.session import Session, load

Array = NDArray[np.float32]
Speak = Callable[[list[tuple[float, tuple[int, ...], int]]], Array]

A, B, SPACE = 2, 3, 1
TALK: list[tuple[float, tuple[int, ...], int]] = [
    (1.0, (0,), A), (0.2, (0,), SPACE), (0.8, (0,), B), (1.2, (), 0), (1.0, (1,), B),
]  # fmt: skip
ROOT = Path(__file__).parents[2]


@pytest.fixture
def talk(tmp_path: Path, spoken: Speak) -> Path:
    path = tmp_path / "talk.wav"
    soundfile.write(path, spoken(TALK), 16000, subtype="FLOAT")
    return path


class TestLoad:
    def test_looks_where_the_commands_look(
        self, null_bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ECHO_EDGE_BUNDLE", str(null_bundle))

        with echo_edge.load() as session:
            assert session.bundle.path == null_bundle

    def test_a_folder_that_is_named_comes_first(
        self, null_bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ECHO_EDGE_BUNDLE", "/nowhere")

        with load(null_bundle) as session:
            assert session.bundle.path == null_bundle


class TestTranscribe:
    @pytest.mark.parametrize("latency_s", [0.4, math.inf])
    def test_is_what_a_stream_gives(
        self, fake_session: Session, talk: Path, spoken: Speak, latency_s: float
    ) -> None:
        result = fake_session.transcribe(talk, latency_s)

        assert result == fake_session.process(spoken(TALK), latency_s)
        assert len(result.speakers) == 2
        assert result.origin.path == str(talk)
        assert result.to_rttm().startswith("SPEAKER talk 1 ")

    def test_options_are_handed_on(self, fake_session: Session, talk: Path) -> None:
        assert len(fake_session.transcribe(talk, max_speakers=1).speakers) == 1

    def test_a_channel(
        self, fake_session: Session, tmp_path: Path, talk: Path, spoken: Speak
    ) -> None:
        pcm = spoken(TALK)
        stereo = np.stack([np.zeros_like(pcm), pcm], axis=1)
        soundfile.write(tmp_path / "two.wav", stereo, 16000, subtype="FLOAT")

        result = fake_session.transcribe(tmp_path / "two.wav", channel="2")

        assert result == fake_session.transcribe(talk)

    def test_no_audio(self, fake_session: Session, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "a.wav", np.zeros(0), 16000)

        with pytest.raises(AudioError, match=r"a\.wav: holds no samples"):
            fake_session.transcribe(tmp_path / "a.wav")
        with pytest.raises(AudioError, match="cannot be read"):
            fake_session.transcribe(tmp_path / "b.wav")


class TestFeed:
    def test_gives_all_of_it(self, fake_session: Session, spoken: Speak) -> None:
        pcm = spoken(TALK)

        parts = list(fake_session.stream(0.4).feed(np.array_split(pcm, 5)))

        assert len(parts) == 6
        assert Result.joined(parts) == fake_session.process(pcm, 0.4)

    def test_what_came_before_an_error_is_kept(self, fake_session: Session, spoken: Speak) -> None:
        pcm, parts = spoken(TALK), []
        stream = fake_session.stream(0.4)

        with pytest.raises(AudioError, match="nan"):
            parts.extend(stream.feed([pcm, np.array([np.nan], np.float32)]))

        whole = Result.joined([*parts, stream.finish()])
        assert whole == fake_session.process(pcm, 0.4)


class TestTimes:
    def test_are_whole_samples(self, fake_session: Session, spoken: Speak) -> None:
        result = fake_session.process(spoken(TALK)[:-300], 0.4)

        spans = [*result.turns, *result.words, *result.exclusive_turns]
        times = [
            *(time for item in spans for time in (item.start_s, item.end_s)),
            *(speaker.speech_s for speaker in result.speakers),
        ]
        assert len(times) > 10
        assert times == [round(time * 16000) / 16000 for time in times]
        assert {type(item.confidence) for item in spans} == {float}


class TestClosed:
    @pytest.fixture
    def session(self, fake_session: Session) -> Session:
        return Session(fake_session.bundle, 1, dict(fake_session.engines))

    @pytest.mark.parametrize(
        ("verb", "use"),
        [
            ("stream", lambda session: session.stream()),
            ("stream", lambda session: session.process(np.zeros(9, np.float32))),
            ("stream", lambda session: session.transcribe("a.wav")),
            ("stream", lambda session: next(session.listen())),
            ("graph", lambda session: session.graph("encoder")),
        ],
    )
    def test_session(self, session: Session, verb: str, use: Callable[[Session], object]) -> None:
        session.close()
        session.close()

        with pytest.raises(UsageError, match=f"^{verb}: found a closed session, .*load"):
            use(session)

    def test_its_streams(self, session: Session) -> None:
        stream = session.stream()
        stream.push(np.zeros(9, np.float32))
        session.close()

        for verb, use in (("push", lambda: stream.push(np.zeros(9, np.float32))),
                          ("finish", stream.finish)):  # fmt: skip
            with pytest.raises(UsageError, match=f"^{verb}: found a closed session"):
                use()

    def test_another_one_goes_on(self, session: Session, fake_session: Session) -> None:
        stream = replace(fake_session).stream()
        session.close()

        assert stream.finish().duration_s == 0.0


def test_errors_are_of_one_kind() -> None:
    assert issubclass(AudioError, EchoError)
    assert issubclass(UsageError, EchoError)


USER = """
from collections.abc import Iterator
from typing import assert_type

import numpy as np

import echo_edge
from echo_edge import Result, Session, Turn


def names(session: Session, path: str) -> list[str]:
    result = session.transcribe(path, max_speakers=4)
    result.save("x.srt")
    assert_type(result.turns, tuple[Turn, ...])
    assert_type(session.listen(seconds=3.0), Iterator[Result])
    assert_type(session.process(np.zeros(9, np.int16)).to_rttm(), str)
    return [result.names[turn.speaker] for turn in result.turns]


with echo_edge.load() as session:
    for part in session.stream().feed(echo_edge.read_blocks("a.wav")):
        print(part.turns[0].start_s + 1)
"""
MISTAKES = {
    'session.transcribe("a.wav", speakers=3)': "call-arg",
    'session.process("a.wav")': "arg-type",
    "session.transcribe()": "call-arg",
}


@pytest.mark.slow
def test_types_reach_who_imports_the_package(tmp_path: Path) -> None:
    """As installed, with py.typed; mistakes are found where they are made, and nothing else."""
    pytest.importorskip("mypy")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    for package in (echo_edge, np):
        folder = Path(package.__file__).parent
        (site / folder.name).symlink_to(folder)
    mistakes = "".join(f"    {line}\n" for line in MISTAKES)
    (tmp_path / "user.py").write_text(f"{USER}{mistakes}")

    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull, "--config-file=",
         "--python-executable", tmp_path / "venv" / "bin" / "python", "user.py"],
        cwd=tmp_path, env={"PATH": os.environ["PATH"]},
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip

    found = [line.rsplit("[", 1)[1] for line in done.stdout.splitlines() if ": error:" in line]
    assert found == [f"{code}]" for code in MISTAKES.values()], done.stdout + done.stderr
