"""The recording in progress on its storage: folder, locks, events; and how it goes on where that is
replaced."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from echo_edge.audio import SAMPLE_RATE
from echo_edge.errors import OutputError
from echo_edge.recorder import recordings, retention
from echo_edge.recorder.clock import ClockMonitor, PassedTime
from echo_edge.recorder.log import EVENTS, MessageLog
from echo_edge.recorder.messages import Event
from echo_edge.recorder.options import Settings
from echo_edge.recorder.recordings import About, ClockJump
from echo_edge.recorder.segments import SegmentWriter
from echo_edge.recorder.storage import NO_LOCKS, Lock, MountPoint, lock

_MAX_WAITING = 1000
"""Events that wait for a disk that takes none."""


class Recording:
    """A recording in progress. Raises OutputError if it cannot begin.

    `is_there` and `reopen` are the writer thread's, the rest is the main thread's.
    """

    def __init__(
        self, settings: Settings, source_name: str, utc_now: Callable[[], datetime]
    ) -> None:
        self._settings, self._out, self._utc_now = settings, settings.out, utc_now
        recordings.make_folder(self._out)
        self._mount = MountPoint(self._out)
        self.lacks: set[str] = set()
        """Operations that this storage lacks, in words."""
        self._locks: list[Lock] = []
        self._out_lock = self._lock_out()
        now = utc_now()
        self.passed = PassedTime(self._out, now.timestamp())
        self._clock = ClockMonitor(now.timestamp())
        jumped_s = round(self.passed.jumped_s, 3)
        self._about = About(
            schema=recordings.SCHEMA,
            started_utc=now.isoformat(),
            source=source_name,
            options=settings.options,
            clock_jumps=(ClockJump(0.0, jumped_s),) if jumped_s else (),
        )
        self._begin(now)
        self._log = MessageLog(self.folder / EVENTS)
        self._log_folder = self.folder
        self._waiting: list[Event] = []

    def segment_writer(self) -> SegmentWriter:
        """Of the recording's audio, from its beginning."""
        longest = max(1, round(self._settings.segment_s * SAMPLE_RATE))
        return SegmentWriter(self.folder, longest, self.lacks)

    def is_there(self) -> bool:
        """Whether what is written is where the folder is."""
        return self._lock.is_at(self.folder)

    def reopen(self, segments: SegmentWriter) -> SegmentWriter:
        """Storage failed: go on where `segments` was synced last; or, if the recording is not there
        any more, in a new one. OutputError while there is nothing to write to."""
        try:
            self._mount.check()
            recordings.make_folder(self._out)
            if not self._out_lock.is_at(self._out):
                self._out_lock = self._lock_out()
            if self._is_ours():
                if not self.is_there():
                    self._lock_folder()
                segments.resume()
                return segments
            now = self._utc_now()
            self._about = replace(
                self._about, started_utc=now.isoformat(), continues=self.folder.name
            )
            self._begin(now)
        except OSError as error:
            raise OutputError(f"{self._out}: {error.strerror}: storage is away") from error
        return self.segment_writer()

    def event(self, name: str, at_s: float, **fields: object) -> tuple[Event, str | None]:
        """Log an event; the event, and what is wrong if it has to wait."""
        utc = self._utc_now().isoformat(timespec="milliseconds")
        event = Event(name, round(at_s, 3), utc, fields)
        self._waiting = [*self._waiting, event][-_MAX_WAITING:]
        try:
            if self._log_folder != self.folder:
                self._log.close()
                self._log = MessageLog(self.folder / EVENTS)
                self._log_folder = self.folder
            while self._waiting:
                self._log.write(self._waiting[0])
                del self._waiting[0]
            self._log.sync()
        except OutputError as error:  # a full disk: audio matters more
            return event, str(error)
        return event, None

    def clock_jump(self, at_s: float) -> float:
        """By how much the clock was set since the last call, which is noted; 0 if it was not."""
        by_s = self._clock.jumped_s(self._utc_now().timestamp())
        if by_s:
            with suppress(OutputError):
                recordings.note_jump(self.folder, at_s, by_s)
        return by_s

    def count_time(self) -> None:
        """Note how much time passed, for retention. OSError if the folder is away."""
        self.passed.advance(self._utc_now().timestamp())
        self.passed.save(
            [each.name for each in recordings.find_recordings(self._out)], self.folder.name
        )

    def clean_up(self) -> list[str]:
        """Delete what is too old or too much; what was deleted. OSError, OutputError."""
        self.count_time()
        limits = self._settings.limits
        return retention.clean_up(self._out, self.folder, limits, self.passed.age_s)

    def delete_oldest(self) -> str | None:
        """Delete the oldest audio; what was deleted, None if there is nothing. OSError."""
        return retention.delete_oldest(self._out, self.folder, self.passed.age_s)

    def close(self) -> None:
        """Close the files and let others hold the folders."""
        with suppress(OSError):
            self._log.close()
        for found in self._locks:
            with suppress(OSError):
                found.close()

    def _lock_out(self) -> Lock:
        found = lock(self._out)
        if found is None:
            raise OutputError(
                f"{self._out}: another recorder writes there: stop it or choose another folder"
            )
        if not found.excludes:
            self.lacks.add(NO_LOCKS)
        self._locks.append(found)
        return found

    def _lock_folder(self) -> None:
        found = lock(self.folder)
        if found is None:
            raise OutputError(f"{self.folder}: is being recovered: stop that first")
        self._lock = found
        self._locks.append(found)

    def _begin(self, now: datetime) -> None:
        self.folder = recordings.new_recording(self._out, self._about, now, self.lacks)
        self._lock_folder()

    def _is_ours(self) -> bool:
        try:
            about = recordings.read_about(self.folder)
        except OutputError:
            return False
        return about.started_utc == self._about.started_utc
