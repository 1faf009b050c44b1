"""How a running recorder is controlled: signals, keys, a request left in its folder; and how
it tells systemd that it lives. Nothing of this uses a network."""

import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, Self

from echo_edge.errors import EchoError, OutputError
from echo_edge.recorder.terminal import Keys

DELETE_REQUEST = ".delete-last"


class Controls:
    """Signals and keys while the context lasts; what they asked for.

    SIGINT, SIGTERM, SIGHUP, `q`: stop (twice: at once); SIGUSR1: pause; SIGUSR2: resume; `p`:
    either; `d`: delete the last minute.
    """

    def __init__(self, keys: bool) -> None:
        self.n_stops = 0
        """How often it was asked to stop."""
        self.paused = False
        self.delete_min = 0.0
        """Minutes to delete; whoever does it sets it back."""
        self._keys = Keys(keys)
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                self._before[number] = signal.signal(number, self._stop)
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            self._before[number] = signal.signal(number, self._pause)
        self._keys.__enter__()
        return self

    def poll(self) -> None:
        """Look whether a key was pressed."""
        for key in self._keys.read():
            if key == "q":
                self.n_stops += 1
            elif key == "p":
                self.paused = not self.paused
            elif key == "d":
                self.delete_min += 1.0

    def __exit__(self, *exc: object) -> None:
        self._keys.__exit__(*exc)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, _: int, __: FrameType | None) -> None:
        self.n_stops += 1

    def _pause(self, number: int, _: FrameType | None) -> None:
        self.paused = number == signal.SIGUSR1


def request_delete(out: Path, minutes: float, timeout_s: float = 15.0) -> None:
    """Ask the recorder of `out` to delete the last minutes, and wait until it has. OutputError."""
    path, partial = out / DELETE_REQUEST, out / f"{DELETE_REQUEST}.partial"
    try:
        partial.write_text(f"{minutes}\n", encoding="ascii")
        partial.replace(path)
    except OSError as error:
        raise OutputError(
            f"{out}: a request cannot be left there ({error.strerror}): "
            "run this as the recorder's user"
        ) from error
    deadline = time.monotonic() + timeout_s
    while path.exists():
        if time.monotonic() > deadline:
            path.unlink(missing_ok=True)
            raise EchoError(f"{out}: the recorder did not answer in {timeout_s:.0f} s: see its log")
        time.sleep(0.05)


def requested_delete_min(out: Path) -> float:
    """Minutes that somebody wants deleted, 0 if nobody does; `answer_delete` must follow."""
    try:
        return max(0.0, float((out / DELETE_REQUEST).read_text(encoding="ascii")))
    except (OSError, ValueError):
        return 0.0


def answer_delete(out: Path) -> None:
    """Say that it is done."""
    (out / DELETE_REQUEST).unlink(missing_ok=True)


def notify(state: str) -> None:
    """Tell systemd, if it started us and listens: READY=1, WATCHDOG=1, STATUS=..., STOPPING=1."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.setblocking(False)
            link.sendto(state.encode(), address.replace("@", "\0", 1))
