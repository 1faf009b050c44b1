"""Lets the gate's lines, from a serial port or stdin, pause and resume a recorder.

    wake_recorder.py --unit echo-edge-recorder --serial /dev/ttyACM0
    make -s demo | ./wake_recorder.py --pid $(pgrep -f 'echo-edge record')

Wakes send SIGUSR2, sleeps SIGUSR1, as `echo-edge record` understands them. In doubt it records:
when the port falls silent, breaks or reports an error, the recorder is resumed before this ends.
Python's standard library alone.
"""

import argparse
import json
import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

Send = Callable[[signal.Signals], None]

PAUSE, RESUME = signal.SIGUSR1, signal.SIGUSR2
LONGEST_LINE = 4096


def fail(message: str) -> NoReturn:
    """One line, exit code 1."""
    print(f"wake_recorder: {message}", file=sys.stderr)
    sys.exit(1)


def open_serial(path: str, baud: int) -> int:
    """A serial port without any editing of what comes in."""
    speed = getattr(termios, f"B{baud}", None)
    if speed is None:
        fail(f"--baud: found {baud}, expected a standard rate such as 115200")
    try:
        port = os.open(path, os.O_RDONLY | os.O_NOCTTY)
        options = termios.tcgetattr(port)
        control = termios.CS8 | termios.CREAD | termios.CLOCAL
        options[:6] = [0, 0, control, 0, speed, speed]
        termios.tcsetattr(port, termios.TCSANOW, options)
    except (OSError, termios.error) as error:
        fail(f"{path}: cannot be read as a serial port ({error}): is the board plugged in?")
    return port


def lines(port: int, timeout_s: float) -> Iterator[bytes]:
    """Whole lines until the end, or until none came for `timeout_s`."""
    pending, deadline = b"", time.monotonic() + timeout_s
    while (rest := deadline - time.monotonic()) > 0:
        if not select.select([port], [], [], rest)[0]:
            break
        try:
            data = os.read(port, 1024)
        except OSError:  # the port was pulled out
            return
        if not data:
            return
        *complete, pending = (pending + data).split(b"\n")
        pending = pending[-LONGEST_LINE:]
        for line in complete:
            deadline = time.monotonic() + timeout_s
            yield line
    print(f"wake_recorder: no line for {timeout_s:g} s", file=sys.stderr)


def follow(found: Iterator[bytes], send: Send) -> bool:
    """Asleep until told otherwise; whether the gate came to its end in order."""
    send(PAUSE)
    for line in found:
        try:
            event = json.loads(line)["event"]
        except (ValueError, KeyError, TypeError):  # the first line after plugging in is cut
            continue
        if event == "wake":
            send(RESUME)
        elif event == "sleep":
            send(PAUSE)
        elif event in ("end", "error"):
            return bool(event == "end")
    return False


def sender(pid: int | None, unit: str | None) -> Send:
    """How the recorder is reached."""

    def send(number: signal.Signals) -> None:
        print(f"wake_recorder: {'pause' if number == PAUSE else 'resume'}", flush=True)
        if pid is not None:
            os.kill(pid, number)
        else:
            subprocess.run(
                ["systemctl", "kill", "-s", number.name, "--kill-whom=main", str(unit)], check=True
            )

    return send


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--pid", type=int, help="process of `echo-edge record`")
    who.add_argument("--unit", help="its systemd unit")
    parser.add_argument("--serial", metavar="DEVICE", help="default: stdin")
    parser.add_argument("--baud", type=int, default=115200)
    parser.add_argument(
        "--timeout-s", type=float, default=30.0, help="without a line (the gate sends one every "
        "10 s), before the recorder is resumed for good",
    )  # fmt: skip
    args = parser.parse_args()
    port = 0 if args.serial is None else open_serial(args.serial, args.baud)
    send = sender(args.pid, args.unit)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        try:
            in_order = follow(lines(port, args.timeout_s), send)
        finally:
            send(RESUME)
    except (ProcessLookupError, PermissionError, subprocess.CalledProcessError) as error:
        fail(f"the recorder cannot be reached ({error}): is it running, and as whom?")
    if not in_order:
        fail("the gate is gone: the recorder records without it; start this again")


if __name__ == "__main__":
    main()
