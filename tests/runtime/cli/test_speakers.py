"""`echo-edge speakers`, and names in what `run` and `record` write."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import webvtt
from numpy.typing import NDArray

from echo_edge.cli import speakers as speakers_cli
from echo_edge.recorder import log
from echo_edge.recorder.messages import Line, SpeakerName, WordGroup, to_line
from echo_edge.recorder.recordings import new_recording
from echo_edge.recorder.recover import recover
from echo_edge.recorder.segments import SegmentWriter, segments
from echo_edge.recorder.transcribe import Options, follow
from echo_edge.recorder.view import TerminalView
from echo_edge.session import Session
from echo_edge.speakers.store import read_voices, update_voices
from echo_edge.voices import Voiceprint
from tests.runtime.recording import about

Array = NDArray[np.float32]
Command = Callable[..., Any]
Spoken = Callable[..., Array]

A, B, C = 2, 3, 4
ADA = [(8.0, (0,), A)]
BERT = [(8.0, (1,), B)]
MEETING = [(4.0, (1,), B), (0.6, (), 1), (4.0, (0,), A), (0.6, (), 1), (5.0, (2,), C)]
CONVERSATION = Path(__file__).parents[3] / "demo" / "conversation.flac"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "kept" / "voices.json"
    monkeypatch.setenv("ECHO_EDGE_VOICES", str(path))
    return path


@pytest.fixture
def speakers(
    talking: Command,
    kept: Path,  # noqa: ARG001 - where it looks
    fake_session: Session,
    monkeypatch: pytest.MonkeyPatch,
) -> Command:
    """The command with the pretend model; voices are kept in a new place of its own."""
    monkeypatch.setattr(speakers_cli, "load", lambda *_: fake_session)
    return talking


@pytest.fixture
def record(tmp_path: Path, spoken: Spoken) -> Callable[..., Path]:
    """A recording in which this is said."""

    def write(name: str, said: object) -> Path:
        path = tmp_path / name
        soundfile.write(path, spoken(said), 16000, subtype="PCM_16")
        return path

    return write


def _people(path: Path) -> list[str]:
    return [voice.name for voice in read_voices(path).people]


class TestSpeakers:
    def test_enrol_then_recognise(
        self, speakers: Command, kept: Path, record: Callable[..., Path]
    ) -> None:
        outcome = speakers("speakers", "enrol", "Ada Li", record("ada.wav", ADA))
        outcome.worked()
        assert outcome.out == "Ada Li: 8.0 s of speech learned, 8.0 s in all\n"

        outcome = speakers("run", record("meeting.wav", MEETING), "--format", "rttm")

        outcome.worked()
        assert [line.split()[7] for line in outcome.out.splitlines()] == [
            "speaker_1", "Ada_Li", "speaker_3",
        ]  # fmt: skip
        assert kept.exists()

    def test_in_every_format(
        self, speakers: Command, record: Callable[..., Path], tmp_path: Path
    ) -> None:
        speakers("speakers", "enrol", "Zoë", record("ada.wav", ADA))
        meeting = record("meeting.wav", MEETING)

        text = speakers("run", meeting).out
        srt = speakers("run", meeting, "--format", "srt").out
        speakers("run", meeting, "--format", "vtt", "--out", tmp_path / "a.vtt")
        document = json.loads(speakers("run", meeting, "--format", "json").out)

        assert "] Zoë: a\n" in text
        assert "\nZoë: a\n" in srt
        assert [cue.voice for cue in webvtt.read(str(tmp_path / "a.vtt"))] == [
            "speaker_1", "Zoë", "speaker_3",
        ]  # fmt: skip
        assert [(s["id"], s["name"]) for s in document["speakers"]] == [
            ("speaker_1", None), ("speaker_2", "Zoë"), ("speaker_3", None),
        ]  # fmt: skip
        assert {turn["speaker"] for turn in document["turns"]} == {
            "speaker_1", "speaker_2", "speaker_3",
        }  # fmt: skip

    def test_separated_sources_have_names(
        self, speakers: Command, record: Callable[..., Path], tmp_path: Path
    ) -> None:
        speakers("speakers", "enrol", "Ada", record("ada.wav", ADA))
        meeting = record("meeting.wav", MEETING)

        outcome = speakers("run", meeting, "--format", "json", "--separate", tmp_path / "out")

        sources = json.loads(outcome.out)["sources"]
        assert {(each["speaker"], each["name"]) for each in sources} == {
            ("speaker_1", None), ("speaker_2", "Ada"), ("speaker_3", None),
        }  # fmt: skip

    def test_named_from_a_result(
        self, speakers: Command, record: Callable[..., Path], tmp_path: Path
    ) -> None:
        meeting, result = record("meeting.wav", MEETING), tmp_path / "meeting.json"
        speakers("run", meeting, "--format", "json", "--out", result)

        speakers("speakers", "name", "Bert", "--from", result, "--speaker", "speaker_1").worked()

        document = json.loads(speakers("run", meeting, "--format", "json").out)
        assert [s["name"] for s in document["speakers"]] == ["Bert", None, None]

    def test_audio_moved_since(
        self, speakers: Command, kept: Path, record: Callable[..., Path], tmp_path: Path
    ) -> None:
        meeting, result = record("meeting.wav", MEETING), tmp_path / "meeting.json"
        speakers("run", meeting, "--format", "json", "--out", result)
        moved = meeting.rename(tmp_path / "moved.wav")
        name = ("speakers", "name", "Bert", "--from", result, "--speaker", "speaker_1")

        speakers(*name).failed(1, "found no audio of .*say where it is")
        assert not kept.exists()
        speakers(*name, "--audio", moved).worked()

    def test_list(self, speakers: Command, kept: Path, record: Callable[..., Path]) -> None:
        empty = speakers("speakers", "list")
        assert (empty.code, empty.out) == (0, "")
        assert empty.err == f"nobody is known in {kept}\n"
        speakers("speakers", "enrol", "Bert", record("bert.wav", BERT))
        speakers("speakers", "enrol", "Ada", record("ada.wav", ADA))

        plain, document = (
            speakers("speakers", "list").out,
            json.loads(speakers("speakers", "list", "--json").out),
        )

        assert plain == "Ada  (8.0 s)\nBert  (8.0 s)\n"
        assert document["people"] == [
            {"name": "Ada", "speech_s": 8.0}, {"name": "Bert", "speech_s": 8.0},
        ]  # fmt: skip
        assert document["file"] == str(kept)

    def test_rename_merge_forget(
        self, speakers: Command, kept: Path, record: Callable[..., Path]
    ) -> None:
        speakers("speakers", "enrol", "Bert", record("bert.wav", BERT))
        speakers("speakers", "enrol", "Ada", record("ada.wav", ADA))

        speakers("speakers", "rename", "Ada", "Ada Li").worked()
        assert _people(kept) == ["Ada Li", "Bert"]
        speakers("speakers", "merge", "bert", "ada li").worked()
        assert _people(kept) == ["Ada Li"]
        speakers("speakers", "forget", "Ada Li").worked()
        assert _people(kept) == []
        speakers("speakers", "forget", "Ada Li").failed(2, "is not known, expected one of: nobody")

    @pytest.mark.parametrize("name", ["a/b", "two\nlines", "speaker_1", ""])
    def test_no_name(
        self, speakers: Command, kept: Path, record: Callable[..., Path], name: str
    ) -> None:
        speakers("speakers", "enrol", name, record("ada.wav", ADA)).failed(2, "name: found")

        assert not kept.exists()

    @pytest.mark.parametrize(
        ("said", "message"),
        [
            ([(2.0, (0,), A)], r"found 2\.0 s of speech, expected 3 s at least"),
            ([(5.0, (), 1)], r"found 0\.0 s of speech"),
            (MEETING, r"found 3 voices \(.*expected one person alone"),
        ],
    )
    def test_not_one_person(
        self,
        speakers: Command,
        kept: Path,
        record: Callable[..., Path],
        said: object,
        message: str,
    ) -> None:
        speakers("speakers", "enrol", "Ada", record("a.wav", said)).failed(1, message)

        assert not kept.exists()

    def test_warned_of_mistakes(self, speakers: Command, record: Callable[..., Path]) -> None:
        ada, bert = record("ada.wav", ADA), record("bert.wav", BERT)
        speakers("speakers", "enrol", "Ada", ada)

        twin = speakers("speakers", "enrol", "Twin", ada)
        other = speakers("speakers", "enrol", "ada", bert)

        assert (twin.code, other.code) == (0, 0)
        assert twin.err == "echo-edge: warning: sounds like Ada too (1.00): they may be confused\n"
        assert other.err.startswith(
            "echo-edge: warning: this speech is unlike what is known of Ada"
        )

    @pytest.mark.parametrize("label", ["speaker_9", "S1"])
    def test_no_such_speaker(
        self,
        speakers: Command,
        record: Callable[..., Path],
        tmp_path: Path,
        label: str,
    ) -> None:
        result = tmp_path / "a.json"
        speakers("run", record("m.wav", MEETING), "--format", "json", "--out", result)

        speakers("speakers", "name", "X", "--from", result, "--speaker", label).failed(
            2, "expected one of: speaker_1, speaker_2, speaker_3"
        )

    @pytest.mark.parametrize(
        "content",
        [b"", b"{}", b"[]", b'{"schema": "echo-edge.result/1", "turns": 3}', b"RIFF....",
         b'{"schema": "echo-edge.result/2", "audio": {"path": "a"}, "turns": []}',
         b'{"schema": "echo-edge.result/1", "audio": {"path": 1}, "turns": []}',
         b'{"schema": "echo-edge.result/1", "audio": {"path": "a"}, "turns": '
         b'[{"start_s": 0, "end_s": 1, "speaker": 1}]}',
         b'{"schema": "echo-edge.result/1", "audio": {"path": "a"}, "turns": '
         b'[{"start_s": 2, "end_s": 1, "speaker": "a"}]}'],
    )  # fmt: skip
    def test_no_result(self, speakers: Command, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.json").write_bytes(content)

        for path in (tmp_path / "a.json", tmp_path / "none.json"):
            speakers("speakers", "name", "X", "--from", path, "--speaker", "speaker_1").failed(
                2, "found no result, expected"
            )
        speakers("speakers", "name", "X", "--from", tmp_path, "--speaker", "speaker_1").failed(
            1, "found no session.json"
        )


class TestRun:
    def test_no_voices(self, speakers: Command, record: Callable[..., Path]) -> None:
        speakers("speakers", "enrol", "Ada", record("ada.wav", ADA))

        outcome = speakers("run", record("m.wav", MEETING), "--no-voices")

        assert "Ada" not in outcome.out
        assert "speaker_2" in outcome.out

    def test_a_file_that_is_named(
        self, speakers: Command, kept: Path, record: Callable[..., Path], tmp_path: Path
    ) -> None:
        elsewhere = tmp_path / "team.json"
        speakers("speakers", "enrol", "Ada", record("ada.wav", ADA), "--voices", elsewhere)
        meeting = record("m.wav", MEETING)

        assert not kept.exists()
        assert "Ada" not in speakers("run", meeting).out
        assert "Ada" in speakers("run", meeting, "--voices", elsewhere).out
        speakers("run", meeting, "--voices", tmp_path / "none.json").failed(1, "cannot be read")

    def test_a_damaged_file_is_refused_and_left(
        self, speakers: Command, kept: Path, record: Callable[..., Path]
    ) -> None:
        speakers("speakers", "enrol", "Ada", record("ada.wav", ADA))
        kept.write_bytes(kept.read_bytes()[:-30])
        before = kept.read_bytes()

        for arguments in (
            ("run", record("m.wav", MEETING)),
            ("speakers", "list"),
            ("speakers", "enrol", "Bert", record("bert.wav", BERT)),
            ("speakers", "forget", "Ada"),
        ):
            speakers(*arguments).failed(1, "no JSON in UTF-8.*left as it is")
        assert kept.read_bytes() == before

    def test_voices_of_another_checkpoint(
        self, speakers: Command, kept: Path, record: Callable[..., Path]
    ) -> None:
        foreign = Voiceprint.from_vector(np.ones(6, np.float32), 9.0, "e" * 64)
        update_voices(kept, lambda voices: voices.learn("Ada", foreign))

        for arguments in (
            ("run", record("m.wav", MEETING)),
            ("speakers", "enrol", "Bert", record("bert.wav", BERT)),
        ):
            speakers(*arguments).failed(1, f"{kept}: found voices that checkpoint eeeeeeeeeeee")
        assert _people(kept) == ["Ada"]

    def test_exclusive(self, speakers: Command, record: Callable[..., Path]) -> None:
        meeting = record("m.wav", [(2.0, (0,), A), (0.4, (0, 1), B), (2.0, (1,), C)])

        outcome = speakers("run", meeting, "--format", "json", "--exclusive")

        turns = json.loads(outcome.out)["turns"]
        assert [turn["speaker"] for turn in turns] == ["speaker_1", "speaker_2"]
        assert turns[0]["end_s"] <= turns[1]["start_s"]


class TestRecorder:
    @pytest.fixture
    def meeting(self, spoken: Spoken) -> NDArray[np.int16]:
        return np.rint(spoken(MEETING) * 32768).astype(np.int16)

    @pytest.fixture
    def options(self, speakers: Command, kept: Path, record: Callable[..., Path]) -> Options:
        speakers("speakers", "enrol", "Ada", record("ada.wav", ADA))
        return Options(latency_s=0.4, voices=str(kept))

    @staticmethod
    def _session(tmp_path: Path, options: Options) -> Path:
        return new_recording(tmp_path / "out", about(options=options), datetime.now(UTC))

    @staticmethod
    def _commands(
        folder: Path, audio: NDArray[np.int16], said: tuple[str, ...] = ()
    ) -> Iterator[str | None]:
        writer = SegmentWriter(folder, 40_000)
        for piece in np.array_split(audio, 50):
            writer.write(piece)
            yield None
        writer.close()
        yield from (None for _ in range(50))
        yield from said
        yield "stop"
        while True:
            yield None

    def _record(
        self,
        tmp_path: Path,
        session: Session,
        options: Options,
        audio: NDArray[np.int16],
        said: tuple[str, ...] = (),
    ) -> tuple[Path, list[Line]]:
        (tmp_path / "out").mkdir()
        folder, reported = self._session(tmp_path, options), list[Line]()
        commands = self._commands(folder, audio, said)
        assert follow(
            folder, session, options, commands, lambda message: reported.append(to_line(message))
        )
        return folder, reported

    def test_names_live_and_in_the_results(
        self,
        tmp_path: Path,
        fake_session: Session,
        options: Options,
        meeting: NDArray[np.int16],
    ) -> None:
        folder, reported = self._record(tmp_path, fake_session, options, meeting)

        line = {"type": "speaker", "speaker": "speaker_2", "name": "Ada"}
        assert reported.count(line) == 1
        assert log.read_lines(folder / log.RESULTS).count(line) == 1
        document = json.loads((folder / "result.json").read_bytes())
        assert [s["name"] for s in document["speakers"]] == [None, "Ada", None]
        assert " Ada <NA>" in (folder / "result.rttm").read_text()
        assert "<v Ada>" in (folder / "result.vtt").read_text()

    def test_recovered_is_the_same(
        self,
        tmp_path: Path,
        fake_session: Session,
        options: Options,
        meeting: NDArray[np.int16],
    ) -> None:
        folder, _ = self._record(tmp_path, fake_session, options, meeting)
        before = [(folder / f"result.{kind}").read_bytes() for kind in ("rttm", "vtt")]
        (folder / "result.json").unlink()

        assert recover(folder, lambda _: fake_session, lambda _: None) == 1

        assert [(folder / f"result.{kind}").read_bytes() for kind in ("rttm", "vtt")] == before

    def test_recovered_with_those_who_are_known_now(
        self,
        speakers: Command,
        kept: Path,
        tmp_path: Path,
        fake_session: Session,
        monkeypatch: pytest.MonkeyPatch,
        record: Callable[..., Path],
        meeting: NDArray[np.int16],
    ) -> None:
        folder, _ = self._record(tmp_path, fake_session, Options(latency_s=0.4), meeting)
        speakers("speakers", "enrol", "Ada", record("ada.wav", ADA))
        monkeypatch.setattr("echo_edge.cli.record.load", lambda *_: fake_session)
        names = []
        for more in ((), ("--voices", kept), (), ("--no-voices",)):
            (folder / "result.json").unlink()
            speakers("record", "--recover", folder, "--quiet", *more).worked()
            document = json.loads((folder / "result.json").read_bytes())
            names.append([s["name"] for s in document["speakers"]][1])

        assert names == [None, "Ada", None, None]

    def test_whoever_is_deleted_leaves_no_name(
        self,
        tmp_path: Path,
        fake_session: Session,
        options: Options,
        meeting: NDArray[np.int16],
    ) -> None:
        """Speaker 2 talks from 4.6 to 8.6 s."""
        forget = f"forget {round(4.4 * 16000)} {round(8.8 * 16000)}"

        folder, reported = self._record(tmp_path, fake_session, options, meeting, (forget,))

        assert any(line.get("name") == "Ada" for line in reported)
        left = b"".join(path.read_bytes() for path in folder.glob("result*"))
        assert b"Ada" not in left
        assert b"speaker_3" in left

    @pytest.mark.parametrize("damage", ["gone", "damaged", "another checkpoint"])
    def test_results_matter_more_than_names(
        self,
        tmp_path: Path,
        fake_session: Session,
        options: Options,
        meeting: NDArray[np.int16],
        kept: Path,
        damage: str,
    ) -> None:
        if damage == "gone":
            kept.unlink()
        elif damage == "damaged":
            kept.write_text("{")
        else:
            document = json.loads(kept.read_text())
            kept.write_text(json.dumps(document | {"checkpoint_sha256": "e" * 64}))

        folder, reported = self._record(tmp_path, fake_session, options, meeting)

        (notice,) = (line for line in reported if line["type"] == "nobody by name")
        assert str(kept) in notice["message"]
        document = json.loads((folder / "result.json").read_bytes())
        assert [s["name"] for s in document["speakers"]] == [None, None, None]

    def test_a_speaker_of_a_session_is_named(
        self,
        speakers: Command,
        kept: Path,
        tmp_path: Path,
        fake_session: Session,
        meeting: NDArray[np.int16],
    ) -> None:
        folder, _ = self._record(tmp_path, fake_session, Options(latency_s=0.4), meeting)

        for recording, name in ((folder, "Bert"), (folder / "result.json", "bert")):
            speakers(
                "speakers", "name", name, "--from", recording, "--speaker", "speaker_1"
            ).worked()

        assert _people(kept) == ["Bert"]
        for segment in segments(folder):
            segment.path.unlink()
        speakers("speakers", "name", "X", "--from", folder, "--speaker", "speaker_1").failed(
            1, "found none of the audio in which speaker_1 speaks"
        )

    def test_the_view_shows_names_from_then_on(self, capsys: pytest.CaptureFixture[str]) -> None:
        view = TerminalView()
        words = WordGroup(1.0, 2.0, "speaker_1", "a")

        view.show(words)
        view.show(SpeakerName("speaker_1", "Ada"))
        view.show(words)
        view.show(replace(words, speaker=None))

        assert capsys.readouterr().out == (
            "[00:00:01] speaker_1: a\n[00:00:01] Ada: a\n[00:00:01] ?: a\n"
        )


class TestRecordCommand:
    def _options(self, out: Path) -> dict[str, Any]:
        (folder,) = (path for path in out.iterdir() if path.is_dir())
        options: dict[str, Any] = json.loads((folder / "session.json").read_bytes())["options"]
        return options

    @pytest.mark.parametrize("asked", [True, False])
    def test_which_voices(
        self,
        speakers: Command,
        kept: Path,
        record: Callable[..., Path],
        tmp_path: Path,
        asked: bool,
    ) -> None:
        ada = record("ada.wav", ADA)
        speakers("speakers", "enrol", "Ada", ada)
        more = () if asked else ("--no-voices",)

        speakers(
            "record", "--wav", ada, "--pace", 0, "--audio-only", "--out", tmp_path / "o", *more
        )

        assert self._options(tmp_path / "o")["voices"] == (str(kept) if asked else None)

    def test_a_named_file_must_be_right(
        self, speakers: Command, record: Callable[..., Path], tmp_path: Path
    ) -> None:
        ada, out = record("ada.wav", ADA), tmp_path / "o"

        speakers("record", "--wav", ada, "--out", out, "--voices", tmp_path / "none.json").failed(
            1, "cannot be read"
        )

        assert not out.exists()


def test_with_the_bundle_that_ships(
    command: Command, default_bundle: Path, kept: Path, tmp_path: Path
) -> None:
    """Enrolled from the first half of the demonstration, recognised in the second."""
    pcm, rate = soundfile.read(CONVERSATION, dtype="int16")
    half = len(pcm) // 2
    soundfile.write(tmp_path / "first.wav", pcm[:half], rate)
    soundfile.write(tmp_path / "second.wav", pcm[half:], rate)

    def run(name: str) -> list[dict[str, Any]]:
        result, audio = tmp_path / f"{name}.json", tmp_path / f"{name}.wav"
        options = ("--bundle", default_bundle, "--format", "json", "--out", result)
        options += ("--latency-s", "inf")  # at the end, when a voice is known best
        command("run", audio, *options).worked()
        found: list[dict[str, Any]] = json.loads(result.read_bytes())["speakers"]
        return found

    before = run("first")
    assert len(before) >= 2
    most = max(before, key=lambda speaker: speaker["speech_s"])["id"]
    command(
        "speakers", "name", "Ada", "--from", tmp_path / "first.json", "--speaker", most,
        "--bundle", default_bundle,
    ).worked()  # fmt: skip

    after = [speaker["name"] for speaker in run("second")]

    assert _people(kept) == ["Ada"]
    assert after.count("Ada") == 1
    assert after.count(None) == len(after) - 1 >= 1
