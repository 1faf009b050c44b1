"""`echo-edge record` as its user meets it: stopped, killed, paused, starved of disk, never without
its audio."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from benchmarks.recorder import speak, start
from benchmarks.recorder_kills import Kill, kill_once, recovered_alike
from echo_edge.recorder import controls, lines, sessions
from echo_edge.recorder.capture import Block, BlockQueue, FileSource
from echo_edge.recorder.options import Options
from echo_edge.recorder.recorder import Recorder
from echo_edge.recorder.segments import segments
from echo_edge.recorder.sessions import Limits
from echo_edge.recorder.settings import Settings
from echo_edge.session import load

Command = Callable[..., Any]
Samples = NDArray[np.int16]

SECOND = 16_000


def _noise(seconds: float) -> Samples:
    rng = np.random.default_rng(0)
    return rng.integers(-8000, 8000, round(seconds * SECOND)).astype(np.int16)


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "a.wav", _noise(3.0), SECOND)
    return tmp_path / "a.wav"


def _audio(folder: Path) -> list[int]:
    pieces = [soundfile.read(each.path, dtype="int16")[0] for each in segments(folder)]
    return np.concatenate(pieces).tolist() if pieces else []


def _events(folder: Path) -> list[str]:
    return [line["type"] for line in lines.read_lines(folder / lines.EVENTS)]


class Heard:
    """A view that remembers."""

    def __init__(self) -> None:
        self.lines: list[lines.Line] = []
        self.lags_s: list[float] = []

    def show(self, line: lines.Line) -> None:
        self.lines.append(line)

    def status(self, status: Any) -> None:
        self.lags_s.append(status.lag_s)

    def close(self) -> None:
        """Nothing to close."""


def _settings(out: Path, **changes: Any) -> Settings:
    options = {"options": Options(), "limits": Limits(least_free_bytes=0), "transcribe": False}
    return Settings(out, **(options | changes))


def _record(recorder: Recorder) -> int:
    with controls.Controls(keys=False) as control:
        return recorder.run(control)


def test_a_file_is_recorded_and_transcribed(command: Command, tmp_path: Path, wav: Path) -> None:
    out = tmp_path / "new" / "meetings"

    outcome = command("record", "--out", out, "--wav", wav, "--pace", 0, "--json")

    outcome.worked()
    (folder,) = sessions.sessions(out)
    assert _audio(folder) == soundfile.read(wav, dtype="int16")[0].tolist()
    assert [json.loads(line)["type"] for line in outcome.out.splitlines()] == ["start", "stop"]
    assert _events(folder) == ["start", "stop"]
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
        Path(__file__).parents[2] / "demo/conversation.flac", dtype="int16"
    )
    soundfile.write(tmp_path / "a.wav", audio[: 8 * rate], rate)
    shared = ["--bundle", str(default_bundle)]

    live = ["record", "--wav", str(tmp_path / "a.wav"), "--out", str(tmp_path / "out")]
    assert cli.main([*live, "--pace", "0", *shared]) == 0
    shown = capsys.readouterr().out
    offline = ["run", str(tmp_path / "a.wav"), "--latency-s", "2", "--format", "json"]
    assert cli.main([*offline, *shared]) == 0

    expected = json.loads(capsys.readouterr().out)
    (folder,) = sessions.sessions(tmp_path / "out")
    found = json.loads((folder / "result.json").read_bytes())
    assert len(found["words"]) > 5
    for key in ("turns", "words", "speakers"):
        assert found[key] == expected[key]
    assert found["words"][0]["text"] in shown
    assert found["words"][-1]["text"] in shown


@pytest.fixture
def kills(null_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Kill]:
    """Twelve recorders, killed in twelve moments."""
    monkeypatch.setenv("ECHO_EDGE_BUNDLE", str(null_bundle))
    audio, moments = _noise(4.0), np.random.default_rng(3).uniform(0.05, 2.5, 12)
    with ThreadPoolExecutor(6) as pool:
        return list(
            pool.map(lambda n: kill_once(tmp_path / str(n), audio, float(moments[n])), range(12))
        )


def test_a_kill_costs_less_than_a_second(kills: list[Kill], null_bundle: Path) -> None:
    """Whatever the moment; `python -m benchmarks.recorder_kills` has 200 of them, and words."""
    assert all(kill.exact for kill in kills)
    for kill in kills:
        assert kill.said_s - kill.kept_s <= 1.0
        assert "soundfile" in kill.played_s
        assert all(kill.said_s - played_s <= 1.0 for played_s in kill.played_s.values())
        with load(null_bundle) as session:
            assert recovered_alike(kill.folder, session, _noise(4.0))


def test_a_kill_takes_the_transcriber_along(
    null_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ECHO_EDGE_BUNDLE", str(null_bundle))
    recorder = start(tmp_path / "out")
    for _ in speak(recorder, _noise(1.0)):
        pass
    (child,) = Path(f"/proc/{recorder.pid}/task/{recorder.pid}/children").read_text().split()

    recorder.kill()
    recorder.communicate()

    deadline = time.monotonic() + 60  # it may still be loading
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(child)
    assert capfd.readouterr().err == ""


def _runs(pid: str) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextmanager
def _running(
    null_bundle: Path, out: Path, *options: str, **extra: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """A recorder of an endless noise."""
    code = "import sys; from echo_edge.cli import main; sys.exit(main())"
    soundfile.write(out.parent / "long.wav", _noise(60.0), SECOND)
    command = [sys.executable, "-c", code, "record", "--out", out, "--wav", out.parent / "long.wav"]
    recorder = subprocess.Popen(
        [*map(str, command), "--json", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"ECHO_EDGE_BUNDLE": str(null_bundle)} | extra,
    )
    try:
        assert recorder.stdout is not None
        assert json.loads(recorder.stdout.readline())["type"] == "start"
        yield recorder
    finally:
        recorder.kill()
        recorder.communicate()


def _wait_for(recorder: "subprocess.Popen[bytes]", kind: str) -> lines.Line:
    """The next event of that kind."""
    assert recorder.stdout is not None
    for text in recorder.stdout:
        line: lines.Line = json.loads(text)
        if line["type"] == kind:
            return line
    raise AssertionError(f"no {kind}: {recorder.communicate()}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_end_it_in_order(null_bundle: Path, tmp_path: Path, number: int) -> None:
    with _running(null_bundle, tmp_path / "out") as recorder:
        time.sleep(0.7)
        recorder.send_signal(number)
        _, err = recorder.communicate(timeout=20)
    (folder,) = sessions.sessions(tmp_path / "out")

    assert (recorder.returncode, err) == (0, b"")
    audio = _audio(folder)
    assert len(audio) >= 0.5 * SECOND
    assert audio == _noise(60.0)[: len(audio)].tolist()
    assert json.loads((folder / "result.json").read_bytes())["audio"]["duration_s"] == (
        len(audio) / SECOND
    )


def test_pause_delete_and_two_at_once(command: Command, null_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with _running(null_bundle, out) as recorder:
        command("record", "--out", out, "--wav", out.parent / "long.wav").failed(
            1, "another recorder writes there"
        )
        command("record", "--recover", out, "--quiet").worked()  # it leaves the running one alone
        time.sleep(0.5)
        recorder.send_signal(signal.SIGUSR1)
        _wait_for(recorder, "pause")
        time.sleep(2.5)
        recorder.send_signal(signal.SIGUSR2)
        _wait_for(recorder, "resume")
        time.sleep(1.2)
        command("record", "--out", out, "--delete-last", 0.01).worked()
        deleted = _wait_for(recorder, "deleted")
        time.sleep(0.5)
        recorder.send_signal(signal.SIGTERM)
        _, err = recorder.communicate(timeout=20)

    assert (recorder.returncode, err) == (0, b"")
    (folder,) = sessions.sessions(out)
    found = segments(folder)
    assert deleted["to_s"] - deleted["from_s"] == pytest.approx(0.6)
    for each in found:  # every sample is where it was in the source
        samples = soundfile.read(each.path, dtype="int16")[0]
        assert samples.tolist() == _noise(60.0)[each.start : each.end].tolist()
    gaps = [b.start / SECOND - a.end / SECOND for a, b in pairwise(found)]
    assert [gap for gap in gaps if gap > 2.0]
    assert any(gap == pytest.approx(0.6) for gap in gaps)


def test_delete_without_a_recorder(command: Command, tmp_path: Path) -> None:
    tmp_path.joinpath("out").mkdir()
    command("record", "--out", tmp_path / "out", "--delete-last", 1).failed(2, "found no recorder")
    command("record", "--out", tmp_path / "no", "--delete-last", 1).failed(2, "found no folder")


DYING = {
    "before it begins": ("import sys; sys.exit(7)", "exit 7", 1),
    "with its own error": (
        "import sys; from echo_edge.recorder.transcribe import main; sys.exit(main(sys.argv[1:]))",
        "none: ",
        3,
    ),
    "by a signal": ("import os; os.kill(os.getpid(), 11)", "exit -11", 1),
}


@pytest.mark.parametrize("how", DYING)
def test_a_transcriber_that_dies_takes_nothing_with_it(
    tmp_path: Path, wav: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    code, message, exit_code = DYING[how]
    settings = _settings(
        tmp_path / "out",
        transcribe=True,
        bundle=str(tmp_path / "none"),
        command=(sys.executable, "-c", code),
    )
    recorder = Recorder(FileSource(str(wav), 3.0), Heard(), settings)

    assert _record(recorder) == exit_code

    assert _audio(recorder.folder) == soundfile.read(wav, dtype="int16")[0].tolist()
    errors = capsys.readouterr().err
    assert "--recover" in errors
    assert message in errors
    assert "failed" in _events(recorder.folder)


def test_a_transcriber_that_hangs_is_left_behind(
    tmp_path: Path, wav: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hanging = (sys.executable, "-c", "import time; time.sleep(60)")
    view = Heard()
    settings = _settings(tmp_path / "out", transcribe=True, command=hanging, finish_s=0.3)
    recorder = Recorder(FileSource(str(wav), 3.0), view, settings)

    assert _record(recorder) == 1

    assert _audio(recorder.folder) == soundfile.read(wav, dtype="int16")[0].tolist()
    assert max(view.lags_s) > 1.0
    assert "results are incomplete, 3 s of audio not processed" in capsys.readouterr().err


def test_a_file_that_breaks_off(command: Command, tmp_path: Path, wav: Path) -> None:
    wav.write_bytes(wav.read_bytes()[: 44 + 2 * SECOND])

    outcome = command("record", "--out", tmp_path / "out", "--wav", wav, "--pace", 0, "--quiet")

    outcome.failed(1, "breaks off at 1.000 s")
    (folder,) = sessions.sessions(tmp_path / "out")
    assert len(_audio(folder)) == SECOND
    assert (folder / "result.json").exists()


def test_a_clock_that_is_set_back_changes_no_time(tmp_path: Path, wav: Path) -> None:
    clock = [datetime(2026, 3, 29, 12, 0, 0, tzinfo=UTC) - timedelta(hours=n) for n in range(99)]
    recorder = Recorder(
        FileSource(str(wav), 4.0), Heard(), _settings(tmp_path / "out"), lambda: clock.pop(0)
    )

    assert _record(recorder) == 0

    assert _audio(recorder.folder) == soundfile.read(wav, dtype="int16")[0].tolist()
    times = [line["at_s"] for line in lines.read_lines(recorder.folder / lines.EVENTS)]
    assert times == [0.0, 3.0]


def test_two_sessions_of_one_second(tmp_path: Path) -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    names = [sessions.new_session(tmp_path, {}, now).name for _ in range(3)]

    assert names == ["20260102T030405Z", "20260102T030405Z-2", "20260102T030405Z-3"]
    assert [folder.name for folder in sessions.sessions(tmp_path)] == names


def _low(monkeypatch: pytest.MonkeyPatch, free: Callable[[], int]) -> None:
    monkeypatch.setattr(sessions, "free_bytes", lambda _: free())


def test_low_disk_first_results_wait_then_recording_stops(
    tmp_path: Path, wav: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    room = [1000, 90, 1000, 90, 40]
    _low(monkeypatch, lambda: room.pop(0) if len(room) > 1 else room[0])
    soundfile.write(wav, _noise(20.0), SECOND)
    settings = _settings(tmp_path / "out", limits=Limits(least_free_bytes=100))
    recorder = Recorder(FileSource(str(wav)), Heard(), settings)

    assert _record(recorder) == 1

    audio = _audio(recorder.folder)
    assert 2 * SECOND < len(audio) < 10 * SECOND
    assert audio == _noise(20.0)[: len(audio)].tolist()
    names = ["start", "low disk", "disk has room", "low disk", "failed", "stop"]
    assert _events(recorder.folder) == names
    assert "expected" in capsys.readouterr().err


def _session_of(out: Path, hour: int, seconds: float, done: bool = True) -> Path:
    now = datetime(2026, 1, 1, hour, tzinfo=UTC)
    folder = sessions.new_session(out, {}, now)
    for n in range(2):
        start_sample = round(n * seconds * SECOND)
        path = folder / f"audio-{start_sample:012}.wav"
        soundfile.write(path, _noise(seconds), SECOND)
    if done:
        (folder / "result.json").write_text("{}")
    return folder


def test_low_disk_with_rotation_deletes_the_oldest_audio(
    tmp_path: Path, wav: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    old = [_session_of(out, hour, 0.1) for hour in range(2)]
    room = [40, 40, 40, 200]
    _low(monkeypatch, lambda: room.pop(0) if len(room) > 1 else room[0])
    settings = _settings(out, limits=Limits(least_free_bytes=100, rotate=True))
    recorder = Recorder(FileSource(str(wav), 3.0), Heard(), settings)

    assert _record(recorder) == 0

    assert [len(segments(folder)) for folder in old] == [0, 1]
    assert [(folder / "result.json").exists() for folder in old] == [True, True]
    assert _audio(recorder.folder) == soundfile.read(wav, dtype="int16")[0].tolist()
    assert _events(recorder.folder).count("retention") == 3


def test_retention(tmp_path: Path) -> None:
    old, middle, current = (_session_of(tmp_path, hour, 0.5) for hour in (1, 2, 3))
    now_s = time.time()
    for path in old.iterdir():
        os.utime(path, (now_s - 9 * 86400, now_s - 9 * 86400))
    size = segments(middle)[0].path.stat().st_size

    assert sessions.clean_up(tmp_path, current, Limits(keep_days=10), now_s) == []
    assert sessions.clean_up(tmp_path, current, Limits(keep_days=8), now_s) == [old.name]
    limits = Limits(keep_bytes=3 * size)
    assert sessions.clean_up(tmp_path, current, limits, now_s) == [
        f"{middle.name}/audio-000000000000.wav"
    ]
    # However little may be kept: not what is being written, and never a result.
    sessions.clean_up(tmp_path, current, Limits(keep_bytes=1), now_s)
    assert [len(segments(folder)) for folder in (middle, current)] == [0, 1]
    assert (middle / "result.json").exists()


def test_a_clock_set_back_does_not_make_the_running_session_the_oldest(tmp_path: Path) -> None:
    current, old = _session_of(tmp_path, 1, 0.1), _session_of(tmp_path, 2, 0.1)

    gone = [sessions.delete_oldest(tmp_path, current) for _ in range(4)]

    assert [name.split("/")[0] if name else None for name in gone] == [
        old.name,
        old.name,
        current.name,
        None,
    ]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB: 8 s of audio."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root to mount a small disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_keeps_what_fits(command: Command, small_disk: Path, tmp_path: Path) -> None:
    """With no reserve asked for, the disk fills to its last byte."""
    soundfile.write(tmp_path / "a.wav", _noise(30.0), SECOND)
    options = ("--wav", tmp_path / "a.wav", "--pace", 10, "--min-free-mib", 0, "--quiet")

    outcome = command("record", "--out", small_disk / "out", *options)

    assert outcome.code == 1
    assert "audio cannot be written (No space left on device)" in outcome.err
    assert "Traceback" not in outcome.err
    (folder,) = sessions.sessions(small_disk / "out")
    audio = _audio(folder)
    assert len(audio) > 6 * SECOND
    assert audio == _noise(30.0)[: len(audio)].tolist()
    # On another disk the rest of the work is done.
    shutil.copytree(folder, tmp_path / folder.name)
    (tmp_path / folder.name / "result.json").unlink(missing_ok=True)
    command("record", "--recover", tmp_path / folder.name, "--quiet").worked()
    assert (tmp_path / folder.name / "result.json").exists()


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
    (folder,) = sessions.sessions(tmp_path / "out")
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

    name, problem = "broken", None

    def run(self, queue: BlockQueue, _: threading.Event) -> None:
        queue.put(Block(np.full((1600, 1), 0.5, np.float32), SECOND))
        raise ZeroDivisionError


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_a_thread_is_no_success(tmp_path: Path) -> None:
    recorder = Recorder(Broken(), Heard(), _settings(tmp_path / "out"))

    assert _record(recorder) == 1

    assert _audio(recorder.folder) == [16384] * 1600


def test_a_transcriber_that_cannot_be_started(
    tmp_path: Path, wav: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = _settings(tmp_path / "out", transcribe=True, command=("/no/such/python",))
    recorder = Recorder(FileSource(str(wav), 3.0), Heard(), settings)

    assert _record(recorder) == 1

    assert _audio(recorder.folder) == soundfile.read(wav, dtype="int16")[0].tolist()
    assert "the transcriber does not start" in capsys.readouterr().err
