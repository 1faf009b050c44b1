"""`echo-edge run`: a recording, or PCM from stdin, to text and separated voices."""

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echo_edge import audio, formats, output
from echo_edge.bundle import find_bundle
from echo_edge.cli.options import add_stream_options
from echo_edge.cli.progress import show_progress
from echo_edge.errors import AudioError
from echo_edge.results import Result, Source
from echo_edge.session import Session, load
from echo_edge.sources import SourceWriter, check_sources
from echo_edge.stream import Stream
from echo_edge.voices import Voices
from echo_edge.voices_file import find_voices, read_voices

Array = NDArray[np.float32]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `echo-edge run`."""
    parser.add_argument(
        "audio", help="any audio file; - reads one, or 16 kHz mono s16le PCM, from stdin"
    )
    parser.add_argument(
        "--format", choices=formats.FORMAT_NAMES, default="txt", help="of the result (default txt)"
    )
    parser.add_argument("--out", metavar="FILE", help="write there instead of to stdout")
    parser.add_argument(
        "--exclusive", action="store_true", help="turns that do not overlap: one speaker at a time"
    )
    parser.add_argument(
        "--separate",
        metavar="DIR",
        type=Path,
        help="write separated voices there: a file per speaker, for which the audio is heard "
        "twice; from stdin or with --latency-s live, as many as the bundle separates at once",
    )
    parser.add_argument(
        "--transcribe-sources",
        action="store_true",
        help="words of each separated voice on its own: better where several speak at once, worse "
        "where they take turns; takes about twice the time",
    )
    add_stream_options(
        parser, math.inf, "hold decisions back at most this long (default: decide at the end)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    blocks: Iterator[Array]
    if args.audio == "-":
        blocks, total_s = audio.stdin_blocks(sys.stdin.buffer), None
    else:
        blocks, total_s = audio.read_blocks(args.audio), audio.duration_s(args.audio)
    if args.out is not None:
        output.check_folder(args.out)  # to fail now rather than after the work
    started = time.monotonic()
    with load(find_bundle(args.bundle), args.threads) as session:
        result, broken = _process(session, blocks, total_s, args)
        text = formats.render(
            result,
            args.format,
            audio=formats.AudioInfo(args.audio, result.duration_s, audio.SAMPLE_RATE),
            bundle=formats.bundle_info(session),
            timing=_timing(time.monotonic() - started, result.duration_s),
        )
    if args.out is not None:
        output.save(text, args.out)
    else:
        sys.stdout.write(text)
        sys.stdout.flush()
    if broken is not None:  # what could be read has been processed and written
        raise broken
    return 0


def _process(
    session: Session, blocks: Iterator[Array], total_s: float | None, args: argparse.Namespace
) -> tuple[Result, AudioError | None]:
    """The whole result and, if the audio broke off, the error that says where."""
    hear = partial(_hear, session, blocks, total_s, args)
    sources: tuple[Source, ...] = ()
    if args.separate is None:
        _, whole, broken = hear()
    elif args.audio == "-" or math.isfinite(args.latency_s):
        writer = SourceWriter(args.separate, session.bundle.manifest.separation.max_sources)
        with writer:
            _, whole, broken = hear(writer.write)
        sources = writer.keep(whole.turns, whole.speakers)
    else:  # a file is heard again when all voices are known; the folder is made, or refused, now
        with SourceWriter(args.separate, 0):
            check_sources(args.separate, args.max_speakers + 1)
            stream, whole, broken = hear()
            sources = _separate(session, stream, whole, total_s, args)
    whole = replace(whole, sources=sources)
    return whole.exclusive() if args.exclusive else whole, broken


def _hear(
    session: Session,
    blocks: Iterator[Array],
    total_s: float | None,
    args: argparse.Namespace,
    on_sources: Callable[[Array], None] | None = None,
) -> tuple[Stream, Result, AudioError | None]:
    """A finished stream, its whole result and, if the audio broke off, the error."""
    stream = session.stream(
        args.latency_s,
        min_speakers=args.min_speakers,
        max_speakers=args.max_speakers,
        language_model=not args.no_language_model,
        transcribe_sources=args.transcribe_sources,
        voices=None if args.no_voices else _known_voices(args.voices, session),
        on_sources=on_sources,
    )
    parts: list[Result] = []
    broken: AudioError | None = None
    try:
        for block in blocks:
            parts.append(stream.push(block))
            show_progress(parts[-1].duration_s, total_s)
    except AudioError as error:
        broken = error
    if not parts:
        raise broken or AudioError(f"{args.audio}: holds no samples, expected speech")
    parts.append(stream.finish())
    show_progress(None, total_s)
    return stream, Result.joined(parts), broken


def _separate(
    session: Session, stream: Stream, whole: Result, total_s: float | None, args: argparse.Namespace
) -> tuple[Source, ...]:
    """A file for every speaker and, if there is more, the rest, of as much as was heard before."""

    def again() -> Iterator[Array]:
        with suppress(AudioError):  # it breaks off where it did before, which is said at the end
            yield from audio.read_blocks(args.audio)

    done = 0
    writer = SourceWriter(args.separate, len(whole.speakers) + 1)
    with writer:
        for voices in session.separate(stream, whole, again()):
            writer.write(voices)
            done += voices.shape[1]
            show_progress(done / audio.SAMPLE_RATE, total_s)
    show_progress(None, total_s)
    return writer.of(whole.speakers)


def _known_voices(named: str | None, session: Session) -> Voices | None:
    path = find_voices(named)
    if path is None:
        return None
    voices = read_voices(path)
    voices.check_checkpoint(session.bundle.manifest.source.checkpoint_sha256, str(path))
    return voices


def _timing(wall_s: float, duration_s: float) -> formats.Timing:
    return formats.Timing(wall_s / duration_s if duration_s else None, wall_s)
