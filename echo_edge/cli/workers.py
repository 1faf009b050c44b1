"""Many recordings in this process or in several: one that dies costs its recording, not others."""

import multiprocessing
import signal
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from echo_edge.cli.stop import EndAtOnce, EndSoon
from echo_edge.cli.transcript import Job, Outcome, Settings, Transcriber
from echo_edge.errors import EchoError

POLL_S = 0.2
"""Between two looks whether to stop."""
STOP_S = 5.0
"""For a process to end when it is told to."""


class Watcher(Protocol):
    """Who is told how it goes."""

    def heard(self, job: Job, heard_s: float, total_s: float | None) -> None:
        """A job is so far; its length is None if it is not known."""

    def done(self, job: Job, outcome: Outcome) -> None:
        """A job has ended, well or not."""


class _GivenUpError(Exception):
    """A signal came: nothing is written of what was only begun."""


def do_here(jobs: Sequence[Job], settings: Settings, stop: EndSoon, watcher: Watcher) -> None:
    """Do all jobs, one after the other, until the first signal. EchoError if the bundle does not
    load."""
    with Transcriber(settings) as transcriber:
        for job in jobs:

            def report(heard_s: float, total_s: float | None, job: Job = job) -> None:
                watcher.heard(job, heard_s, total_s)
                if stop.number:
                    raise _GivenUpError

            try:
                watcher.done(job, transcriber.do(job, report))
            except _GivenUpError:
                return
            if stop.number:
                return


def do_apart(
    jobs: Sequence[Job], settings: Settings, n_workers: int, stop: EndSoon, watcher: Watcher
) -> None:
    """Do all jobs in so many processes, until the first signal. EchoError if the bundle does not
    load, or if a process ends before its first job."""
    waiting, workers = list(reversed(jobs)), list[_Worker]()
    try:
        workers += [_Worker(settings) for _ in range(min(n_workers, len(jobs)))]
        while workers and not stop.number:
            for ready in wait([worker.link for worker in workers], POLL_S):
                worker = next(each for each in workers if each.link is ready)
                if worker.take(watcher):
                    if not waiting:
                        worker.dismiss()
                        workers.remove(worker)
                    elif worker.is_alive:
                        worker.give(waiting.pop())
                    else:
                        worker.dismiss()
                        workers[workers.index(worker)] = _Worker(settings)
    finally:
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.dismiss()


class _Worker:
    """A process that does one job at a time."""

    def __init__(self, settings: Settings) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy engines' threads badly
        self.link, other = context.Pipe()
        self.process = context.Process(target=_work, args=(other, settings), daemon=True)
        # A terminal's Ctrl-C is for who gives the jobs, from the first moment of the process on.
        resource_tracker.ensure_running()  # it unblocks SIGINT when it starts
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        other.close()
        self.is_alive = True
        self._job: Job | None = None

    def give(self, job: Job) -> None:
        """The next job; a process that has just died is found out by `take`."""
        self._job = job
        with suppress(OSError):
            self.link.send(job)

    def take(self, watcher: Watcher) -> bool:
        """One message; whether another job can follow. EchoError."""
        try:
            answer = self.link.recv()
        except (EOFError, OSError):
            self.is_alive = False
            self.process.join(STOP_S)
            end = _how_it_ended(self.process.exitcode)
            if self._job is None:
                message = f"--jobs: a process ended at its start ({end}): try fewer"
                raise EchoError(message) from None
            problem = f"{self._job.path}: its process ended ({end}): try fewer --jobs"
            watcher.done(self._job, Outcome(problem=problem))
            return True
        if isinstance(answer, EchoError):
            raise answer
        if self._job is None:  # it has loaded the bundle
            return True
        if isinstance(answer, Outcome):
            watcher.done(self._job, answer)
            return True
        watcher.heard(self._job, *answer)
        return False

    def dismiss(self) -> None:
        """Wait for its end, which a closed link brings."""
        self.link.close()
        self.process.join(STOP_S)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()


def _how_it_ended(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        return f"{name}, memory may be short" if name == "SIGKILL" else name
    return f"exit code {exit_code}"


def _work(link: "Connection[Any, Any]", settings: Settings) -> None:
    """The process: jobs in, reports and outcomes out, until nobody is at the other end."""
    with suppress(EOFError, OSError, KeyboardInterrupt), EndAtOnce():
        try:
            with Transcriber(settings) as transcriber:
                link.send("ready")
                while True:
                    job = link.recv()
                    link.send(transcriber.do(job, lambda *report: link.send(report)))
        except EchoError as error:
            link.send(error)
