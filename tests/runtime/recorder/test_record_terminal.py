"""Where a recorder is started from: a terminal, in front or behind, a daemon, nothing at all."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import soundfile

from echo_edge.recorder import recordings
from tests.runtime.recording import SECOND, audio_of, noise

RECORD = f"'{sys.executable}' -m echo_edge record --audio-only"


class Shell:
    """An interactive bash on a terminal of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])  # noqa: S606
        self.shown = ""
        self.wait_for(r"[$#] $")

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._terminal, text.encode())

    def run(self, line: str) -> str:
        """Type a command that ends at once; what it printed."""
        before = len(self.shown)
        self.type(f"{line}; echo 'end'ed\n")
        self.wait_for("ended", before)
        return self.shown[before:]

    def wait_for(self, pattern: str, start: int = 0, timeout_s: float = 60.0) -> None:
        """Until the terminal shows it."""
        self.wait(lambda: bool(re.search(pattern, self.shown[start:])), timeout_s)

    def wait(self, happened: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Until something happened, reading what is shown."""
        deadline = time.monotonic() + timeout_s
        while not happened():
            assert time.monotonic() < deadline, self.shown
            if select.select([self._terminal], [], [], 0.05)[0]:
                self.shown += os.read(self._terminal, 65536).decode(errors="replace")

    def close(self) -> None:
        """End it and all that it started."""
        self.type("\x03\nkill -9 %1; exit\n")
        time.sleep(0.2)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._terminal)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    soundfile.write(tmp_path / "a.wav", noise(120.0), SECOND)
    shell = Shell(tmp_path)
    yield shell
    shell.close()


def _recorded_s(out: Path) -> float:
    """Seconds of audio that all sessions below `out` hold by now."""
    return sum(path.stat().st_size for path in out.glob("*/audio-*.wav")) / 2 / SECOND


def _grows(shell: Shell, out: Path) -> None:
    """Wait until it has recorded a second more than now."""
    now_s = _recorded_s(out)
    shell.wait(lambda: _recorded_s(out) > now_s + 1.0)


def _ended(out: Path) -> bool:
    return any('"stop"' in path.read_text() for path in out.glob("*/events.jsonl"))


@pytest.mark.parametrize("output", ["> log.txt 2>&1 &", "&", "--json &"])
@pytest.mark.parametrize("mode", ["-tostop", "tostop"])
def test_in_the_background_of_a_terminal(shell: Shell, output: str, mode: str) -> None:
    """Not stopped by SIGTTOU or SIGTTIN, and the terminal stays as it is."""
    shell.run(f"stty {mode}")
    before = shell.run("stty -g")
    shell.type(f"{RECORD} --out m --wav a.wav {output}\n")

    _grows(shell, shell.folder / "m")

    assert "Stopped" not in shell.run("jobs -l")
    assert re.findall(r"[0-9a-f:]{40,}", before) == re.findall(
        r"[0-9a-f:]{40,}", shell.run("stty -g")
    )


def test_keys_come_and_go_with_the_foreground(shell: Shell) -> None:
    """In front they are ours, after Ctrl-Z and `bg` they are the shell's, after `fg` ours again."""
    out = shell.folder / "m"
    (before,) = re.findall(r"[0-9a-f:]{40,}", shell.run("stty -g"))
    shell.type(f"{RECORD} --out m --wav a.wav\n")
    _grows(shell, out)
    shell.wait_for(r"rec 00:00:0")
    shell.type("p")
    shell.wait_for(r"\(pause\)")
    shell.type("p")
    shell.wait_for(r"\(resume\)")

    shell.type("\x1a")
    shell.wait_for("Stopped")
    assert re.findall(r"[0-9a-f:]{40,}", shell.run("stty -g")) == [before]
    shell.run("bg")
    _grows(shell, out)
    n_shown = len(shell.shown)
    assert "typed" in shell.run("echo ty'ped'")  # and not taken by the recorder
    _grows(shell, out)
    assert "rec 00:" not in shell.shown[n_shown:]
    assert re.findall(r"[0-9a-f:]{40,}", shell.run("stty -g")) == [before]

    shell.type("fg\n")
    shell.wait_for("rec 00:00", len(shell.shown))
    shell.type("q")
    shell.wait(lambda: _ended(out))
    shell.wait_for(r"[$#] $")
    assert re.findall(r"[0-9a-f:]{40,}", shell.run("stty -g")) == [before]


def test_a_terminal_of_another_session_is_left_alone(shell: Shell) -> None:
    """`setsid`: it has the terminal open, but it is not its own."""
    (before,) = re.findall(r"[0-9a-f:]{40,}", shell.run("stty -g"))
    (shell.folder / "start").write_text(f"echo $$ > pid; exec {RECORD} --out m --wav a.wav\n")
    shell.type("setsid sh start > log.txt 2>&1 &\n")

    _grows(shell, shell.folder / "m")

    assert re.findall(r"[0-9a-f:]{40,}", shell.run("stty -g")) == [before]
    assert "typed" in shell.run("echo ty'ped'")
    os.kill(int((shell.folder / "pid").read_text()), signal.SIGKILL)


WORLDS = {
    "no stdin": "{record} <&-",
    "no stdout": "{record} >&-",
    "no stderr": "{record} 2>&-",
    "nothing at all": "{record} <&- >&- 2>&-",
    "nothing at all, JSON": "{record} --json <&- >&- 2>&-",
    "nothing at all, quiet": "{record} --quiet <&- >&- 2>&-",
    "nohup": "nohup {record}",
    "background of a script": "{record} & wait $!",
    "SIGINT and SIGHUP ignored": "trap '' INT HUP; {record}",
    "cron": "env -i HOME=/ PYTHONPATH=$PYTHONPATH setsid -w {record} < /dev/null",
    "a full disk behind it": "{record} > /dev/full 2> /dev/full",
    "nobody reads it": "({record} 2>&1; echo $? > code) | true; exit $(cat code)",
    "standard input at its end": "{record} < /dev/null",
}

NOT_SHOWN = ("no stdout", "nothing at all", "nothing at all, JSON", "a full disk behind it")
"""Where what was to be shown was lost: the exit code may say so, all the same it is recorded."""


@pytest.mark.parametrize("name", WORLDS)
def test_it_records_wherever_it_is_started(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / "a.wav", noise(3.0), SECOND)
    line = WORLDS[name].format(record=f"{RECORD} --out m --wav a.wav --pace 0")

    done = subprocess.run(
        ["bash", "-c", line],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        start_new_session=True,
    )  # fmt: skip

    (folder,) = recordings.find_recordings(tmp_path / "m")
    assert audio_of(folder) == noise(3.0).tolist()
    assert "Traceback" not in done.stderr
    assert done.returncode == 0 or (done.returncode == 1 and name in NOT_SHOWN)


@pytest.mark.parametrize("stdin", ["<&-", "< /dev/null"])
def test_nothing_to_record_is_said_in_one_line(tmp_path: Path, stdin: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{RECORD} --quiet --out m --wav - {stdin}"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.returncode == 1
    assert re.fullmatch(r"echo-edge: stdin: .*expected.*\n", done.stderr)
