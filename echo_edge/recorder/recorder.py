"""One session of recording: starts the threads and the transcriber, watches over them, ends them in
the order in which nothing is lost."""

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from echo_edge.audio import SAMPLE_RATE
from echo_edge.errors import EchoError, OutputError
from echo_edge.recorder import controls
from echo_edge.recorder import messages as lines
from echo_edge.recorder import recordings as sessions
from echo_edge.recorder.capture import QUEUE_S, BlockQueue, Source
from echo_edge.recorder.recording import Recording
from echo_edge.recorder.results import LiveResults
from echo_edge.recorder.settings import Settings
from echo_edge.recorder.terminal import say
from echo_edge.recorder.view import Status, View
from echo_edge.recorder.writer import Writer

TICK_S = 0.1
_CLEAN_UP_S = 60.0
_STUCK_S = 20.0
"""A writer that does nothing for this long is stuck: systemd may restart us."""


class Recorder:
    """Records `source` until it ends or is stopped. Raises OutputError if it cannot begin."""

    def __init__(
        self,
        source: Source,
        view: View,
        settings: Settings,
        utc_now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._source, self._view, self._settings = source, view, settings
        self._recording = Recording(settings, source.name, utc_now)
        self._queue = BlockQueue()
        segments = self._recording.segment_writer()
        self._writer = Writer(self._queue, segments, self._recording, source.downmix)
        self._results = LiveResults(settings, view, source)
        self._stop = threading.Event()
        self._source_error: EchoError | None = None
        self._source_ended = False
        self._started = self._lost = False
        self._away: str | None = None
        self._n_failures = 0
        self._transcribed = self.folder
        self._lacks = set[str]()
        self._losses = (0.0, 0)
        self._disk_checked_s = self._cleaned_s = -math.inf
        self._held = False
        self.exit_code = 0

    def run(self, control: controls.Controls) -> int:
        """Record; the exit code: 0, 1 if anything failed, 3 if the bundle was refused."""
        thread = threading.Thread(target=self._run_source, name="source", daemon=True)
        self._writer.thread.start()
        thread.start()
        self._start_results()
        controls.notify("READY=1")
        try:
            while not control.n_stops and self._writer.thread.is_alive():
                self._tick(control)
            self._end_audio(thread)
            self._event("stop")
            with suppress(OSError):
                self._recording.count_time()
            self._finish_results(control)
        finally:
            self._results.close()
            self._view.close()
            self._recording.close()
        return self.exit_code

    @property
    def folder(self) -> Path:
        """Of the session; another one once storage was replaced."""
        return self._recording.folder

    def _start_results(self) -> None:
        if self._settings.transcribe:
            try:
                self._results.start(self.folder)
            except OSError as error:
                self._fail(f"no results: the transcriber does not start ({error}); audio is kept")

    def _run_source(self) -> None:
        try:
            self._source.run(self._queue, self._stop)
            self._source_ended = True
        except EchoError as error:
            self._source_ended = True
            self._source_error = error
        finally:
            self._queue.close()

    def _tick(self, control: controls.Controls) -> None:
        control.poll()
        self._take_results()
        self._watch_source()
        self._watch_storage()
        self._watch_results()
        self._pause(control.paused)
        self._delete(control)
        now_s = time.monotonic()
        if now_s - self._cleaned_s >= _CLEAN_UP_S:
            self._cleaned_s = now_s
            self._clean_up()
        if now_s - self._disk_checked_s >= 1.0:
            self._disk_checked_s = now_s
            self._watch_clock()
            with suppress(OSError):  # the writer finds out what is wrong
                self._watch_disk(control)
        self._show_status()
        if time.monotonic() - self._writer.alive_s < _STUCK_S:
            controls.notify("WATCHDOG=1")
        self._writer.thread.join(TICK_S)

    def _show_status(self) -> None:
        writer, problem = self._writer, self._writer.away or self._source.problem
        lag_s = max(0.0, writer.recorded_s - self._results.done_s) if self._results.come else 0.0
        paused = self._queue.paused
        self._view.status(Status(writer.recorded_s, lag_s, writer.peak, paused, problem))

    def _take_results(self) -> None:
        for line in self._results.take():
            if line["type"] == "error":
                self._fail(f"no results: {line['message']}")
            else:
                self._event(line["type"], message=line["message"])
                say(line["message"])

    def _watch_source(self) -> None:
        if self._queue.flows.is_set() and not self._started:
            self._started = True
            self._event("start", session=self.folder.name, source=self._source.name)
            if self._recording.passed.jumped_s:
                self._event("clock jumped", by_s=round(self._recording.passed.jumped_s, 3))
        problem = self._source.problem
        if problem is not None and not self._lost:
            self._event("device lost", reason=problem)
            say(problem)
        elif problem is None and self._lost:
            self._event("device back", device=self._source.name)
        self._lost = problem is not None
        losses = (self._queue.lost_s, self._queue.n_overruns)
        if losses != self._losses:
            self._losses = losses
            self._event("overrun", lost_s=round(losses[0], 3), n_overruns=losses[1])

    def _watch_storage(self) -> None:
        """Storage that is away is said once, and once that it is back and where."""
        for lack in sorted(self._recording.lacks - self._lacks):
            self._lacks.add(lack)
            self._event("storage lacks", message=lack)
        writer, was_away = self._writer, self._away
        failed = writer.n_failures != self._n_failures
        self._away, self._n_failures = writer.away, writer.n_failures
        if failed and not was_away:
            reason = self._away or writer.problem
            say(f"{reason}; {writer.held_s:.1f} s are in memory, at most {QUEUE_S:.0f} s wait")
            self._event("storage away", reason=reason)
        if (failed or was_away) and not self._away:
            self._event("storage back", session=self.folder.name)
            say(f"{self.folder}: storage is back, recording goes on there")
        if self.folder != self._transcribed and not self._away:
            self._transcribed = self.folder
            self._start_results()

    def _watch_results(self) -> None:
        code = self._results.exit_code()
        if code is None:
            return
        self._take_results()
        self._results.close()
        code = code or 1
        self.exit_code = code if code in (1, 3) else 1
        self._fail(
            f"{self.folder}: the transcriber ended (exit {code}); audio is recorded all the same: "
            f"echo-edge record --recover {self.folder} gives the results afterwards"
        )

    def _pause(self, paused: bool) -> None:
        if paused != self._queue.paused:
            self._queue.paused = paused
            self._event("pause" if paused else "resume")

    def _delete(self, control: controls.Controls) -> None:
        out = self._settings.out
        requested_min = controls.requested_delete_min(out)
        minutes, control.delete_min = control.delete_min + requested_min, 0.0
        if minutes <= 0.0:
            return
        try:
            first, end = self._writer.forget(60.0 * minutes).result(timeout=10.0)
        except (OSError, OutputError, TimeoutError) as error:
            self._fail(f"{self.folder}: nothing could be deleted ({error}): delete the folder")
            return
        if not self._results.tell(f"forget {first} {end}"):
            lines.forget_in(self.folder, first / SAMPLE_RATE, end / SAMPLE_RATE)
        self._results.forget()
        self._event("deleted", from_s=first / SAMPLE_RATE, to_s=end / SAMPLE_RATE)
        if requested_min:
            controls.answer_delete(out)

    def _clean_up(self) -> None:
        """What is too old or too much goes; a file that cannot be deleted stops no recording."""
        if self._writer.away:
            return
        try:
            for name in self._recording.clean_up():
                self._event("retention", deleted=name)
        except (OSError, OutputError) as error:
            out = self._settings.out
            self._fail(f"{out}: old recordings cannot be deleted ({error}): delete them yourself")

    def _watch_clock(self) -> None:
        """A clock that was set changes no time of the session, but explains its `utc`s."""
        by_s = self._recording.clock_jump(self._writer.recorded_s)
        if by_s:
            self._event("clock jumped", by_s=round(by_s, 3))

    def _watch_disk(self, control: controls.Controls) -> None:
        """Low on room: first results wait, then old audio goes if that was asked for, then stop."""
        out, limits = self._settings.out, self._settings.limits
        free = sessions.free_bytes(out)
        while limits.rotate and free < limits.least_free_bytes / 2:
            oldest = self._recording.delete_oldest()
            if oldest is None:
                break
            self._event("retention", deleted=oldest)
            free = sessions.free_bytes(out)
        if (free < limits.least_free_bytes) != self._held:
            self._held = not self._held
            self._event("low disk" if self._held else "disk has room", free_mib=free // 2**20)
            self._results.tell("hold" if self._held else "go")
        if free < limits.least_free_bytes / 2:
            self._fail(
                f"{out}: {free / 2**20:.0f} MiB are free, expected "
                f"{limits.least_free_bytes / 2**21:.0f} at least: recording stopped, all audio up "
                f"to here is kept; make room, then echo-edge record --recover {self.folder}"
            )
            control.n_stops += 1

    def _end_audio(self, source: threading.Thread) -> None:
        """Stop the source, then write what it had already given."""
        controls.notify("STOPPING=1")
        self._stop.set()
        source.join(1.0)  # one that waits for stdin is left behind
        self._queue.close()
        self._writer.thread.join()
        self._watch_source()
        self._watch_storage()
        for error in (self._writer.error, self._source_error):
            if error is not None:
                self._fail(str(error))
        if self._source_ended and not (
            self._writer.recorded_s or self._queue.paused or self.exit_code
        ):
            self._fail(f"{self._source.name}: found no audio, expected some: nothing was recorded")
        if not self._writer.ended or not (self._source_ended or source.is_alive()):
            self._fail(f"{self.folder}: recording ended with the error above: please report it")

    def _finish_results(self, control: controls.Controls) -> None:
        """Give the transcriber `finish_s`, or until somebody asks to stop once more."""
        n_stops = control.n_stops

        def goes_on() -> bool:
            control.poll()
            controls.notify("WATCHDOG=1")
            self._take_results()
            self._show_status()
            return control.n_stops <= n_stops

        code = self._results.finish(self._settings.finish_s, goes_on)
        self._take_results()
        self._results.show_rest()
        if code != 0:
            self.exit_code = 3 if code == 3 else 1  # as if it had ended earlier
            ended = "" if code is None else f" (transcriber: exit {code})"
            self._fail(
                f"{self.folder}: results are incomplete{ended}, "
                f"{max(0.0, self._writer.recorded_s - self._results.done_s):.0f} s of audio not "
                f"processed: echo-edge record --recover {self.folder}"
            )

    def _event(self, kind: str, **fields: object) -> None:
        line, problem = self._recording.event(kind, self._writer.recorded_s, **fields)
        self._view.show(line)
        if problem is not None and not self._writer.away:
            say(problem)

    def _fail(self, message: str) -> None:
        self.exit_code = self.exit_code or 1
        self._event("failed", message=message)
        say(message)
