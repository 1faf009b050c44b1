"""The voice-activity gate on emulated Cortex-M processors: what expect.txt says, the same scores
everywhere, no more memory than promised, and a recorder that is woken and put to sleep."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import wave
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "firmware_examples/cortex_m_gate"
WAKE_RECORDER = EXAMPLE / "wake_recorder.py"
APT = "apt install gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
MOST_FLASH, MOST_RAM = 20_000, 8_000
"""Bytes of the whole program, stack included."""

Line = dict[str, Any]
Make = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def _cross() -> None:
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}: {APT}")


@pytest.fixture
def run(make: Make) -> Callable[..., list[Line]]:
    """What the program prints on a processor, or on this machine."""

    def with_cpu(cpu: str, *words: str) -> list[Line]:
        goals = ["demo_host"] if cpu == "host" else [f"CPU={cpu}", "demo"]
        return _lines(make(EXAMPLE, "-s", *goals, *words).stdout)

    return with_cpu


def _lines(stdout: str) -> list[Line]:
    return [json.loads(line) for line in stdout.splitlines() if line.startswith("{")]


@pytest.mark.usefixtures("_cross")
def test_prints_what_expect_txt_says(run: Callable[..., list[Line]]) -> None:
    """After gate_weights.h changed: make -C firmware_examples/cortex_m_gate expect. Another version
    of the compiler may need a few more bytes or instructions."""
    *expected, board = _lines((EXAMPLE / "expect.txt").read_text())

    *found, here = run("cortex-m4")

    assert found == expected
    assert here.keys() == board.keys()
    for name in ("flash_bytes", "ram_bytes", "stack_bytes", "instructions_per_audio_s"):
        assert here[name] == pytest.approx(board[name], rel=0.1, abs=64)


def test_the_gate_hears_both_stretches(run: Callable[..., list[Line]]) -> None:
    """The clip has talk from 5 s to 17 s and from 27 s to 35 s (make_clip.py)."""
    events = [(line["event"], line["time_s"]) for line in run("host") if "event" in line]
    changes = [each for each in events if each[0] in ("wake", "sleep")]

    assert [name for name, _ in changes] == ["wake", "sleep", "wake", "sleep"]
    times = [at for _, at in changes]
    assert 5.0 < times[0] < 5.5
    assert 18.0 < times[1] < 21.0
    assert 27.0 < times[2] < 27.5
    assert 36.0 < times[3] < 39.0


@pytest.mark.usefixtures("_cross")
@pytest.mark.parametrize("cpu", ["cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m55"])
def test_same_scores_on_every_processor(cpu: str, run: Callable[..., list[Line]]) -> None:
    here = run("host", "SCORES=1")

    *there, board = run(cpu, "SCORES=1")

    assert there == here
    assert len(here) > 2000
    assert board["cpu"] == cpu
    assert board["flash_bytes"] <= MOST_FLASH
    assert board["ram_bytes"] + board["stack_bytes"] <= MOST_RAM
    assert 1e6 < board["instructions_per_audio_s"] < 5e7


@pytest.mark.usefixtures("_cross")
def test_needs_no_floating_point_and_no_memory_management(make: Make) -> None:
    """What the gate's object file wants from others: moving memory and 64-bit integers."""
    make(EXAMPLE, "CPU=cortex-m0", "program")
    wanted = subprocess.run(
        ["arm-none-eabi-nm", "--undefined-only", EXAMPLE / "build/cortex-m0/gate.o"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip

    names = set(re.findall(r" U (\w+)", wanted))
    assert names <= {
        "memcpy", "memset", "__aeabi_lmul", "__aeabi_llsl", "__aeabi_llsr", "__aeabi_lasr",
        "__aeabi_idiv", "__aeabi_idivmod", "__aeabi_uidivmod", "__aeabi_uidiv", "__clzsi2",
        "__clzdi2", "__gnu_thumb1_case_uqi", "__gnu_thumb1_case_sqi",
    }  # fmt: skip


@pytest.mark.usefixtures("_cross")
def test_size_is_printed(make: Make) -> None:
    text = make(EXAMPLE, "-s", "size").stdout

    assert "gate.elf" in text
    found = re.search(r"one gate in RAM: (\d+) bytes", text)
    assert found is not None
    assert 3000 < int(found[1]) < 4000


def test_other_audio_is_refused(make: Make, tmp_path: Path) -> None:
    make(EXAMPLE, "host")
    with wave.open(str(tmp_path / "b.wav"), "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(bytes(4000))
    (tmp_path / "a.wav").write_bytes(b"RIFF")

    for name, why in (("no.wav", "found none"), ("a.wav", "another"), ("b.wav", "another file")):
        done = subprocess.run(
            [EXAMPLE / "build/host-release/gate_host", tmp_path / name],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 1
        (line,) = _lines(done.stdout)
        assert line["event"] == "error"
        assert why in line["why"]


RECORDER = """
import signal, sys
def say(number, frame): print(signal.Signals(number).name, flush=True)
signal.signal(signal.SIGUSR1, say)
signal.signal(signal.SIGUSR2, say)
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def _recorder() -> Iterator["subprocess.Popen[str]"]:
    """A process that says which signals reach it."""
    process = subprocess.Popen(
        [sys.executable, "-c", RECORDER],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _heard(recorder: "subprocess.Popen[str]", n: int) -> list[str]:
    assert recorder.stdout is not None
    return [recorder.stdout.readline().strip() for _ in range(n)]


def _wake(pid: int, *options: object, stdin: int = subprocess.PIPE) -> "subprocess.Popen[str]":
    command = [sys.executable, str(WAKE_RECORDER), "--pid", str(pid), *map(str, options)]
    return subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _say(waker: "subprocess.Popen[str]", line: str) -> None:
    assert waker.stdin is not None
    waker.stdin.write(f"{line}\n")
    waker.stdin.flush()


def test_wakes_and_pauses_a_recorder() -> None:
    with _recorder() as recorder:
        waker = _wake(recorder.pid)
        assert _heard(recorder, 1) == ["SIGUSR1"]
        _say(waker, 'ke", "time_s": 1.00}')  # the line that was cut when the port was opened
        _say(waker, '{"event": "wake", "time_s": 5.64}')
        assert _heard(recorder, 1) == ["SIGUSR2"]
        _say(waker, '{"event": "alive", "time_s": 10.00}')
        _say(waker, '{"event": "sleep", "time_s": 19.00}')
        assert _heard(recorder, 1) == ["SIGUSR1"]
        _say(waker, '{"event": "end", "time_s": 20.00}')
        assert _heard(recorder, 1) == ["SIGUSR2"]
        out, err = waker.communicate(timeout=20)

    assert (waker.returncode, err) == (0, "")
    assert re.findall(r"pause|resume", out) == ["pause", "resume", "pause", "resume"]


@pytest.mark.parametrize("how", ["silent", "closed", "error", "terminated"])
def test_a_recorder_without_its_gate_records(how: str) -> None:
    with _recorder() as recorder:
        waker = _wake(recorder.pid, "--timeout-s", 0.5 if how == "silent" else 30)
        assert _heard(recorder, 1) == ["SIGUSR1"]
        if how == "closed":
            assert waker.stdin is not None
            waker.stdin.close()
            waker.stdin = None
        elif how == "error":
            _say(waker, '{"event": "error", "why": "the processor faulted"}')
        elif how == "terminated":
            waker.send_signal(signal.SIGTERM)
        assert _heard(recorder, 1) == ["SIGUSR2"]
        _, err = waker.communicate(timeout=20)

    assert waker.returncode == (0 if how == "terminated" else 1)
    assert how == "terminated" or "the gate is gone" in err


def test_reads_a_serial_port() -> None:
    ours, theirs = pty.openpty()
    with _recorder() as recorder:
        waker = _wake(recorder.pid, "--serial", os.ttyname(theirs))
        assert _heard(recorder, 1) == ["SIGUSR1"]
        os.write(ours, b'{"event": "wake", "time_s": 5.64}\r\n')
        assert _heard(recorder, 1) == ["SIGUSR2"]
        os.close(theirs)
        os.close(ours)  # pulled out
        assert _heard(recorder, 1) == ["SIGUSR2"]
        waker.communicate(timeout=20)

    assert waker.returncode == 1


def test_what_cannot_be_reached_is_said(tmp_path: Path) -> None:
    with _recorder() as recorder:
        pid = recorder.pid
    (tmp_path / "port").write_bytes(b"")

    gone = _wake(pid).communicate(timeout=20)[1]
    no_port = _wake(os.getpid(), "--serial", tmp_path / "port").communicate(timeout=20)[1]
    no_baud = _wake(os.getpid(), "--serial", "/dev/tty", "--baud", "7").communicate(timeout=20)[1]

    assert "the recorder cannot be reached" in gone
    assert "cannot be read as a serial port" in no_port
    assert "found 7" in no_baud
    assert all(len(text.splitlines()) == 1 for text in (gone, no_port, no_baud))


def _next_change(lines: Iterable[bytes]) -> str:
    """The next pause or resume that a recorder reports."""
    kinds: Iterable[str] = (json.loads(line)["type"] for line in lines)
    return next(kind for kind in kinds if kind in ("pause", "resume"))


def test_the_gate_pauses_a_real_recorder(make: Make, null_bundle: Path, tmp_path: Path) -> None:
    """The recorder of this package, and the program's own lines from this machine."""
    lines = make(EXAMPLE, "-s", "demo_host").stdout
    with wave.open(str(tmp_path / "long.wav"), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(bytes(32_000 * 60))
    code = "import sys; from echo_edge.cli import main; sys.exit(main())"
    recorder = subprocess.Popen(
        [sys.executable, "-c", code, "record", "--json", "--out", str(tmp_path / "out"),
         "--wav", str(tmp_path / "long.wav")],
        stdout=subprocess.PIPE, env=os.environ | {"ECHO_EDGE_BUNDLE": str(null_bundle)},
    )  # fmt: skip
    assert recorder.stdout is not None
    try:
        assert json.loads(recorder.stdout.readline())["type"] == "start"
        waker = _wake(recorder.pid)
        found = [_next_change(recorder.stdout)]
        for line in lines.splitlines():
            _say(waker, line)
            if json.loads(line)["event"] in ("wake", "sleep", "end"):
                found.append(_next_change(recorder.stdout))
        waker.communicate(timeout=20)
    finally:
        recorder.kill()
        recorder.communicate()

    assert found == ["pause", "resume", "pause", "resume", "pause", "resume"]
    assert waker.returncode == 0
