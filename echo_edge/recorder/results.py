"""The results of the session that is being recorded, shown as its transcriber reports them."""

import time
from collections.abc import Callable
from pathlib import Path

from echo_edge.audio.condition import not_nominal
from echo_edge.recorder import messages as lines
from echo_edge.recorder.capture import Source
from echo_edge.recorder.child import Child
from echo_edge.recorder.settings import Settings
from echo_edge.recorder.view import View, WordGroups

_POLL_S = 0.1
_GROUP_DONE_S = 3.0
"""No word is expected to join a group this long after its end."""


class LiveResults:
    """Owns the transcriber's process, if there is one; never waits for it but in `finish`."""

    def __init__(self, settings: Settings, view: View, source: Source) -> None:
        self._settings, self._view, self._source = settings, view, source
        self._signal_said = False
        self._child: Child | None = None
        self._groups = WordGroups()
        self.done_s = 0.0
        """The session's time up to which audio was transcribed."""

    @property
    def come(self) -> bool:
        """Whether there is a transcriber."""
        return self._child is not None

    def start(self, folder: Path) -> None:
        """Transcribe the session in `folder`, and no other one. OSError if that does not start."""
        self.close()
        self._groups.take()
        self.done_s = 0.0
        self._child = Child(folder, self._settings.bundle, self._settings.command)

    def tell(self, command: str) -> bool:
        """Send a command; False if there is nobody."""
        if self._child is not None:
            self._child.tell(command)
        return self._child is not None

    def forget(self) -> None:
        """Show nothing of words whose line is not complete."""
        self._groups.take()

    def take(self) -> list[lines.Line]:
        """Show what was reported since the last call; the lines that are messages."""
        messages = list[lines.Line]()
        if self._child is None:
            return messages
        while not self._child.lines.empty():
            line = self._child.lines.get()
            match line["type"]:
                case "progress":
                    self.done_s = line["done_s"]
                case "turn" | "speaker":
                    self._view.show(line)
                case "word":
                    self._show(self._groups.add(lines.to_word(line)))
                case "tentative":
                    waiting = [lines.word_line(word) for word in self._groups.open]
                    self._view.show(line | {"words": waiting + line["words"]})
                case "signal" if not self._signal_said:
                    found = ", ".join(filter(None, (self._source.finding, line["message"])))
                    self._signal_said = bool(found)
                    if found:
                        messages.append(line | {"message": not_nominal(self._source.name, found)})
                case "nobody by name" | "error":
                    messages.append(line)
        self._show(self._groups.take_before(self.done_s - _GROUP_DONE_S))
        return messages

    def exit_code(self) -> int | None:
        """Of a transcriber that ended, all of whose lines are there to take; None while it runs."""
        if self._child is None or self._child.exit_code is None:
            return None
        self._child.wait(1.0)
        return self._child.exit_code

    def finish(self, timeout_s: float, goes_on: Callable[[], bool]) -> int | None:
        """Let it come to an end, as long as `goes_on`; its exit code, None if it takes longer."""
        if self._child is None:
            return 0
        self._child.tell("stop")
        deadline = time.monotonic() + timeout_s
        while not self._child.wait(_POLL_S):
            if not goes_on() or time.monotonic() > deadline:
                break
        return self._child.exit_code

    def show_rest(self) -> None:
        """Show the words whose line is not complete."""
        self._show(self._groups.take())

    def close(self) -> None:
        """End the process, whatever it does."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def _show(self, group: lines.Line | None) -> None:
        if group is not None:
            self._view.show(group)
