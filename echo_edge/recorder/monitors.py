"""Checks that the main thread makes while it records: of the audio input, and of the storage."""

from echo_edge.errors import OutputError
from echo_edge.recorder import recordings
from echo_edge.recorder.capture import QUEUE_S, AudioInput, BlockQueue
from echo_edge.recorder.journal import Journal
from echo_edge.recorder.options import Settings
from echo_edge.recorder.recording import Recording
from echo_edge.recorder.results import LiveResults
from echo_edge.recorder.terminal import say
from echo_edge.recorder.writer import Writer


class InputMonitor:
    """Logs the start of the audio input, losses of its device and overruns of the queue."""

    def __init__(
        self, source: AudioInput, queue: BlockQueue, recording: Recording, journal: Journal
    ) -> None:
        self._source, self._queue = source, queue
        self._recording, self._journal = recording, journal
        self._started = self._is_away = False
        self._losses = (0.0, 0)

    def check(self) -> None:
        """Log what changed since the last call."""
        if self._queue.flows.is_set() and not self._started:
            self._started = True
            self._journal.event(
                "start", session=self._recording.folder.name, source=self._source.name
            )
            jumped_s = self._recording.passed.jumped_s
            if jumped_s:
                self._journal.event("clock jumped", by_s=round(jumped_s, 3))
        problem = self._source.problem
        if problem is not None and not self._is_away:
            self._journal.event("device lost", reason=problem)
            say(problem)
        elif problem is None and self._is_away:
            self._journal.event("device back", device=self._source.name)
        self._is_away = problem is not None
        losses = (self._queue.lost_s, self._queue.n_overruns)
        if losses != self._losses:
            self._losses = losses
            self._journal.event("overrun", lost_s=round(losses[0], 3), n_overruns=losses[1])


class StorageMonitor:
    """Looks after room, old recordings and the clock; logs storage that goes and comes back."""

    def __init__(
        self,
        settings: Settings,
        recording: Recording,
        writer: Writer,
        results: LiveResults,
        journal: Journal,
    ) -> None:
        self._out, self._limits = settings.out, settings.limits
        self._recording, self._writer = recording, writer
        self._results, self._journal = results, journal
        self._away: str | None = None
        self._n_failures = 0
        self._lacks = set[str]()
        self._is_low = False

    @property
    def is_away(self) -> bool:
        """Whether storage was away at the last check."""
        return bool(self._away)

    def check(self) -> None:
        """Log storage that is away once, and once that it is back and where."""
        for lack in sorted(self._recording.lacks - self._lacks):
            self._lacks.add(lack)
            self._journal.event("storage lacks", message=lack)
        writer, was_away = self._writer, self._away
        failed = writer.n_failures != self._n_failures
        self._away, self._n_failures = writer.away, writer.n_failures
        if failed and not was_away:
            reason = self._away or writer.problem
            say(f"{reason}; {writer.unwritten_s:.1f} s are in memory, at most {QUEUE_S:.0f} s wait")
            self._journal.event("storage away", reason=reason)
        if (failed or was_away) and not self._away:
            folder = self._recording.folder
            self._journal.event("storage back", session=folder.name)
            say(f"{folder}: storage is back, recording goes on there")

    def clean_up(self) -> None:
        """Delete what is too old or too much; a file that cannot be deleted stops no recording."""
        if self._writer.away:
            return
        try:
            for name in self._recording.clean_up():
                self._journal.event("retention", deleted=name)
        except (OSError, OutputError) as error:
            self._journal.fail(
                f"{self._out}: old recordings cannot be deleted ({error}): delete them yourself"
            )

    def check_clock(self) -> None:
        """Log that the clock was set: no time of the recording changes, but the `utc` of events."""
        by_s = self._recording.clock_jump(self._writer.recorded_s)
        if by_s:
            self._journal.event("clock jumped", by_s=round(by_s, 3))

    def has_room(self) -> bool:
        """False if recording must stop. Low on room, first results wait, then old audio goes if
        that was asked for. OSError."""
        limits = self._limits
        free = recordings.free_bytes(self._out)
        while limits.rotate and free < limits.min_free_bytes / 2:
            oldest = self._recording.delete_oldest()
            if oldest is None:
                break
            self._journal.event("retention", deleted=oldest)
            free = recordings.free_bytes(self._out)
        if (free < limits.min_free_bytes) != self._is_low:
            self._is_low = not self._is_low
            name = "low disk" if self._is_low else "disk has room"
            self._journal.event(name, free_mib=free // 2**20)
            self._results.send("hold" if self._is_low else "go")
        if free >= limits.min_free_bytes / 2:
            return True
        self._journal.fail(
            f"{self._out}: {free / 2**20:.0f} MiB are free, expected "
            f"{limits.min_free_bytes / 2**21:.0f} at least: recording stopped, all audio up "
            f"to here is kept; make room, then echo-edge record --recover {self._recording.folder}"
        )
        return False
