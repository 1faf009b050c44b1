"""Stopped, killed, paused, left by its transcriber: the recorder is never without its audio."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.recording.kills import Kill, kill_once, recovered_alike
from benchmarks.recording.latency_and_soak import speak, start
from echo_edge.recorder import recordings
from echo_edge.recorder.messages import Line
from echo_edge.recorder.segments import segments
from echo_edge.session import load
from tests.runtime.recording import (
    SECOND,
    Command,
    MemoryView,
    audio_of,
    events_of,
    noise,
    record,
    recorder_of,
    samples_of,
    settings_for,
)


@pytest.fixture
def kills(null_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Kill]:
    """Twelve recorders, killed in twelve moments."""
    monkeypatch.setenv("ECHO_EDGE_BUNDLE", str(null_bundle))
    audio, moments = noise(4.0), np.random.default_rng(3).uniform(0.05, 2.5, 12)
    with ThreadPoolExecutor(6) as pool:
        return list(
            pool.map(lambda n: kill_once(tmp_path / str(n), audio, float(moments[n])), range(12))
        )


def test_a_kill_costs_less_than_a_second(kills: list[Kill], null_bundle: Path) -> None:
    """Whatever the moment; `python -m benchmarks.recording.kills` has 200 of them, and words."""
    assert all(kill.exact for kill in kills)
    for kill in kills:
        assert kill.sent_s - kill.saved_s <= 1.0
        assert "soundfile" in kill.played_s
        assert all(kill.sent_s - played_s <= 1.0 for played_s in kill.played_s.values())
        with load(null_bundle) as session:
            assert recovered_alike(kill.folder, session, noise(4.0))


def test_a_kill_takes_the_transcriber_along(
    null_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ECHO_EDGE_BUNDLE", str(null_bundle))
    recorder = start(tmp_path / "out")
    for _ in speak(recorder, noise(1.0)):
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
    soundfile.write(out.parent / "long.wav", noise(60.0), SECOND)
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


def _wait_for(recorder: "subprocess.Popen[bytes]", kind: str) -> Line:
    """The next event of that kind."""
    assert recorder.stdout is not None
    for text in recorder.stdout:
        line: Line = json.loads(text)
        if line["type"] == kind:
            return line
    raise AssertionError(f"no {kind}: {recorder.communicate()}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_end_it_in_order(null_bundle: Path, tmp_path: Path, number: int) -> None:
    with _running(null_bundle, tmp_path / "out") as recorder:
        time.sleep(0.7)
        recorder.send_signal(number)
        _, err = recorder.communicate(timeout=20)
    (folder,) = recordings.find_recordings(tmp_path / "out")

    assert (recorder.returncode, err) == (0, b"")
    audio = audio_of(folder)
    assert len(audio) >= 0.5 * SECOND
    assert audio == noise(60.0)[: len(audio)].tolist()
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
    (folder,) = recordings.find_recordings(out)
    found = segments(folder)
    assert deleted["to_s"] - deleted["from_s"] == pytest.approx(0.6)
    for each in found:  # every sample is where it was in the source
        samples = soundfile.read(each.path, dtype="int16")[0]
        assert samples.tolist() == noise(60.0)[each.start : each.end].tolist()
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
    settings = settings_for(
        tmp_path / "out",
        transcribe=True,
        bundle=str(tmp_path / "none"),
        command=(sys.executable, "-c", code),
    )
    recorder = recorder_of(wav, settings)

    assert record(recorder) == exit_code

    assert audio_of(recorder.folder) == samples_of(wav)
    errors = capsys.readouterr().err
    assert "--recover" in errors
    assert message in errors
    assert "failed" in events_of(recorder.folder)


def test_a_transcriber_that_hangs_is_left_behind(
    tmp_path: Path, wav: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hanging = (sys.executable, "-c", "import time; time.sleep(60)")
    view = MemoryView()
    settings = settings_for(tmp_path / "out", transcribe=True, command=hanging, finish_s=0.3)
    recorder = recorder_of(wav, settings, view)

    assert record(recorder) == 1

    assert audio_of(recorder.folder) == samples_of(wav)
    assert max(view.lags_s) > 1.0
    assert "results are incomplete, 3 s of audio not processed" in capsys.readouterr().err


def test_a_transcriber_that_cannot_be_started(
    tmp_path: Path, wav: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_for(tmp_path / "out", transcribe=True, command=("/no/such/python",))
    recorder = recorder_of(wav, settings)

    assert record(recorder) == 1

    assert audio_of(recorder.folder) == samples_of(wav)
    assert "the transcriber does not start" in capsys.readouterr().err
