"""The command `echo-edge`. Exit codes: 0 done, 1 the work failed, 2 wrong usage, 3 verification
refused. An error is one line on stderr; a traceback is a bug.
"""

import argparse
import importlib
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from echo_edge import __version__, audio, formats, output
from echo_edge.bundle import find_bundle
from echo_edge.errors import AudioError, EchoError, UsageError
from echo_edge.results import Result, Source
from echo_edge.session import Session, load
from echo_edge.sources import SourceWriter, check_sources
from echo_edge.stream import MOST_SPEAKERS, Stream
from echo_edge.voices import Voices
from echo_edge.voices_file import find_voices, read_voices

Array = NDArray[np.float32]


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        args = _parser(arguments).parse_args(arguments)
        return int(args.run(args))
    except EchoError as error:
        print(f"echo-edge: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("echo-edge: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


class _Parser(argparse.ArgumentParser):
    """A parser for which wrong usage is an error like any other: one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}: see {self.prog} --help")


def _parser(arguments: list[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="echo-edge",
        description="Who spoke when, what was said, and each voice on its own, on the device.",
        epilog="exit codes: 0 done, 1 the work failed, 2 wrong usage, 3 verification refused",
    )
    parser.add_argument("--version", action="version", version=f"echo-edge {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="process a recording or PCM from stdin"))
    for name, module, text in (
        ("record", "echo_edge.recorder.cli", "record a meeting; never loses audio"),
        ("speakers", "echo_edge.speakers_cli", "people whose voices are known by name"),
        ("bundle", "echo_edge.bundle_cli", "look at or verify a model bundle"),
        ("bench", "echo_edge.bench.command", "measure speed, latency, memory and correctness here"),
        ("doctor", "echo_edge.doctor", "say what works here and what is missing"),
        ("export", "echo_edge_export.cli", "make a bundle from a checkpoint (workstation)"),
    ):
        command = commands.add_parser(name, help=text)
        if arguments[:1] == [name]:  # imported only when asked for: the others start faster
            _add_module(command, module)
    return parser


def _add_module(parser: argparse.ArgumentParser, module: str) -> None:
    """A command that lives in a module of its own: `add_arguments` and, unless every one of its
    actions has its own, `run`."""
    try:
        implementation = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if module.startswith("echo_edge_export"):
            raise EchoError(
                f"export: {error.name} is not installed here; it runs on a workstation: "
                "pip install 'echo-edge[export]'"
            ) from error
        raise
    implementation.add_arguments(parser)
    if hasattr(implementation, "run"):
        parser.set_defaults(run=implementation.run)


def add_bundle_option(parser: argparse.ArgumentParser) -> None:
    """`--bundle DIR`, with the search order of `find_bundle` as its default."""
    parser.add_argument(
        "--bundle", metavar="DIR", help="default: $ECHO_EDGE_BUNDLE, the installed or shipped one"
    )


def add_stream_options(parser: argparse.ArgumentParser, latency_s: float, latency: str) -> None:
    """What every command asks of a bundle's stream; `latency` is the help on `--latency-s`."""
    add_bundle_option(parser)
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="engine threads (default 1)"
    )
    parser.add_argument(
        "--min-speakers", type=int, default=1, metavar="N", help="at least so many (default 1)"
    )
    parser.add_argument(
        "--max-speakers",
        type=int,
        default=MOST_SPEAKERS,
        metavar="N",
        help=f"at most so many (default {MOST_SPEAKERS})",
    )
    known = parser.add_mutually_exclusive_group()
    known.add_argument(
        "--voices", metavar="FILE", help="known voices (default: those of `speakers`, if any)"
    )
    known.add_argument("--no-voices", action="store_true", help="call nobody by name")
    parser.add_argument("--latency-s", type=float, default=latency_s, metavar="S", help=latency)
    parser.add_argument(
        "--no-language-model",
        action="store_true",
        help="write what is heard, letter by letter, without the bundle's language model",
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("audio", help="any audio file; - reads 16 kHz mono s16le PCM from stdin")
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
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    blocks: Iterator[Array]
    if args.audio == "-":
        blocks, total_s = audio.pcm_blocks(sys.stdin.buffer), None
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
            bundle=bundle_info(session),
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
            _progress(parts[-1].duration_s, total_s)
    except AudioError as error:
        broken = error
    if not parts:
        raise broken or AudioError(f"{args.audio}: holds no samples, expected speech")
    parts.append(stream.finish())
    _progress(None, total_s)
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
            _progress(done / audio.SAMPLE_RATE, total_s)
    _progress(None, total_s)
    return writer.of(whole.speakers)


def _known_voices(named: str | None, session: Session) -> Voices | None:
    path = find_voices(named)
    if path is None:
        return None
    voices = read_voices(path)
    voices.check_checkpoint(session.bundle.manifest.source.checkpoint_sha256, str(path))
    return voices


def _progress(done_s: float | None, total_s: float | None) -> None:
    """One line on a terminal's stderr; None clears it."""
    if not sys.stderr.isatty():
        return
    if done_s is None:
        line = ""
    elif total_s:
        line = f"{done_s:.0f} of {total_s:.0f} s ({min(done_s / total_s, 1.0):.0%})"
    else:
        line = f"{done_s:.0f} s"
    print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def _timing(wall_s: float, duration_s: float) -> formats.Timing:
    return formats.Timing(wall_s / duration_s if duration_s else None, wall_s)


def bundle_info(session: Session) -> formats.BundleInfo:
    """The loaded bundle, as results and records name it."""
    manifest, sha256 = session.bundle.manifest, session.bundle.sha256
    return formats.BundleInfo(
        manifest.name, manifest.version, manifest.engine.name, manifest.recipe, sha256
    )
