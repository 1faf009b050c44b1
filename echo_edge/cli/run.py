"""`echo-edge run`: a recording, or PCM from stdin, to text and separated voices."""

import argparse
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echo_edge import audio
from echo_edge.audio.condition import not_nominal
from echo_edge.bundle.find import find_bundle
from echo_edge.cli.options import add_channel_option, add_stream_options
from echo_edge.cli.process import Work
from echo_edge.cli.stop import EndSoon
from echo_edge.cli.streams import say
from echo_edge.cli.text_output import TextOutput
from echo_edge.disk import AnyPath
from echo_edge.errors import UsageError
from echo_edge.files import check_no_input, check_output
from echo_edge.session import Session, load
from echo_edge.speakers.store import find_voices, read_voices
from echo_edge.voices import Voices
from echo_edge.writers import formats
from echo_edge.writers.text import Text

Array = NDArray[np.float32]

BLOCK_S = 1.0
"""Of a file, between two looks whether to stop."""
LIVE_LATENCY_S = 2.0
"""Of standard input, as of `record`: what has no end cannot wait for it."""


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
    add_channel_option(parser)
    add_stream_options(
        parser,
        None,
        "hold decisions back at most this long (default: a file's to its end, which may be better; "
        f"{LIVE_LATENCY_S:g} for -, whose text comes while it is spoken)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    if args.latency_s is None:
        args.latency_s = LIVE_LATENCY_S if args.audio == "-" else math.inf
    voices_file = None if args.no_voices else find_voices(args.voices)
    _check_outputs(args, voices_file)
    with EndSoon() as stop:
        reading = audio.Reading(args.channel)
        blocks, total_s = _open(args.audio, stop, reading)
        with load(find_bundle(args.bundle), args.threads) as session:
            voices = None if voices_file is None else _known_voices(voices_file, session)
            with TextOutput(args.out, _text(args, voices)) as text:
                work = Work(args, session, stop, text, voices, total_s)
                work.do(blocks)
    if finding := ", ".join(filter(None, (reading.finding, work.signal_finding))):
        say(not_nominal("standard input" if args.audio == "-" else args.audio, finding))
    for problem in work.problems[:-1]:
        say(problem)
    if work.problems:
        raise work.problems[-1]
    if stop.number and work.whole is not None:
        say(f"interrupted: what was heard, {work.whole.duration_s:.1f} s, is written")
    return stop.exit_code


def _check_outputs(args: argparse.Namespace, voices: Path | None) -> None:
    """Whether --out can be written and neither it nor --separate would destroy an input."""
    inputs: list[AnyPath | int] = [0 if args.audio == "-" else args.audio]
    inputs += [] if voices is None else [voices]
    if args.separate is not None:
        for number in range(1, args.max_speakers + 2):
            path = args.separate / f"source_{number}.wav"
            check_no_input(path, inputs)
            if args.out is not None and os.path.realpath(path) == os.path.realpath(args.out):
                raise UsageError(
                    f"--out: found {args.out}, where a voice is written: choose another name"
                )
    if args.out is not None:
        check_output(args.out, inputs)


def _open(path: str, stop: EndSoon, reading: audio.Reading) -> tuple[Iterator[Array], float | None]:
    """Blocks of the audio, which a first signal ends, and its length if it is known."""
    if path != "-":
        return _until(stop, audio.read_blocks(path, BLOCK_S, reading)), audio.duration_s(path)
    try:
        number = sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # a caller in Python put something else there
        return audio.stdin_blocks(sys.stdin.buffer, reading=reading), None
    return audio.stdin_blocks(stop.input(number), reading=reading), None


def _until(stop: EndSoon, blocks: Iterator[Array]) -> Iterator[Array]:
    for block in blocks:
        yield block
        if stop.number:
            return


def _text(args: argparse.Namespace, voices: Voices | None) -> Text | None:
    """The text as it grows; None if it comes at the end."""
    if args.format == "rttm" and voices is not None and args.out is None:
        return None  # a name that is found late must be in the first line too
    return formats.open_text(args.format, args.audio)


def _known_voices(path: Path, session: Session) -> Voices:
    voices = read_voices(path)
    voices.check_checkpoint(session.bundle.manifest.source.checkpoint_sha256, str(path))
    return voices
