"""`run FILES... FOLDER GLOB --out-dir DIR`: many recordings, each to the files of its result."""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from echo_edge.bundle.find import find_bundle
from echo_edge.bundle.verify import open_bundle
from echo_edge.cli import progress
from echo_edge.cli.recordings import Recording, check_results, find_recordings
from echo_edge.cli.stop import EndSoon
from echo_edge.cli.streams import say
from echo_edge.cli.transcript import Job, Outcome, Settings
from echo_edge.cli.unfinished import Unfinished
from echo_edge.cli.workers import do_apart, do_here
from echo_edge.disk import cannot_write
from echo_edge.errors import UsageError
from echo_edge.files import check_output
from echo_edge.session import MAX_THREADS
from echo_edge.stream import StreamOptions

MAX_ROWS = 50
"""Of the table: of more recordings only those that failed are listed."""


def run_many(args: argparse.Namespace, formats: Sequence[str], voices: Path | None) -> int:
    """Run the command; its exit code: 1 if any recording failed."""
    _check_options(args)
    folder, recordings = Path(args.out_dir), find_recordings(args.audio)
    check_results(recordings, folder, formats)
    bundle = open_bundle(find_bundle(args.bundle))
    settings = Settings(
        bundle=str(find_bundle(args.bundle)),
        threads=max(1, args.threads // args.jobs),
        latency_s=args.latency_s,
        min_speakers=args.min_speakers,
        max_speakers=args.max_speakers,
        language_model=not args.no_language_model,
        exclusive=args.exclusive,
        channel=args.channel,
        voices=None if voices is None else str(voices),
    )
    jobs = [_job(recording, folder, formats) for recording in recordings]
    _make_folders(jobs, folder)
    unfinished = Unfinished(folder, f"{bundle.sha256} {settings}")
    tally = _Tally(jobs, unfinished, args.skip_existing)
    with EndSoon() as stop:
        if args.jobs == 1:
            do_here(tally.waiting, settings, stop, tally)
        elif tally.waiting:
            do_apart(tally.waiting, settings, args.jobs, stop, tally)
    progress.show_line("")
    print(tally.table(folder))
    if stop.number:
        say("interrupted: the same command goes on with the recordings that are left")
        return stop.exit_code
    if tally.n_failed:
        return 1
    unfinished.end()
    return 0


def _check_options(args: argparse.Namespace) -> None:
    """UsageError for options that go with one recording only, or are out of range."""
    if args.out is not None:
        raise UsageError("--out: found many recordings, expected --out-dir DIR: name a folder")
    if args.out_dir is None:
        raise UsageError(
            "run: found many recordings and no --out-dir, expected --out-dir DIR: name the folder "
            "of the results"
        )
    if args.separate is not None:
        raise UsageError("--separate: found many recordings, expected one: run each on its own")
    for name, n in (("--jobs", args.jobs), ("threads", args.threads)):
        if not 1 <= n <= MAX_THREADS:
            raise UsageError(f"{name}: found {n}, expected 1 to {MAX_THREADS}")
    StreamOptions(args.latency_s, args.min_speakers, args.max_speakers)  # raises


def _job(recording: Recording, folder: Path, formats: Sequence[str]) -> Job:
    try:
        n_bytes = Path(recording.path).stat().st_size
    except (OSError, ValueError):
        n_bytes = 0
    outputs = tuple((name, str(recording.output(folder, name))) for name in formats)
    return Job(recording.path, outputs, n_bytes)


def _make_folders(jobs: Sequence[Job], folder: Path) -> None:
    """The folders of all results; OutputError if a result cannot be written there."""
    first = {Path(job.outputs[0][1]).parent: job for job in jobs}
    try:
        for each in (folder, *first):
            each.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    for job in first.values():
        check_output(job.outputs[0][1], regular=True)


@dataclass
class _Tally:
    """What became of the recordings so far, shown as it changes; a Watcher."""

    jobs: Sequence[Job]
    unfinished: Unfinished
    skip_existing: bool
    outcomes: dict[Job, Outcome] = field(default_factory=dict)
    _begun: dict[Job, tuple[float, float | None]] = field(default_factory=dict)
    """Seconds heard of those in work, and their lengths."""
    _started_s: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.skipped = {job for job in self.jobs if self._is_done(job)}
        self.waiting = [job for job in self.jobs if job not in self.skipped]
        self._n_bytes = sum(job.n_bytes for job in self.waiting)

    def _is_done(self, job: Job) -> bool:
        there = self.skip_existing and all(Path(path).is_file() for _, path in job.outputs)
        return there or self.unfinished.has(job)

    @property
    def n_failed(self) -> int:
        """How many failed."""
        return sum(bool(outcome.problem) for outcome in self.outcomes.values())

    @property
    def _done_s(self) -> float:
        """Audio of all that ended."""
        return sum(outcome.duration_s for outcome in self.outcomes.values())

    def heard(self, job: Job, heard_s: float, total_s: float | None) -> None:
        """See Watcher."""
        self._begun[job] = heard_s, total_s
        if progress.is_watched():
            self._show(job)

    def done(self, job: Job, outcome: Outcome) -> None:
        """See Watcher."""
        self.outcomes[job] = outcome
        self._begun.pop(job, None)
        for line in filter(None, (*outcome.findings, outcome.problem)):
            progress.show_line("")
            say(line)
        if not outcome.problem:
            self.unfinished.add(job)
        if progress.is_watched():
            self._show(job)

    def _show(self, job: Job) -> None:
        """One line over all: the share is that of bytes, which are known of every recording."""
        n_bytes = float(sum(job.n_bytes for job in self.outcomes))
        heard_s = self._done_s
        for begun, (part_s, total_s) in self._begun.items():
            heard_s += part_s
            n_bytes += begun.n_bytes * min(part_s / total_s, 1.0) if total_s else 0.0
        wall_s = time.monotonic() - self._started_s
        line = progress.bar(n_bytes / self._n_bytes if self._n_bytes else 1.0, wall_s, heard_s)
        failed = f", {self.n_failed} failed" if self.n_failed else ""
        count = f"{len(self.outcomes)} of {len(self.waiting)}{failed}"
        progress.show_line(f"{line}  {count}  {Path(job.path).name}")

    def table(self, folder: Path) -> str:
        """A row per recording, or per one that failed if there are many, and a last line."""
        rows = [
            self._row(job)
            for job in self.jobs
            if len(self.jobs) <= MAX_ROWS or self._has_failed(job)
        ]
        head = f"{'':9}{'length':>8}  {'speakers':>8}  {'x real time':>11}  recording"
        counts = {
            "done": len(self.outcomes) - self.n_failed,
            "skipped": len(self.skipped),
            "failed": self.n_failed,
            "not begun": len(self.waiting) - len(self.outcomes),
        }
        states = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        wall_s = time.monotonic() - self._started_s
        last = f"{len(self.jobs)} recordings: {states}; results in {folder}"
        if self._done_s:
            last += (
                f"; {progress.clock(self._done_s)} of audio in {progress.clock(wall_s)}, "
                f"{progress.speed(self._done_s, wall_s)}"
            )
        return "\n".join([head, *rows, last] if rows else [last])

    def _has_failed(self, job: Job) -> bool:
        return job in self.outcomes and bool(self.outcomes[job].problem)

    def _row(self, job: Job) -> str:
        if job in self.skipped:
            state = "skipped"
        elif job not in self.outcomes:
            state = "not begun"
        else:
            state = "failed" if self._has_failed(job) else "done"
        numbers = f"{'':>8}  {'':>8}  {'':>11}"
        if (outcome := self.outcomes.get(job)) is not None and outcome.duration_s:
            ratio = outcome.duration_s / max(outcome.wall_s, 1e-9)
            numbers = (
                f"{progress.clock(outcome.duration_s):>8}  {outcome.n_speakers:>8}  {ratio:>11.1f}"
            )
        return f"{state:9}{numbers}  {job.path}"
