"""`echo-edge record` as its user meets it: its files, its times, its words, its messages."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echo_edge.audio.channels import Downmix
from echo_edge.recorder import log, recordings
from echo_edge.recorder.capture import Block, BlockQueue, FileInput
from echo_edge.recorder.recorder import Recorder
from tests.runtime.recording import (
    SECOND,
    Command,
    MemoryView,
    about,
    audio_of,
    events_of,
    record,
    samples_of,
    settings_for,
)


def test_a_file_is_recorded_and_transcribed(command: Command, tmp_path: Path, wav: Path) -> None:
    out = tmp_path / "new" / "meetings"

    outcome = command("record", "--out", out, "--wav", wav, "--pace", 0, "--json")

    outcome.worked()
    (folder,) = recordings.find_recordings(out)
    assert audio_of(folder) == samples_of(wav)
    assert [json.loads(line)["type"] for line in outcome.out.splitlines()] == ["start", "stop"]
    assert events_of(folder) == ["start", "stop"]
    result = json.loads((folder / "result.json").read_bytes())
    assert (result["audio"]["duration_s"], result["turns"]) == (3.0, [])
    modes = {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()}
    assert modes == {"0o600"}
    assert {oct(path.stat().st_mode & 0o777) for path in (out, folder)} == {"0o700"}
    assert abs(datetime.now(UTC) - _started(folder)) < timedelta(minutes=1)


def _started(folder: Path) -> datetime:
    return datetime.strptime(folder.name, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def test_the_shipped_bundle_says_who_said_what(
    tmp_path: Path, default_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Live, in a process of its own, the results of `run --latency-s 2`."""
    from echo_edge import cli

    audio, rate = soundfile.read(
        Path(__file__).parents[3] / "demo/conversation.flac", dtype="int16"
    )
    soundfile.write(tmp_path / "a.wav", audio[: 8 * rate], rate)
    shared = ["--bundle", str(default_bundle)]

    live = ["record", "--wav", str(tmp_path / "a.wav"), "--out", str(tmp_path / "out")]
    assert cli.main([*live, "--pace", "0", *shared]) == 0
    shown = capsys.readouterr().out
    offline = ["run", str(tmp_path / "a.wav"), "--latency-s", "2", "--format", "json"]
    assert cli.main([*offline, *shared]) == 0

    expected = json.loads(capsys.readouterr().out)
    (folder,) = recordings.find_recordings(tmp_path / "out")
    found = json.loads((folder / "result.json").read_bytes())
    assert len(found["words"]) > 5
    for key in ("turns", "words", "speakers"):
        assert found[key] == expected[key]
    assert found["words"][0]["text"] in shown
    assert found["words"][-1]["text"] in shown


def test_a_file_that_breaks_off(command: Command, tmp_path: Path, wav: Path) -> None:
    wav.write_bytes(wav.read_bytes()[: 44 + 2 * SECOND])

    outcome = command("record", "--out", tmp_path / "out", "--wav", wav, "--pace", 0, "--quiet")

    outcome.failed(1, "breaks off at 1.000 s")
    (folder,) = recordings.find_recordings(tmp_path / "out")
    assert len(audio_of(folder)) == SECOND
    assert (folder / "result.json").exists()


def test_a_clock_that_is_set_back_changes_no_time(tmp_path: Path, wav: Path) -> None:
    clock = [datetime(2026, 3, 29, 12, 0, 0, tzinfo=UTC) - timedelta(hours=n) for n in range(99)]
    recorder = Recorder(
        FileInput(str(wav), 4.0), MemoryView(), settings_for(tmp_path / "out"), lambda: clock.pop(0)
    )

    assert record(recorder) == 0

    assert audio_of(recorder.folder) == samples_of(wav)
    events = log.read_lines(recorder.folder / log.EVENTS)
    assert [x["at_s"] for x in events if x["type"] != "clock jumped"] == [0.0, 3.0]
    jumps = [x["by_s"] for x in events if x["type"] == "clock jumped"]
    assert jumps
    assert all(by_s / -3600.0 == pytest.approx(round(by_s / -3600.0), abs=0.01) for by_s in jumps)
    found = recordings.read_about(recorder.folder)
    assert [x.by_s for x in found.clock_jumps] == jumps


def test_two_sessions_of_one_second(tmp_path: Path) -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    names = [recordings.new_recording(tmp_path, about(), now).name for _ in range(3)]

    assert names == ["20260102T030405Z", "20260102T030405Z-2", "20260102T030405Z-3"]
    assert [folder.name for folder in recordings.find_recordings(tmp_path)] == names


def test_without_any_network(null_bundle: Path, tmp_path: Path, wav: Path) -> None:
    """In a network namespace without interfaces, not even a loopback that is up."""
    unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*unshare, "true"], check=False).returncode
    ):
        pytest.skip("network namespaces cannot be made here")
    code = "import sys; from echo_edge.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "record", "--out", tmp_path / "out", "--wav", wav]

    done = subprocess.run(
        [*unshare, *map(str, command), "--pace", "0", "--quiet"],
        env=os.environ | {"ECHO_EDGE_BUNDLE": str(null_bundle)},
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    (folder,) = recordings.find_recordings(tmp_path / "out")
    assert (folder / "result.json").exists()


def test_systemd_is_told(
    command: Command, tmp_path: Path, wav: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(1.0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        command("record", "--out", tmp_path / "out", "--wav", wav, "--pace", 0).worked()
        said = [systemd.recv(100) for _ in range(3)]

    assert said[0] == b"READY=1"
    assert said[1] == b"WATCHDOG=1" or said[1] == b"STOPPING=1"


WRONG = {
    "no out": ((), 2, "found no --out"),
    "no file": (("--out", "o", "--wav", "no.wav"), 1, "no.wav: cannot be read"),
    "latency": (("--out", "o", "--latency-s", "inf"), 2, "--latency-s"),
    "speakers": (("--out", "o", "--max-speakers", "0"), 2, "speakers"),
    "segment": (("--out", "o", "--segment-min", "0"), 2, "--segment-min"),
    "long segment": (("--out", "o", "--segment-min", "1e9"), 2, "--segment-min"),
    "days": (("--out", "o", "--keep-days", "nan"), 2, "--keep-days"),
    "gib": (("--out", "o", "--keep-gib", "-1"), 2, "--keep-gib"),
    "pace": (("--out", "o", "--wav", "a.wav", "--pace", "-1"), 2, "--pace"),
    "two sources": (("--out", "o", "--wav", "a.wav", "--device", "x"), 2, "not allowed with"),
    "bundle": (("--out", "o", "--bundle", "none"), 3, "none"),
    "out is a file": (("--out", "a.wav", "--wav", "a.wav"), 1, "cannot be made"),
    "recover nothing": (("--recover", "none"), 1, "no such folder"),
    "recover no session": (("--recover", "."), 1, "found no session.json"),
    "minutes": (("--out", ".", "--delete-last", "0"), 2, "--delete-last"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_usage(
    command: Command, wav: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    arguments, code, message = WRONG[name]
    folder = wav.parent / "here"
    folder.mkdir()
    wav.rename(folder / "a.wav")
    monkeypatch.chdir(folder)

    command("record", *arguments).failed(code, message)

    assert sorted(path.name for path in folder.rglob("*")) == ["a.wav"]


class Broken:
    """A source with a bug."""

    name, problem, finding, downmix = "broken", None, "", Downmix()

    def run(self, queue: BlockQueue, _: threading.Event) -> None:
        queue.put(Block(np.full((1600, 1), 0.5, np.float32), SECOND))
        raise ZeroDivisionError


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_a_thread_is_no_success(tmp_path: Path) -> None:
    recorder = Recorder(Broken(), MemoryView(), settings_for(tmp_path / "out"))

    assert record(recorder) == 1

    assert audio_of(recorder.folder) == [16384] * 1600
