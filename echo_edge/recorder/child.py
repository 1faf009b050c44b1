"""The transcriber's process, as the recorder sees it: messages come out of it, commands go in, and
it may die at any moment without harm."""

import json
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

from echo_edge.errors import JsonError
from echo_edge.recorder.messages import Message, from_line

COMMAND = (sys.executable, "-m", "echo_edge.recorder.transcribe")


class Child:
    """Starts the process; never waits for it but in `wait`."""

    def __init__(
        self, folder: Path, bundle: str | None, command: tuple[str, ...] = COMMAND
    ) -> None:
        self.messages: SimpleQueue[Message] = SimpleQueue()
        """Messages that it sent and nobody took yet."""
        self._process = subprocess.Popen(
            [*command, str(folder), bundle or ""],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the recorder to handle
        )
        self._reader = threading.Thread(target=self._read, name="transcriber", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for a signal."""
        return self._process.poll()

    def send(self, command: str) -> None:
        """Send a command, unless the process has gone."""
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.write(f"{command}\n".encode())
                self._process.stdin.flush()

    def wait(self, timeout_s: float) -> bool:
        """Whether it ended within `timeout_s`, and all of its messages are in `messages`."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
            self._reader.join(timeout_s)
        return self.exit_code is not None

    def end(self) -> None:
        """End it now, whatever it does."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - opened above
        with suppress(ValueError, OSError):  # closed under us by `end`
            for text in self._process.stdout:
                with suppress(ValueError, JsonError):
                    self.messages.put(from_line(json.loads(text)))
