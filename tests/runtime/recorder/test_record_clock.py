"""Whatever the clock says: nothing is deleted but what is old by time that really passed."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import soundfile

from echo_edge.recorder import clock, recordings, retention
from echo_edge.recorder.capture import FileInput
from echo_edge.recorder.clock import DAY_S, STATE, ClockMonitor, PassedTime
from echo_edge.recorder.options import Limits
from echo_edge.recorder.recorder import Recorder
from echo_edge.recorder.recordings import ClockJump
from echo_edge.recorder.segments import segments
from tests.runtime.recording import (
    SECOND,
    MemoryView,
    about,
    events_of,
    noise,
    record,
    settings_for,
)

HOUR_S = 3600.0
TODAY = datetime(2026, 11, 30, 12, tzinfo=UTC)


@dataclass
class Board:
    """A machine whose time passes when it is said so, and whose clock may say anything."""

    out: Path
    up_s: float = 100.0
    boot: int = 1
    utc: datetime = TODAY
    made: list[Path] = field(default_factory=list)

    def runs(self, seconds: float, clock_s: float | None = None) -> None:
        """Time passes; the clock goes along or by `clock_s`."""
        self.up_s += seconds
        self.utc += timedelta(seconds=seconds if clock_s is None else clock_s)

    def boots(self, clock_s: float) -> None:
        """It was off, for as long as the clock says or not."""
        self.boot += 1
        self.up_s = 20.0
        self.utc += timedelta(seconds=clock_s)

    def passed(self) -> PassedTime:
        return PassedTime(self.out, self.utc.timestamp())

    def records(self, keep_days: float = 30.0, minutes: float = 5.0) -> list[str]:
        """A recorder starts, makes a session of five minutes and ends; what it deleted."""
        passed = self.passed()
        jumps = (ClockJump(0.0, passed.jumped_s),) if passed.jumped_s else ()
        current = recordings.new_recording(self.out, about(clock_jumps=jumps), self.utc)
        self.made.append(current)
        deleted = self._cleans_up(passed, current, keep_days)
        self.runs(60.0 * minutes)
        deleted += self._cleans_up(passed, current, keep_days)
        return deleted

    def _cleans_up(self, passed: PassedTime, current: Path, keep_days: float) -> list[str]:
        passed.advance(self.utc.timestamp())
        passed.save([each.name for each in recordings.find_recordings(self.out)], current.name)
        return retention.clean_up(self.out, current, Limits(keep_days=keep_days), passed.age_s)


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    board = Board(tmp_path)
    monkeypatch.setattr(clock, "uptime_s", lambda: board.up_s)
    monkeypatch.setattr(clock, "boot_id", lambda: f"boot {board.boot}")
    return board


AHEAD_S = 3650 * DAY_S

WRONG: dict[str, list[tuple[str, float]]] = {
    "ahead for a moment": [("clock", AHEAD_S), ("record", 0), ("clock", -AHEAD_S)],
    "ahead for a moment while it records": [("jump", AHEAD_S), ("jump", -AHEAD_S)],
    "ahead from now on": [("clock", AHEAD_S)],
    "forty days ahead": [("clock", 40 * DAY_S)],
    "ahead after a boot": [("boot", AHEAD_S)],
    "ahead after a boot, then right": [("boot", AHEAD_S), ("record", 0), ("clock", -AHEAD_S)],
    "without a battery, then right": [("boot", -50 * 365 * DAY_S), ("clock", 50 * 365 * DAY_S)],
    "forth and back at every boot": [
        *[("boot", AHEAD_S), ("record", 0), ("boot", -AHEAD_S), ("record", 0)] * 20
    ],
    "set back": [("clock", -AHEAD_S)],
    "the state is lost": [("lose", 0), ("clock", AHEAD_S)],
    "the state is damaged": [("damage", 0), ("clock", AHEAD_S)],
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("keep_days", [30.0, 2.0])
def test_a_wrong_clock_deletes_nothing(board: Board, name: str, keep_days: float) -> None:
    deleted = [name for _ in range(3) for name in board.records(keep_days)]

    for what, value in WRONG[name]:
        match what:
            case "clock":
                board.runs(0.0, value)
            case "jump":
                board.runs(1.0, value)
            case "boot":
                board.boots(value)
            case "lose":
                (board.out / STATE).unlink()
            case "damage":
                (board.out / STATE).write_text('{"passed_s": NaN}')
        deleted += board.records(keep_days)

    assert deleted == []
    assert board.made == [folder for folder in board.made if folder.is_dir()]


PASSING = {
    "in one run": [("run", 31.0)],
    "off at night": [("run", 0.4), ("boot", 0.6)] * 31,
    "an hour a day": [("run", 1 / 24), ("boot", 23 / 24)] * 32,
    "with a clock that stands still": [("run at once", 31.0)],
    "with a clock that is ahead": [("ahead", 3650.0), ("run", 31.0)],
}


@pytest.mark.parametrize("name", PASSING)
def test_what_is_really_old_goes(board: Board, name: str) -> None:
    board.records()
    (first,) = board.made
    for what, days in PASSING[name]:
        match what:
            case "run":
                board.runs(days * DAY_S)
            case "run at once":
                board.runs(days * DAY_S, 0.0)
            case "boot":
                board.boots(days * DAY_S)
            case "ahead":
                board.runs(0.0, days * DAY_S)
        last = board.records(minutes=0.1)

    assert not first.exists()
    assert board.made[-1].exists()
    assert last or name != "in one run"


def test_restarts_with_a_wrong_clock_count_little(board: Board) -> None:
    """A board that restarts every two minutes, each time a day ahead, for a day."""
    board.records()
    for _ in range(360):
        board.boots(DAY_S)
        board.records(minutes=2.0)

    passed = board.passed()
    passed.advance(board.utc.timestamp())
    assert passed.passed_s < 26 * DAY_S / 2


def test_a_session_that_is_damaged_is_never_old(board: Board) -> None:
    board.records()
    (first,) = board.made
    (first / recordings.ABOUT).write_text("{")
    board.runs(40 * DAY_S)

    assert board.records() == []
    assert retention.delete_oldest(board.out, board.made[-1], board.passed().age_s) is None
    assert first.is_dir()


def test_a_session_from_elsewhere_ages_from_when_it_is_seen(board: Board) -> None:
    """Its name and the times of its files are another clock's: in the past, or still to come."""
    board.records()
    for name in ("19990101T000000Z", "20990101T000000Z"):
        shutil.copytree(board.made[0], board.out / name)
    board.records()
    board.runs(29 * DAY_S)
    assert board.records() == []

    board.runs(2 * DAY_S)
    assert len(board.records()) == 4


def test_audio_goes_in_the_order_in_which_it_was_recorded(board: Board) -> None:
    """Not in that of the names: the first was recorded when the clock was years ahead."""
    board.utc += timedelta(seconds=AHEAD_S)
    for step_s in (-AHEAD_S, DAY_S, 0.0):
        board.records()
        soundfile.write(board.made[-1] / "audio-000000000000.wav", noise(0.1), SECOND)
        board.runs(60.0, step_s)
    current = board.made[-1]
    age_s = board.passed().age_s

    gone = [retention.delete_oldest(board.out, current, age_s) for _ in range(3)]

    assert [name and name.split("/")[0] for name in gone] == [
        *(folder.name for folder in board.made[:2]),
        None,
    ]
    assert len(segments(current)) == 1


NAMES: dict[str, tuple[list[float], list[str]]] = {
    "a clock that goes": ([0, 60, 60], ["120000", "120100", "120200"]),
    "set back an hour": ([0, -3600, 1], ["120000", "120001", "120002"]),
    "stands still": ([0, 0, 0], ["120000Z", "120000Z-2", "120000Z-3"]),
    "stands still, then back": ([0, 0, -9], ["120000Z", "120000Z-2", "120001Z"]),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_are_unique_and_in_order(tmp_path: Path, name: str) -> None:
    steps, expected = NAMES[name]
    now, names = TODAY, []
    for step_s in steps:
        now += timedelta(seconds=step_s)
        names.append(recordings.new_recording(tmp_path, about(), now).name)

    assert [folder.name for folder in recordings.find_recordings(tmp_path)] == names
    assert all(part in found for part, found in zip(expected, names, strict=True))


def test_a_name_of_a_clock_that_was_ahead_is_not_gone_on_with(board: Board) -> None:
    board.records()
    board.runs(60.0, AHEAD_S)
    board.records()
    board.runs(60.0, -AHEAD_S)
    board.records()

    assert [folder.name[:4] for folder in board.made] == ["2026", "2036", "2026"]
    assert board.made[0].name < board.made[2].name


def test_many_sessions_of_one_second_are_in_order(tmp_path: Path) -> None:
    names = [recordings.new_recording(tmp_path, about(), TODAY).name for _ in range(12)]

    assert [folder.name for folder in recordings.find_recordings(tmp_path)] == names


@pytest.mark.parametrize("by_s", [-3600.0, 3650 * DAY_S, 7.0])
def test_a_clock_that_is_set_is_seen(board: Board, by_s: float) -> None:
    watch = ClockMonitor(board.utc.timestamp())
    board.runs(HOUR_S, HOUR_S + 1.0)  # drift, or a step of a time server
    assert watch.jumped_s(board.utc.timestamp()) == 0.0
    board.runs(1.0, 1.0 + by_s)

    assert watch.jumped_s(board.utc.timestamp()) == pytest.approx(by_s + 1.0)
    assert watch.jumped_s(board.utc.timestamp()) == 0.0


def test_a_clock_that_jumps_while_it_records(tmp_path: Path, wav: Path) -> None:
    """By ten years and back: said in the session, and nothing of another is deleted."""
    out = tmp_path / "out"
    first = Recorder(FileInput(str(wav), 0), MemoryView(), settings_for(out))
    assert record(first) == 0
    readings = [0, 0, AHEAD_S, AHEAD_S, AHEAD_S]

    def utc_now() -> datetime:
        return TODAY + timedelta(seconds=readings.pop(0) if readings else 0)

    settings = settings_for(out, limits=Limits(min_free_bytes=0, keep_days=30))
    second = Recorder(FileInput(str(wav), 1.0), MemoryView(), settings, utc_now)
    assert record(second) == 0

    assert first.folder.is_dir()
    assert "retention" not in events_of(second.folder)
    jumps = recordings.read_about(second.folder).clock_jumps
    assert sum(jump.by_s for jump in jumps if jump.by_s > 0) > 9 * 365 * DAY_S


@pytest.mark.parametrize("ahead", ["+3650d", "+40d", "-3650d"])
def test_really_with_another_clock(tmp_path: Path, ahead: str) -> None:
    if shutil.which("faketime") is None:
        pytest.skip("needs faketime: apt install faketime")
    soundfile.write(tmp_path / "a.wav", noise(1.0), SECOND)
    options = ["--out", "r", "--wav", "a.wav", "--pace", "0", "--audio-only", "--quiet"]
    command = [sys.executable, "-m", "echo_edge", "record", *options, "--keep-days", "30"]

    for wrapped in ([], [], ["faketime", "-f", ahead], []):
        subprocess.run([*wrapped, *command], cwd=tmp_path, check=True, timeout=120)

    found = recordings.find_recordings(tmp_path / "r")
    assert len(found) == 4
    state = json.loads((tmp_path / "r" / STATE).read_bytes())
    assert set(state["sessions"]) == {folder.name for folder in found}
    assert state["passed_s"] < HOUR_S
