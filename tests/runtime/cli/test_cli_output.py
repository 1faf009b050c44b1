"""What comes out of the command: the same from stdin as from a file, readable by other programs."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import srt
import webvtt
from numpy.typing import NDArray

Spoken = Callable[..., NDArray[np.float32]]
Command = Callable[..., Any]


class TestStdin:
    @pytest.fixture
    def pcm(self, spoken: Spoken) -> bytes:
        """Not a whole number of chunks."""
        samples = spoken([(1.6, (0,), 2), (0.8, (), 0), (1.6, (1,), 3)])[:-500]
        return (samples * 32768).astype("<i2").tobytes()

    @staticmethod
    def _feed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))

    @pytest.mark.parametrize("latency", ["inf", "0.4"])
    def test_equals_the_file(
        self,
        talking: Command,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        pcm: bytes,
        latency: str,
    ) -> None:
        soundfile.write(tmp_path / "a.wav", np.frombuffer(pcm, "<i2"), 16000)
        self._feed(monkeypatch, pcm)
        options = ("--format", "json", "--latency-s", latency)

        outcomes = [talking("run", audio, *options) for audio in ("-", tmp_path / "a.wav")]

        documents = []
        for outcome in outcomes:
            outcome.worked()
            document = json.loads(outcome.out)
            del document["timing"], document["audio"]["path"]
            documents.append(document)
        assert documents[0] == documents[1]
        assert documents[0]["audio"]["duration_s"] == round(len(pcm) / 32000, 4)
        assert [word["text"] for word in documents[0]["words"]] == ["a", "b"]

    @pytest.mark.parametrize(
        ("data", "message", "out"),
        [
            pytest.param(b"", "-: holds no samples", "", id="nothing"),
            pytest.param(b"a", "found an odd number of bytes", "", id="one byte"),
            pytest.param(
                bytes(20001), "found an odd number of bytes", "(no speech found)\n", id="odd"
            ),
        ],
    )
    def test_bad_pcm(
        self,
        command: Command,
        monkeypatch: pytest.MonkeyPatch,
        data: bytes,
        message: str,
        out: str,
    ) -> None:
        self._feed(monkeypatch, data)

        outcome = command("run", "-")

        outcome.failed(1, message)
        assert outcome.out == out


class TestFormats:
    """What comes out of the command, read by other programs' parsers."""

    @pytest.fixture
    def talk(self, tmp_path: Path, spoken: Spoken) -> Path:
        path = tmp_path / "talk.wav"
        soundfile.write(path, spoken([(2.0, (0,), 2), (2.0, (), 0), (2.0, (1,), 3)]), 16000)
        return path

    @pytest.fixture(params=["stdout", "file"])
    def rendered(
        self, request: pytest.FixtureRequest, talking: Command, talk: Path
    ) -> Callable[[str], str]:
        def render(name: str) -> str:
            out = talk.with_name("out")
            options = ("--out", out) if request.param == "file" else ()
            outcome = talking("run", talk, "--format", name, *options)
            outcome.worked()
            return out.read_text() if options else outcome.out

        return render

    def test_txt(self, rendered: Callable[[str], str]) -> None:
        first, second = rendered("txt").splitlines()
        assert re.fullmatch(r"\[00:00:0\d\.\d - 00:00:0\d\.\d\] speaker_1: a", first)
        assert re.fullmatch(r"\[00:00:0\d\.\d - 00:00:0\d\.\d\] speaker_2: b", second)

    def test_json(self, rendered: Callable[[str], str]) -> None:
        document = json.loads(rendered("json"))
        assert document["schema"] == "echo-edge.result/1"
        assert document["speaker_count"]["value"] == 2
        assert document["audio"]["duration_s"] == 6.0
        assert re.fullmatch(r"[0-9a-f]{64}", document["bundle"]["sha256"])

    def test_rttm(self, rendered: Callable[[str], str]) -> None:
        rows = [line.split() for line in rendered("rttm").splitlines()]
        assert [(row[0], row[1], row[7], len(row)) for row in rows] == [
            ("SPEAKER", "talk", "speaker_1", 10),
            ("SPEAKER", "talk", "speaker_2", 10),
        ]
        assert all(0.0 <= float(row[3]) < 6.0 for row in rows)

    def test_ctm(self, rendered: Callable[[str], str]) -> None:
        rows = [line.split() for line in rendered("ctm").splitlines()]
        assert [(row[0], row[4], len(row)) for row in rows] == [("talk", "a", 6), ("talk", "b", 6)]

    def test_srt(self, rendered: Callable[[str], str]) -> None:
        cues = list(srt.parse(rendered("srt")))
        assert [cue.content for cue in cues] == ["speaker_1: a", "speaker_2: b"]

    def test_vtt(self, rendered: Callable[[str], str]) -> None:
        cues = list(webvtt.from_string(rendered("vtt")))
        assert [(cue.voice, cue.text) for cue in cues] == [("speaker_1", "a"), ("speaker_2", "b")]
