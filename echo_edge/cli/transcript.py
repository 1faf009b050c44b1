"""One of many recordings: from its file to the files of its result, in this process or another."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from echo_edge import audio
from echo_edge.audio.condition import not_nominal
from echo_edge.cli.options import count_finding
from echo_edge.errors import AudioError, EchoError
from echo_edge.files import save
from echo_edge.result import Result
from echo_edge.session import load
from echo_edge.speakers.store import read_voices
from echo_edge.stream import Stream
from echo_edge.voices import Voices
from echo_edge.writers import formats

BLOCK_S = 1.0
"""Of audio, between two reports."""


@dataclass(frozen=True)
class Settings:
    """What holds for all recordings."""

    bundle: str
    threads: int
    latency_s: float
    min_speakers: int
    max_speakers: int
    language_model: bool
    exclusive: bool
    channel: str
    voices: str | None
    """The file of known voices."""


@dataclass(frozen=True)
class Job:
    """A recording and where its result is written, by format."""

    path: str
    outputs: tuple[tuple[str, str], ...]
    n_bytes: int
    """Of the recording: the share of all work that it is."""


@dataclass(frozen=True)
class Outcome:
    """What became of a recording."""

    duration_s: float = 0.0
    n_speakers: int = 0
    wall_s: float = 0.0
    problem: str = ""
    """Why it failed; its results are there nevertheless if `duration_s` is not 0."""
    findings: tuple[str, ...] = ()
    """Lines on what was not nominal about its audio, and on a number of speakers other than asked
    for."""


Report = Callable[[float, float | None], None]
"""Takes seconds heard and the recording's length, if known; what it raises ends the work."""


class Transcriber:
    """A loaded bundle with what holds for all recordings; a context manager."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._session = load(settings.bundle, settings.threads)
        self._voices: Voices | None = None
        if settings.voices is not None:
            self._voices = read_voices(settings.voices)
            checkpoint = self._session.bundle.manifest.source.checkpoint_sha256
            self._voices.check_checkpoint(checkpoint, settings.voices)

    def __enter__(self) -> "Transcriber":
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def do(self, job: Job, report: Report) -> Outcome:
        """Write all results of a recording, or say in the outcome why not. One that breaks off is
        heard and written up to there."""
        try:
            return self._do(job, report)
        except EchoError as error:
            return Outcome(problem=str(error))

    def _do(self, job: Job, report: Report) -> Outcome:
        started_s = time.monotonic()
        reading, problem, parts = audio.Reading(self._settings.channel), "", list[Result]()
        total_s = audio.duration_s(job.path)
        stream = self._stream()
        try:
            for block in audio.read_blocks(job.path, BLOCK_S, reading):
                parts.append(stream.push(block))
                report(parts[-1].duration_s, total_s)
        except AudioError as error:
            if not parts:
                raise
            problem = f"{error}; what was heard is written"
        if not parts:
            raise AudioError(f"{job.path}: holds no samples, expected speech")
        result = Result.joined([*parts, stream.finish()])
        wall_s = time.monotonic() - started_s
        self._write(job, result.exclusive() if self._settings.exclusive else result, wall_s)
        signal = ", ".join(filter(None, (reading.finding, stream.signal_finding)))
        settings, n_speakers = self._settings, len(result.speakers)
        count = count_finding(n_speakers, settings.min_speakers, settings.max_speakers)
        return Outcome(
            result.duration_s,
            n_speakers,
            wall_s,
            problem,
            (
                *([not_nominal(job.path, signal)] if signal else []),
                *([f"{job.path}: {count}"] if count else []),
            ),
        )

    def _stream(self) -> Stream:
        settings = self._settings
        return self._session.stream(
            settings.latency_s,
            min_speakers=settings.min_speakers,
            max_speakers=settings.max_speakers,
            language_model=settings.language_model,
            voices=self._voices,
        )

    def _write(self, job: Job, result: Result, wall_s: float) -> None:
        for format_name, path in job.outputs:
            text = formats.render(
                result,
                format_name,
                audio=formats.AudioInfo(job.path, result.duration_s, audio.SAMPLE_RATE),
                bundle=formats.bundle_info(self._session),
                timing=formats.Timing(wall_s / result.duration_s, wall_s),
            )
            save(text, path)
