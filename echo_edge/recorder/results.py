"""The results of the recording in progress, shown as its transcriber reports them."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from echo_edge.audio.condition import not_nominal
from echo_edge.recorder.capture import AudioInput
from echo_edge.recorder.child import Child
from echo_edge.recorder.messages import (
    Failure,
    Message,
    NobodyByName,
    Progress,
    Signal,
    SpeakerName,
    Tentative,
    WordGroup,
    rounded,
)
from echo_edge.recorder.options import Settings
from echo_edge.recorder.view import View, WordGroups
from echo_edge.result import Turn, Word

_POLL_S = 0.1
_GROUP_DONE_S = 3.0
"""No word is expected to join a group this long after its end."""


class LiveResults:
    """Owns the transcriber's process, if there is one; never waits for it but in `finish`."""

    def __init__(self, settings: Settings, view: View, source: AudioInput) -> None:
        self._settings, self._view, self._source = settings, view, source
        self._signal_reported = False
        self._child: Child | None = None
        self._groups = WordGroups()
        self.done_s = 0.0
        """The time of the recording up to which audio was transcribed."""

    @property
    def is_live(self) -> bool:
        """Whether there is a transcriber."""
        return self._child is not None

    def start(self, folder: Path) -> None:
        """Transcribe the recording in `folder`, and no other. OSError if that does not start."""
        self.close()
        self._groups.take()
        self.done_s = 0.0
        self._child = Child(folder, self._settings.bundle, self._settings.command)

    def send(self, command: str) -> bool:
        """Send a command; False if there is no transcriber."""
        if self._child is not None:
            self._child.send(command)
        return self._child is not None

    def forget(self) -> None:
        """Show nothing of words whose line is not complete."""
        self._groups.take()

    def take(self) -> list[Signal | NobodyByName | Failure]:
        """Show what was reported since the last call; the messages that are for the user."""
        notices = list[Signal | NobodyByName | Failure]()
        if self._child is None:
            return notices
        while not self._child.messages.empty():
            notices += self._take(self._child.messages.get())
        self._show(self._groups.take_before(self.done_s - _GROUP_DONE_S))
        return notices

    def _take(self, message: Message) -> Iterator[Signal | NobodyByName | Failure]:
        match message:
            case Progress():
                self.done_s = message.done_s
            case Turn() | SpeakerName():
                self._view.show(message)
            case Word():
                self._show(self._groups.add(message))
            case Tentative():
                words = (*map(rounded, self._groups.open), *message.words)
                self._view.show(Tentative(message.turns, words))
            case Signal() if not self._signal_reported:
                found = ", ".join(filter(None, (self._source.finding, message.message)))
                self._signal_reported = bool(found)
                if found:
                    yield Signal(not_nominal(self._source.name, found))
            case NobodyByName() | Failure():
                yield message

    def exit_code(self) -> int | None:
        """Of a transcriber that ended, whose messages are all there to take; None while it runs."""
        if self._child is None or self._child.exit_code is None:
            return None
        self._child.wait(1.0)
        return self._child.exit_code

    def finish(self, timeout_s: float, goes_on: Callable[[], bool]) -> int | None:
        """Let it come to an end, as long as `goes_on`; its exit code, None if it takes longer."""
        if self._child is None:
            return 0
        self._child.send("stop")
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

    def _show(self, group: WordGroup | None) -> None:
        if group is not None:
            self._view.show(group)
