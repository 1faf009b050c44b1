"""Events of the recording in progress: logged, shown, and printed where something fails."""

from echo_edge.recorder.recording import Recording
from echo_edge.recorder.terminal import say
from echo_edge.recorder.view import View
from echo_edge.recorder.writer import Writer


class Journal:
    """Writes events with the time of the recording; `exit_code` is 1 once anything failed."""

    def __init__(self, recording: Recording, writer: Writer, view: View) -> None:
        self._recording, self._writer, self._view = recording, writer, view
        self.exit_code = 0

    def event(self, name: str, **fields: object) -> None:
        """Log and show an event."""
        event, problem = self._recording.event(name, self._writer.recorded_s, **fields)
        self._view.show(event)
        if problem is not None and not self._writer.away:
            say(problem)

    def fail(self, message: str) -> None:
        """Log, show and say that something failed."""
        self.exit_code = self.exit_code or 1
        self.event("failed", message=message)
        say(message)
