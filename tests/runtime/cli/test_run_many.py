"""`run FILES... FOLDER GLOB --out-dir DIR`: each recording once, whatever becomes of the others."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile

from echo_edge.bundle.find import find_bundle
from echo_edge.cli import workers
from echo_edge.cli.recordings import find_recordings
from echo_edge.cli.transcript import Job, Outcome, Settings, Transcriber
from echo_edge.cli.unfinished import NAME
from tests.runtime.cli.processes import COMMAND, NO_SPEECH
from tests.runtime.cli.terminal import Terminal
from tests.runtime.recording import noise

Command = Callable[..., Any]


def _audio(path: Path, seconds: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, noise(seconds), 16000)
    return path


def _names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two recordings, one of them in a folder of its own, and what is none."""
    _audio(tmp_path / "in" / "a.wav")
    _audio(tmp_path / "in" / "below" / "b.flac")
    _audio(tmp_path / "in" / ".hidden" / "c.wav")
    (tmp_path / "in" / "notes.txt").write_text("no audio")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("jobs", [1, 2])
def test_folder_in_several_formats(command: Command, folder: Path, jobs: int) -> None:
    outcome = command("run", "in", "--out-dir", "out", "--format", "txt,json", "--jobs", jobs)

    assert (outcome.code, outcome.err) == (0, "")
    assert _names(folder / "out") == ["a.json", "a.txt", "below/b.json", "below/b.txt"]
    assert (folder / "out" / "a.txt").read_text() == NO_SPEECH
    document = json.loads((folder / "out" / "below" / "b.json").read_text())
    assert document["audio"] == {
        "path": "in/below/b.flac", "duration_s": 1.0, "sample_rate": 16000
    }  # fmt: skip
    head, *rows, last = outcome.out.splitlines()
    assert head.split() == ["length", "speakers", "x", "real", "time", "recording"]
    assert [re.sub(r"[\d.]+  in", "N  in", row).split() for row in rows] == [
        ["done", "0:01", "0", "N", "in/a.wav"],
        ["done", "0:01", "0", "N", "in/below/b.flac"],
    ]
    assert re.fullmatch(
        r"2 recordings: 2 done; results in out; 0:02 of audio in 0:\d\d, [\d.]+ x real time", last
    )


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_bad_recording_does_not_stop_the_others(
    command: Command, folder: Path, jobs: int
) -> None:
    (folder / "in" / "aa.wav").write_text("hello " * 1000)
    whole = _audio(folder / "in" / "ab.wav", 3.0).read_bytes()
    (folder / "in" / "ab.wav").write_bytes(whole[:60000])

    outcome = command("run", "in", "missing.wav", "--out-dir", "out", "--jobs", jobs)

    assert outcome.code == 1
    assert sorted(outcome.err.splitlines())[0].startswith("echo-edge: in/aa.wav: not audio that")
    assert outcome.err.count("\n") == 3
    assert "in/ab.wav: breaks off at" in outcome.err
    assert "missing.wav: cannot be read" in outcome.err
    assert _names(folder / "out") == [NAME, "a.txt", "ab.txt", "below/b.txt"]
    states = [row.split()[0] for row in outcome.out.splitlines()[1:]]
    assert states == ["done", "failed", "failed", "done", "failed", "5"]
    assert "5 recordings: 2 done, 3 failed; " in outcome.out


def test_started_again_only_what_is_left_is_done(command: Command, folder: Path) -> None:
    """After a failure, and until all is done."""
    (folder / "in" / "aa.wav").write_text("hello " * 1000)
    assert command("run", "in", "--out-dir", "out").code == 1
    (folder / "out" / "a.txt").write_text("mine")
    _audio(folder / "in" / "aa.wav")

    again = command("run", "in", "--out-dir", "out")

    assert (again.code, again.err) == (0, "")
    assert "3 recordings: 1 done, 2 skipped; " in again.out
    assert (folder / "out" / "a.txt").read_text() == "mine"
    assert NAME not in _names(folder / "out")
    assert "3 recordings: 3 done; " in command("run", "in", "--out-dir", "out").out


@pytest.mark.parametrize("change", ["option", "recording", "result"])
def test_what_changed_is_done_again(command: Command, folder: Path, change: str) -> None:
    (folder / "in" / "aa.wav").write_text("hello " * 1000)
    assert command("run", "in", "--out-dir", "out").code == 1
    if change == "recording":
        _audio(folder / "in" / "a.wav", 2.0)
    if change == "result":
        (folder / "out" / "a.txt").unlink()
    options = ("--max-speakers", "3") if change == "option" else ()

    again = command("run", "in", "--out-dir", "out", *options)

    n_done = 2 if change == "option" else 1
    assert f"3 recordings: {n_done} done, " in again.out


def test_skip_existing(command: Command, folder: Path) -> None:
    """Only where all results are there."""
    (folder / "out").mkdir()
    (folder / "out" / "a.txt").write_text("mine")
    options = ("run", "in/a.wav", "in/below/b.flac", "--out-dir", "out", "--skip-existing")

    first = command(*options)
    second = command(*options, "--format", "txt,srt")

    assert "2 recordings: 1 done, 1 skipped; " in first.out
    assert (folder / "out" / "b.txt").read_text() == NO_SPEECH
    assert "2 recordings: 2 done; " in second.out


def test_one_recording_and_a_pattern(command: Command, folder: Path) -> None:
    _audio(folder / "in" / "below" / "deep" / "d.wav")

    assert command("run", "in/a.wav", "--out-dir", "one").code == 0
    assert command("run", "in/**/*.[wf]*", "--out-dir", "out", "--format", "srt").code == 0

    assert _names(folder / "one") == ["a.txt"]
    assert _names(folder / "out") == ["a.srt", "below/b.srt", "below/deep/d.srt"]


def test_names_that_would_meet(folder: Path) -> None:
    _audio(folder / "in" / "a.flac")

    found = find_recordings(["in", "in/a.wav"])

    places = {recording.path: str(recording.place) for recording in found}
    assert places == {
        "in/a.flac": "a.flac", "in/a.wav": "a.wav", "in/below/b.flac": "below/b"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param("in/a.wav in/notes.txt", "many recordings and no --out-dir", id="no folder"),
        pytest.param("in in --out x.txt", "--out: found many recordings", id="one file"),
        pytest.param("in --out-dir out --separate v", "--separate: found many", id="separate"),
        pytest.param("in --out-dir out --jobs 0", "--jobs: found 0, expected 1", id="no jobs"),
        pytest.param("in - --out-dir out", "found - among others", id="stdin"),
        pytest.param("in --mic --out-dir out", "found --mic and in", id="microphone"),
        pytest.param("in/*.mp3 --out-dir out", "found no recording", id="pattern of nothing"),
        pytest.param("out --out-dir out", "found no recording", id="folder of nothing"),
        pytest.param("in/a.wav x/a.wav --out-dir o", "would have one name", id="two places"),
        pytest.param("in --out-dir in --format wav", "--format: .*'wav'", id="format"),
        pytest.param("in --out-dir out --threads 0", "threads: found 0", id="threads"),
        pytest.param("in/a.wav --format txt,srt", "several formats.*--out-dir", id="two formats"),
        pytest.param("in/a.wav --skip-existing", "--skip-existing: .*--out-dir", id="skip"),
    ],
)  # fmt: skip
def test_wrong_usage(command: Command, folder: Path, words: str, message: str) -> None:
    (folder / "out").mkdir()
    before = _names(folder)

    outcome = command("run", *words.split())

    outcome.failed(2, message)
    assert _names(folder) == before


def test_a_result_never_takes_the_place_of_a_recording(command: Command, folder: Path) -> None:
    """A recording may be called as its result would be."""
    audio = (folder / "in" / "a.wav").rename(folder / "in" / "a.txt").read_bytes()

    outcome = command("run", "in/a.txt", "--out-dir", "in")

    outcome.failed(2, "found an input where a result is written")
    assert (folder / "in" / "a.txt").read_bytes() == audio


@pytest.mark.parametrize(
    ("file", "options", "first"),
    [
        pytest.param("a.srt", [], "", id="srt"),
        pytest.param("a.VTT", [], "WEBVTT", id="upper case"),
        pytest.param("a.json", [], "{", id="json"),
        pytest.param("a.rttm", ["--format", "txt"], NO_SPEECH, id="--format wins"),
        pytest.param("a.log", [], NO_SPEECH, id="another suffix is text"),
    ],
)
def test_format_by_suffix(
    command: Command, wav: Path, file: str, options: list[str], first: str
) -> None:
    outcome = command("run", wav, "--out", wav.with_name(file), *options)

    outcome.worked()
    assert wav.with_name(file).read_text()[: len(first) or 1] == first


class _Log:
    """A Watcher."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.kill: Callable[[], None] = lambda: None

    def heard(self, job: Job, heard_s: float, _: float | None) -> None:
        if "victim" in job.path and heard_s >= 2.0:
            self.kill()

    def done(self, job: Job, outcome: Outcome) -> None:
        self.outcomes[Path(job.path).name] = outcome


class _Stop:
    number = 0


def _settings(bundle: Path) -> Settings:
    return Settings(str(bundle), 1, 2.0, 1, 20, True, False, "auto", None)


def test_a_worker_that_is_killed_costs_its_recording(
    null_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = list[workers._Worker]()

    class Worker(workers._Worker):
        def __init__(self, settings: Settings) -> None:
            super().__init__(settings)
            made.append(self)

    monkeypatch.setattr(workers, "_Worker", Worker)
    folder = tmp_path / "in"
    _audio(folder / "victim.wav", 120.0)
    jobs = [
        Job(str(path), (("txt", str(path.with_suffix(".txt"))),), 1)
        for path in [folder / "victim.wav", *(_audio(folder / f"{n}.wav") for n in range(3))]
    ]
    log = _Log()
    log.kill = lambda: [each.process.kill() for each in made if each._job == jobs[0]] and None

    workers.do_apart(jobs, _settings(null_bundle), 1, _Stop(), log)  # type: ignore[arg-type]

    assert sorted(log.outcomes) == ["0.wav", "1.wav", "2.wav", "victim.wav"]
    assert "its process ended (SIGKILL" in log.outcomes.pop("victim.wav").problem
    assert all(not outcome.problem for outcome in log.outcomes.values())
    assert _names(folder) == ["0.txt", "0.wav", "1.txt", "1.wav", "2.txt", "2.wav", "victim.wav"]
    assert all(each.process.exitcode is not None for each in made)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_interrupted_it_goes_on(null_bundle: Path, tmp_path: Path, jobs: str) -> None:
    """Ctrl-C at a terminal: nothing half-written, exit code 130, and then the rest."""
    for number in range(2):
        _audio(tmp_path / "in" / f"{number}.wav")
    _audio(tmp_path / "in" / "long.wav", 200.0)
    words = [
        *COMMAND,
        "run",
        "in",
        "--out-dir",
        "out",
        "--jobs",
        jobs,
        "--bundle",
        str(null_bundle),
    ]
    with Terminal(words, tmp_path) as terminal:
        terminal.read(until=lambda: any("2 of 3  long.wav" in line for line in terminal.drawn))
        os.killpg(terminal.child.pid, signal.SIGINT)
        assert terminal.end() == 130
    assert _names(tmp_path / "out") == [NAME, "0.txt", "1.txt"]
    *table, last = terminal.screen
    assert [row.split()[0] for row in table] == ["length", "done", "done", "not", "3"]
    assert (
        last == "echo-edge: interrupted: the same command goes on with the recordings that are left"
    )

    _audio(tmp_path / "in" / "long.wav", 2.0)
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, check=True, text=True)

    assert "3 recordings: 1 done, 2 skipped; " in done.stdout
    assert done.stderr == ""
    assert _names(tmp_path / "out") == ["0.txt", "1.txt", "long.txt"]


def test_killed_it_goes_on(null_bundle: Path, tmp_path: Path) -> None:
    _audio(tmp_path / "in" / "0.wav")
    _audio(tmp_path / "in" / "long.wav", 200.0)
    words = [*COMMAND, "run", "in", "--out-dir", "out", "--bundle", str(null_bundle)]
    child = subprocess.Popen(words, cwd=tmp_path)
    while not (tmp_path / "out" / "0.txt").exists() or not (tmp_path / "out" / NAME).exists():
        time.sleep(0.02)
    child.kill()
    child.wait()

    _audio(tmp_path / "in" / "long.wav", 2.0)
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, check=True, text=True)

    assert "2 recordings: 1 done, 1 skipped; " in done.stdout


def test_equal_to_one_at_a_time(tmp_path: Path) -> None:
    """With the shipped bundle, in processes of their own."""
    clip = find_bundle(None) / "selftest" / "labelled.flac"
    samples, rate = soundfile.read(clip, dtype="int16")
    for number in range(2):
        soundfile.write(tmp_path / f"{number}.wav", samples[number * 80000 :][:160000], rate)
    run = [*COMMAND, "run", "--no-voices"]

    def text(*words: str) -> str:
        done = subprocess.run(
            [*run, *words], cwd=tmp_path, capture_output=True, check=True, text=True
        )
        return done.stdout

    text(".", "--out-dir", "out", "--jobs", "2", "--threads", "2")

    for number in range(2):
        assert (tmp_path / "out" / f"{number}.txt").read_text() == text(f"{number}.wav")


def test_transcriber_reports(null_bundle: Path, tmp_path: Path) -> None:
    path = _audio(tmp_path / "a.wav", 2.5)
    reports = list[tuple[float, float | None]]()
    job = Job(str(path), (("txt", str(tmp_path / "a.txt")),), 1)

    with Transcriber(_settings(null_bundle)) as transcriber:
        outcome = transcriber.do(job, lambda *report: reports.append(report))

    assert reports == [(1.0, 2.5), (2.0, 2.5), (2.5, 2.5)]
    assert (outcome.duration_s, outcome.problem) == (2.5, "")
