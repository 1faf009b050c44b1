"""One run of the recorder: starts the threads and the transcriber, checks on them, and ends them in
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
from echo_edge.recorder.capture import AudioInput, BlockQueue
from echo_edge.recorder.journal import Journal
from echo_edge.recorder.log import forget_in
from echo_edge.recorder.messages import NAMES, Failure
from echo_edge.recorder.monitors import InputMonitor, StorageMonitor
from echo_edge.recorder.options import Settings
from echo_edge.recorder.recording import Recording
from echo_edge.recorder.results import LiveResults
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
        source: AudioInput,
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
        self._journal = Journal(self._recording, self._writer, view)
        self._input = InputMonitor(source, self._queue, self._recording, self._journal)
        self._storage = StorageMonitor(
            settings, self._recording, self._writer, self._results, self._journal
        )
        self._stop = threading.Event()
        self._source_error: EchoError | None = None
        self._source_ended = False
        self._transcribed = self.folder
        self._disk_checked_s = self._cleaned_s = -math.inf

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
            self._journal.event("stop")
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
        """Of the recording; another one once storage was replaced."""
        return self._recording.folder

    @property
    def exit_code(self) -> int:
        """0, 1 if anything failed, 3 if the bundle was refused."""
        return self._journal.exit_code

    def _start_results(self) -> None:
        if self._settings.transcribe:
            try:
                self._results.start(self.folder)
            except OSError as error:
                self._journal.fail(
                    f"no results: the transcriber does not start ({error}); audio is kept"
                )

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
        self._input.check()
        self._check_storage()
        self._check_results()
        self._pause(control.paused)
        self._delete(control)
        now_s = time.monotonic()
        if now_s - self._cleaned_s >= _CLEAN_UP_S:
            self._cleaned_s = now_s
            self._storage.clean_up()
        if now_s - self._disk_checked_s >= 1.0:
            self._disk_checked_s = now_s
            self._storage.check_clock()
            with suppress(OSError):  # the writer finds out what is wrong
                control.n_stops += not self._storage.has_room()
        self._show_status()
        if time.monotonic() - self._writer.alive_s < _STUCK_S:
            controls.notify("WATCHDOG=1")
        self._writer.thread.join(TICK_S)

    def _show_status(self) -> None:
        writer, problem = self._writer, self._writer.away or self._source.problem
        lag_s = max(0.0, writer.recorded_s - self._results.done_s) if self._results.is_live else 0.0
        paused = self._queue.paused
        self._view.status(Status(writer.recorded_s, lag_s, writer.peak, paused, problem))

    def _take_results(self) -> None:
        for notice in self._results.take():
            if isinstance(notice, Failure):
                self._journal.fail(f"no results: {notice.message}")
            else:
                self._journal.event(NAMES[type(notice)], message=notice.message)
                say(notice.message)

    def _check_storage(self) -> None:
        self._storage.check()
        if self.folder != self._transcribed and not self._storage.is_away:
            self._transcribed = self.folder
            self._start_results()

    def _check_results(self) -> None:
        code = self._results.exit_code()
        if code is None:
            return
        self._take_results()
        self._results.close()
        self._journal.exit_code = 3 if code == 3 else 1
        self._journal.fail(
            f"{self.folder}: the transcriber ended (exit {code or 1}); audio is recorded all the "
            f"same: echo-edge record --recover {self.folder} gives the results afterwards"
        )

    def _pause(self, paused: bool) -> None:
        if paused != self._queue.paused:
            self._queue.paused = paused
            self._journal.event("pause" if paused else "resume")

    def _delete(self, control: controls.Controls) -> None:
        requested_min = controls.requested_delete_min(self._settings.out)
        minutes, control.delete_min = control.delete_min + requested_min, 0.0
        if minutes <= 0.0:
            return
        try:
            first, end = self._writer.forget(60.0 * minutes).result(timeout=10.0)
        except (OSError, OutputError, TimeoutError) as error:
            self._journal.fail(
                f"{self.folder}: nothing could be deleted ({error}): delete the folder"
            )
            return
        if not self._results.send(f"forget {first} {end}"):
            forget_in(self.folder, first / SAMPLE_RATE, end / SAMPLE_RATE)
        self._results.forget()
        self._journal.event("deleted", from_s=first / SAMPLE_RATE, to_s=end / SAMPLE_RATE)
        if requested_min:
            controls.answer_delete(self._settings.out)

    def _end_audio(self, source: threading.Thread) -> None:
        """Stop the source, then write what it had already given."""
        controls.notify("STOPPING=1")
        self._stop.set()
        source.join(1.0)  # one that waits for stdin is left behind
        self._queue.close()
        self._writer.thread.join()
        self._input.check()
        self._check_storage()
        for error in (self._writer.error, self._source_error):
            if error is not None:
                self._journal.fail(str(error))
        if self._source_ended and not (
            self._writer.recorded_s or self._queue.paused or self.exit_code
        ):
            self._journal.fail(
                f"{self._source.name}: found no audio, expected some: nothing was recorded"
            )
        if not self._writer.ended or not (self._source_ended or source.is_alive()):
            self._journal.fail(
                f"{self.folder}: recording ended with the error above: please report it"
            )

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
            self._journal.exit_code = 3 if code == 3 else 1  # as if it had ended earlier
            ended = "" if code is None else f" (transcriber: exit {code})"
            self._journal.fail(
                f"{self.folder}: results are incomplete{ended}, "
                f"{max(0.0, self._writer.recorded_s - self._results.done_s):.0f} s of audio not "
                f"processed: echo-edge record --recover {self.folder}"
            )
