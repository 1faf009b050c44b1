"""The work of `run`: audio through a stream, its text and its voices as they come."""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from echo_edge import audio
from echo_edge.cli import progress
from echo_edge.cli.stop import EndSoon, Stopped
from echo_edge.cli.text_output import TextOutput
from echo_edge.cli.voice_files import name_voices
from echo_edge.disk import AnyPath
from echo_edge.errors import AudioError, EchoError, OutputError
from echo_edge.result import Result
from echo_edge.session import Session
from echo_edge.stream import Stream
from echo_edge.voices import Voices
from echo_edge.writers import formats
from echo_edge.writers.wav_sources import SourceWriter, check_sources

Array = NDArray[np.float32]


@dataclass
class Work:
    """One recording. What goes wrong after some audio was processed is in `problems`, and what can
    still be done is done."""

    args: argparse.Namespace
    session: Session
    stop: EndSoon
    text: TextOutput
    voices: Voices | None
    total_s: float | None
    """Length of the recording, None if it is not known."""
    is_live: bool
    """Whether it is heard while it is spoken, and only once."""
    others: Sequence[AnyPath] = ()
    """Files that no voice may replace: inputs, and the text."""
    problems: list[EchoError] = field(default_factory=list)
    whole: Result | None = None
    signal_finding: str = ""
    """Of the stream: what may explain a poor result."""
    busy_s: float = 0.0
    """Processing time, without what was waited for."""
    started_s: float = field(default_factory=time.monotonic)

    def do(self, blocks: Iterator[Array]) -> None:
        """All of it. Raises EchoError, or Stopped, only where no audio was processed."""
        if self.args.separate is None:
            self._decode(blocks)
        elif self.is_live or self.args.live_voices:
            self._decode_and_separate(blocks)
        else:
            self._decode_then_separate(blocks)
        self._finish_text()

    def _decode(
        self, blocks: Iterator[Array], on_sources: Callable[[Array], None] | None = None
    ) -> tuple[Stream, Result]:
        """A finished stream and its whole result, whose text is written but for its end."""
        args = self.args
        stream = self.session.stream(
            args.latency_s,
            min_speakers=args.min_speakers,
            max_speakers=args.max_speakers,
            language_model=not args.no_language_model,
            voices=self.voices,
            on_sources=on_sources,
        )
        parts: list[Result] = []
        try:
            for block in blocks:
                self._take(self._timed(stream.push, block), parts)
                if self.text.reader_has_gone:
                    break
        except AudioError as error:
            if not self.stop.number:  # which may end the audio anywhere
                self.problems.append(error)
        if not parts:
            if self.stop.number:
                raise Stopped(self.stop.number)
            if self.problems:
                raise self.problems.pop()
            raise AudioError(f"{args.audio}: holds no samples, expected speech")
        self._take(self._timed(stream.finish), parts)
        self.signal_finding = stream.signal_finding
        progress.show_line("")
        whole = Result.joined(parts)
        self._keep(whole)
        return stream, whole

    def _take(self, part: Result, parts: list[Result]) -> None:
        if parts and not (parts[-1].turns or parts[-1].words or parts[-1].exclusive_turns):
            parts.pop()  # a day without speech takes no memory
        parts.append(part)
        self.text.push(part.exclusive() if self.args.exclusive else part)
        if progress.is_watched():
            self._show(part)

    def _show(self, part: Result) -> None:
        """How far it is, and the words that are not written yet."""
        wall_s = time.monotonic() - self.started_s
        if self.total_s:
            line = progress.bar(part.duration_s / self.total_s, wall_s, part.duration_s)
        else:
            line = progress.clock(part.duration_s)
        words = [*self.text.waiting, *part.tentative.words]
        room = progress.columns() - len(line) - 2
        progress.show_line(f"{line}  {progress.spoken_now(words, part.names, room)}".rstrip())

    def _keep(self, whole: Result) -> None:
        """From here on this is the result, whatever happens."""
        self.whole = whole.exclusive() if self.args.exclusive else whole
        self.text.render = self._render

    def _render(self) -> str:
        assert self.whole is not None  # noqa: S101 - see _keep
        heard_s, wall_s = self.whole.duration_s, time.monotonic() - self.started_s
        return formats.render(
            self.whole,
            self.args.format,
            audio=formats.AudioInfo(self.args.audio, heard_s, audio.SAMPLE_RATE),
            bundle=formats.bundle_info(self.session),
            timing=formats.Timing(wall_s / heard_s if heard_s else None, wall_s),
        )

    def _timed(self, work: Callable[..., Result], *args: Array) -> Result:
        started_s = time.monotonic()
        try:
            return work(*args)
        finally:
            self.busy_s += time.monotonic() - started_s

    def summary(self) -> str:
        """One line on what was done, for people; empty if nothing was."""
        if self.whole is None:
            return ""
        heard_s, n_speakers = self.whole.duration_s, len(self.whole.speakers)
        line = (
            f"{progress.clock(heard_s)} of audio, {n_speakers} speaker{'s'[: n_speakers != 1]}, "
            f"{progress.speed(heard_s, self.busy_s)}"
        )
        files = [] if self.args.out is None else [self.args.out]
        files += [source.path for source in self.whole.sources]
        return f"{line}; written: {', '.join(files)}" if files else line

    def _finish_text(self) -> None:
        if not self.text.finished:
            try:
                self.text.finish()
            except OutputError as error:
                self.problems.append(error)

    def _decode_and_separate(self, blocks: Iterator[Array]) -> None:
        """As many voices as the bundle separates at once, while audio comes."""
        max_sources = self.session.bundle.manifest.separation.max_sources
        writer = SourceWriter(self.args.separate, max_sources)
        try:
            with writer:
                _, whole = self._decode(blocks, writer.write)
            sources = writer.keep(whole.turns, whole.speakers)
            self._keep(replace(whole, sources=name_voices(sources, self.others)))
        except OutputError as error:
            if self.whole is None:
                raise
            self.problems.append(error)
        if writer.error is not None:
            self.problems.append(writer.error)

    def _decode_then_separate(self, blocks: Iterator[Array]) -> None:
        """A file is read again when all voices are known; the folder is made, or refused, now."""
        with SourceWriter(self.args.separate, 0):
            check_sources(self.args.separate, self.args.max_speakers + 1)
            stream, whole = self._decode(blocks)
            if self.args.format != "json":  # which names the files
                self._finish_text()
            if self.stop.number:
                return
            try:
                self._separate(stream, whole)
            except OutputError as error:
                self.problems.append(error)

    def _separate(self, stream: Stream, whole: Result) -> None:
        """A file for every speaker and, if there is more, the rest, of as much as was processed."""

        def again() -> Iterator[Array]:
            with suppress(AudioError):  # it breaks off where it did before
                yield from audio.read_blocks(self.args.audio, 1.0, audio.Reading(self.args.channel))

        done, started_s = 0, time.monotonic()
        writer = SourceWriter(self.args.separate, len(whole.speakers) + 1)
        with writer:
            for voices in self.session.separate(stream, whole, again()):
                writer.write(voices)
                done += voices.shape[1]
                self._show_voices(done / audio.SAMPLE_RATE, time.monotonic() - started_s)
                if self.stop.number or writer.error is not None:
                    break
        progress.show_line("")
        sources = writer.sources_of(whole.speakers)
        self._keep(replace(whole, sources=name_voices(sources, self.others)))
        if writer.error is not None:
            self.problems.append(writer.error)

    def _show_voices(self, done_s: float, wall_s: float) -> None:
        line = progress.clock(done_s)
        if self.total_s:
            line = progress.bar(done_s / self.total_s, wall_s, done_s)
        progress.show_line(f"{line}  separating voices, the second pass of 2")
