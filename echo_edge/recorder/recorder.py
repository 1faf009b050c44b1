"""One session of recording: starts the threads and the transcriber, watches over them, ends them in
the order in which nothing is lost."""

import math
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime

from echo_edge.audio import SAMPLE_RATE
from echo_edge.errors import EchoError, OutputError
from echo_edge.recorder import controls, lines, retention, sessions
from echo_edge.recorder.capture import BlockQueue, Source
from echo_edge.recorder.child import Child
from echo_edge.recorder.clock import ClockWatch, PassedTime
from echo_edge.recorder.segments import SegmentWriter
from echo_edge.recorder.settings import Settings
from echo_edge.recorder.terminal import say
from echo_edge.recorder.view import Status, View, WordGroups
from echo_edge.recorder.writer import Writer

TICK_S = 0.1
_GROUP_DONE_S = 3.0
"""No word is expected to join a group this long after its end."""
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
        self._source, self._view, self._settings, self._utc_now = source, view, settings, utc_now
        sessions.make_folder(settings.out)
        held = sessions.lock(settings.out)
        if held is None:
            raise OutputError(
                f"{settings.out}: another recorder writes there: stop it or choose another folder"
            )
        now = utc_now()
        self._passed = PassedTime(settings.out, now.timestamp())
        self._clock = ClockWatch(now.timestamp())
        about: dict[str, object] = {
            "started_utc": now.isoformat(),
            "source": source.name,
            "options": asdict(settings.options),
        }
        if self._passed.jumped_s:
            jump = {"at_s": 0.0, "by_s": round(self._passed.jumped_s, 3)}
            about[sessions.JUMPS] = [jump]
        self._locks = [held]
        self.folder = sessions.new_session(settings.out, about, now)
        self._locks.append(sessions.lock(self.folder) or 0)
        self._events = lines.LineWriter(self.folder / lines.EVENTS)
        self._queue = BlockQueue()
        segments = SegmentWriter(self.folder, max(1, round(settings.segment_s * SAMPLE_RATE)))
        self._writer = Writer(self._queue, segments)
        self._child: Child | None = None
        self._stop = threading.Event()
        self._source_error: EchoError | None = None
        self._source_ended = False
        self._groups = WordGroups()
        self._done_s = 0.0
        self._started = self._lost = False
        self._losses = (0.0, 0)
        self._disk_checked_s = self._cleaned_s = -math.inf
        self._held = False
        self.exit_code = 0

    def run(self, control: controls.Controls) -> int:
        """Record; the exit code: 0, 1 if anything failed, 3 if the bundle was refused."""
        settings = self._settings
        thread = threading.Thread(target=self._run_source, name="source", daemon=True)
        self._writer.thread.start()
        thread.start()
        if settings.transcribe:
            self._start_child()
        controls.notify("READY=1")
        try:
            while not control.n_stops and self._writer.thread.is_alive():
                self._tick(control)
            self._end_audio(thread)
            self._event("stop")
            with suppress(OSError):
                self._save_passed()
            self._finish_results(control)
        finally:
            if self._child is not None:
                self._child.end()
            self._view.close()
            self._events.close()
            for descriptor in self._locks:
                os.close(descriptor)
        return self.exit_code

    def _start_child(self) -> None:
        settings = self._settings
        try:
            self._child = Child(self.folder, settings.bundle, settings.command)
        except OSError as error:
            self._fail(f"no results: the transcriber does not start ({error}); audio is recorded")

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
        self._watch_child()
        self._pause(control.paused)
        self._delete(control)
        now_s = time.monotonic()
        if now_s - self._cleaned_s >= _CLEAN_UP_S:
            self._cleaned_s = now_s
            self._clean_up()
        if now_s - self._disk_checked_s >= 1.0:
            self._disk_checked_s = now_s
            self._watch_clock()
            self._watch_disk(control)
        self._show_status()
        if time.monotonic() - self._writer.alive_s < _STUCK_S:
            controls.notify("WATCHDOG=1")
        self._writer.thread.join(TICK_S)

    def _show_status(self) -> None:
        writer, problem = self._writer, self._source.problem
        lag_s = max(0.0, writer.recorded_s - self._done_s) if self._child is not None else 0.0
        paused = self._queue.paused
        self._view.status(Status(writer.recorded_s, lag_s, writer.peak, paused, problem))

    def _take_results(self) -> None:
        if self._child is None:
            return
        while not self._child.lines.empty():
            line = self._child.lines.get()
            match line["type"]:
                case "progress":
                    self._done_s = line["done_s"]
                case "turn" | "speaker":
                    self._view.show(line)
                case "word":
                    self._show_words(self._groups.add(lines.to_word(line)))
                case "tentative":
                    waiting = [lines.word_line(word) for word in self._groups.open]
                    self._view.show(line | {"words": waiting + line["words"]})
                case "nobody by name":
                    self._event("nobody by name", message=line["message"])
                    say(line["message"])
                case "error":
                    self._fail(f"no results: {line['message']}")
        self._show_words(self._groups.take_before(self._done_s - _GROUP_DONE_S))

    def _show_words(self, group: lines.Line | None) -> None:
        if group is not None:
            self._view.show(group)

    def _watch_source(self) -> None:
        if self._queue.flows.is_set() and not self._started:
            self._started = True
            self._event("start", session=self.folder.name, source=self._source.name)
            if self._passed.jumped_s:
                self._event("clock jumped", by_s=round(self._passed.jumped_s, 3))
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

    def _watch_child(self) -> None:
        child = self._child
        if child is None or child.exit_code is None:
            return
        child.wait(1.0)
        self._take_results()
        self._child = None
        child.end()
        code = child.exit_code or 1
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
        except (OSError, TimeoutError) as error:
            self._fail(f"{self.folder}: nothing could be deleted ({error}): delete the folder")
            return
        if self._child is not None:
            self._child.tell(f"forget {first} {end}")
        else:
            lines.forget_in(self.folder, first / SAMPLE_RATE, end / SAMPLE_RATE)
        self._groups.take()
        self._event("deleted", from_s=first / SAMPLE_RATE, to_s=end / SAMPLE_RATE)
        if requested_min:
            controls.answer_delete(out)

    def _clean_up(self) -> None:
        """What is too old or too much goes; a file that cannot be deleted stops no recording."""
        out, limits = self._settings.out, self._settings.limits
        try:
            self._save_passed()
            for name in retention.clean_up(out, self.folder, limits, self._passed.age_s):
                self._event("retention", deleted=name)
        except (OSError, OutputError) as error:
            self._fail(f"{out}: old recordings cannot be deleted ({error}): delete them yourself")

    def _save_passed(self) -> None:
        out = self._settings.out
        self._passed.advance(self._utc_now().timestamp())
        self._passed.save([each.name for each in sessions.sessions(out)], self.folder.name)

    def _watch_clock(self) -> None:
        """A clock that was set changes no time of the session, but explains its `utc`s."""
        by_s = self._clock.jumped_s(self._utc_now().timestamp())
        if by_s:
            self._event("clock jumped", by_s=round(by_s, 3))
            with suppress(OutputError):
                sessions.note_jump(self.folder, self._writer.recorded_s, by_s)

    def _watch_disk(self, control: controls.Controls) -> None:
        """Low on room: first results wait, then old audio goes if that was asked for, then stop."""
        out, limits = self._settings.out, self._settings.limits
        free = sessions.free_bytes(out)
        while limits.rotate and free < limits.least_free_bytes / 2:
            oldest = retention.delete_oldest(out, self.folder, self._passed.age_s)
            if oldest is None:
                break
            self._event("retention", deleted=oldest)
            free = sessions.free_bytes(out)
        if (free < limits.least_free_bytes) != self._held:
            self._held = not self._held
            self._event("low disk" if self._held else "disk has room", free_mib=free // 2**20)
            if self._child is not None:
                self._child.tell("hold" if self._held else "go")
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
        child, n_stops = self._child, control.n_stops
        if child is None:
            return
        child.tell("stop")
        deadline = time.monotonic() + self._settings.finish_s
        while not child.wait(TICK_S):
            control.poll()
            controls.notify("WATCHDOG=1")
            self._take_results()
            self._show_status()
            if control.n_stops > n_stops or time.monotonic() > deadline:
                break
        self._take_results()
        self._show_words(self._groups.take())
        if child.exit_code != 0:
            self.exit_code = 3 if child.exit_code == 3 else 1  # as if it had ended earlier
            ended = "" if child.exit_code is None else f" (transcriber: exit {child.exit_code})"
            self._fail(
                f"{self.folder}: results are incomplete{ended}, "
                f"{max(0.0, self._writer.recorded_s - self._done_s):.0f} s of audio not processed: "
                f"echo-edge record --recover {self.folder}"
            )

    def _event(self, kind: str, **fields: object) -> None:
        line = {
            "type": kind,
            "at_s": round(self._writer.recorded_s, 3),
            "utc": self._utc_now().isoformat(timespec="milliseconds"),
        } | fields
        self._view.show(line)
        try:
            self._events.write(line)
            self._events.sync()
        except OutputError as error:  # a full disk: audio matters more
            say(error)

    def _fail(self, message: str) -> None:
        self.exit_code = self.exit_code or 1
        self._event("failed", message=message)
        say(message)
