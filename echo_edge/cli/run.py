"""`echo-edge run`: recordings, a pipe or a microphone to text and separated voices."""

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
from echo_edge.cli import progress
from echo_edge.cli.batch import run_many
from echo_edge.cli.microphone import microphone_blocks
from echo_edge.cli.options import add_channel_option, add_stream_options, count_finding
from echo_edge.cli.process import Work
from echo_edge.cli.recordings import is_many
from echo_edge.cli.stop import EndSoon
from echo_edge.cli.streams import say
from echo_edge.cli.text_output import TextOutput
from echo_edge.disk import AnyPath
from echo_edge.errors import AudioError, UsageError
from echo_edge.files import check_no_input, check_output
from echo_edge.recorder.microphone import Microphone
from echo_edge.session import Session, load
from echo_edge.speakers.store import find_voices, read_voices
from echo_edge.stream import MAX_SPEAKERS
from echo_edge.voices import Voices
from echo_edge.writers import formats
from echo_edge.writers.text import Text

Array = NDArray[np.float32]

BLOCK_S = 1.0
"""Of a file, between two looks whether to stop."""
LIVE_LATENCY_S = 2.0
"""Of a pipe and a microphone, as of `record`: who speaks would wait for the text."""
FILE_LATENCY_S = 10.0
"""Of a file: the whole window of the diarization, which a file has passed in no time."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `echo-edge run`."""
    parser.add_argument(
        "audio",
        nargs="*",
        help="any audio file; - reads one, or 16 kHz mono s16le PCM, from stdin; several files, "
        "folders and quoted patterns with --out-dir",
    )
    parser.add_argument(
        "--mic", action="store_true", help="hear the microphone until Ctrl-C; `record` keeps audio"
    )
    parser.add_argument("--device", metavar="NAME", help="for --mic: see `record --list-devices`")
    parser.add_argument(
        "--format",
        type=_formats,
        metavar="NAME",
        help=f"of the result: {', '.join(formats.FORMAT_NAMES)} (default: as --out is called, else "
        "txt); several, separated by commas, with --out-dir",
    )
    parser.add_argument("--out", metavar="FILE", help="write there instead of to stdout")
    _add_many_options(parser)
    parser.add_argument(
        "--exclusive", action="store_true", help="turns that do not overlap: one speaker at a time"
    )
    parser.add_argument(
        "--separate",
        metavar="DIR",
        type=Path,
        help="write separated voices there, speaker_1.wav and so on: a file per speaker, for which "
        "a file is heard twice; live, and with --latency-s, as many as the bundle separates at "
        "once",
    )
    add_channel_option(parser)
    parser.add_argument(
        "--speakers",
        "--num-speakers",
        type=int,
        metavar="N",
        help="exactly so many; a file's are then decided at the end",
    )
    add_stream_options(
        parser,
        None,
        f"hold decisions back at most this long (default: {LIVE_LATENCY_S:g} while people speak, "
        f"{FILE_LATENCY_S:g} of a file; inf: to the end, when the number of speakers is decided)",
    )


def _add_many_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out-dir", metavar="DIR", help="write a file per recording and format there"
    )
    parser.add_argument(
        "--skip-existing",
        action="store_true",
        help="with --out-dir: leave out recordings whose results are there; without it those of an "
        "interrupted run are",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="with --out-dir: recordings at the same time, which share the --threads (default 1)",
    )


def _formats(text: str) -> tuple[str, ...]:
    """Names of formats, each once, from a list with commas."""
    names = tuple(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in formats.FORMAT_NAMES:
            known = ", ".join(formats.FORMAT_NAMES)
            raise argparse.ArgumentTypeError(f"invalid choice: {name!r} (choose from {known})")
    return names


def run(args: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    voices_file = None if args.no_voices else find_voices(args.voices)
    is_live = _check_input(args)
    args.live_voices = args.latency_s is not None and math.isfinite(args.latency_s)
    _take_count(args)
    if args.latency_s is None:
        at_end = args.min_speakers > 1  # only there can as many be found
        args.latency_s = LIVE_LATENCY_S if is_live else math.inf if at_end else FILE_LATENCY_S
    if args.out_dir is not None or is_many(args.audio):
        return run_many(args, args.format or ("txt",), voices_file)
    args.audio = None if args.mic else args.audio[0]
    args.format = _one_format(args)
    return _run_one(args, is_live, voices_file)


def _run_one(args: argparse.Namespace, is_live: bool, voices_file: Path | None) -> int:
    _check_outputs(args, voices_file)
    with EndSoon() as stop:
        reading = audio.Reading(args.channel)
        blocks, total_s = _open(args, stop, reading)
        progress.show_line("loading the model")
        with load(find_bundle(args.bundle), args.threads) as session:
            voices = None if voices_file is None else _known_voices(voices_file, session)
            progress.show_line(f"listening to {args.audio}: Ctrl-C ends" if args.mic else "")
            with TextOutput(args.out, _text(args, voices)) as text:
                others = [each for each in (args.audio, args.out, voices_file) if each is not None]
                work = Work(args, session, stop, text, voices, total_s, is_live, others)
                work.do(blocks)
    return _end(args, work, stop, reading.finding)


def _end(args: argparse.Namespace, work: Work, stop: EndSoon, reading_finding: str) -> int:
    """Say what there is to say; the exit code."""
    if finding := ", ".join(filter(None, (reading_finding, work.signal_finding))):
        say(not_nominal(_title(args), finding))
    if (whole := work.whole) is not None and (
        finding := count_finding(len(whole.speakers), args.min_speakers, args.max_speakers)
    ):
        say(f"{_title(args)}: {finding}")
    for problem in work.problems[:-1]:
        say(problem)
    if work.problems:
        raise work.problems[-1]
    if stop.number and work.whole is not None and not args.mic:
        say(f"interrupted: what was heard, {work.whole.duration_s:.1f} s, is written")
    if progress.is_watched() and (line := work.summary()):
        say(line)
    return 0 if args.mic else stop.exit_code  # a microphone has no other end


def _title(args: argparse.Namespace) -> str:
    return "standard input" if args.audio == "-" else str(args.audio)


def _check_input(args: argparse.Namespace) -> bool:
    """Whether the one input is live, which is heard once and while it is spoken. UsageError."""
    if args.mic == bool(args.audio):
        found = f"--mic and {args.audio[0]}" if args.mic else "no recording"
        raise UsageError(
            f"run: found {found}, expected audio files, - or --mic: see echo-edge run --help"
        )
    if args.device is not None and not args.mic:
        raise UsageError("--device: found no --mic, expected both: a file has no device")
    if args.out_dir is None and len(args.audio) == 1 and Path(args.audio[0]).is_dir():
        raise AudioError(
            f"{args.audio[0]}: found a folder, expected an audio file, or --out-dir DIR: "
            "name the folder of the results"
        )
    is_live = args.mic or args.audio == ["-"]
    if args.out_dir is not None and is_live:
        raise UsageError("--out-dir: found no file, expected recordings: --out FILE takes the text")
    if args.out_dir is None and (args.skip_existing or args.jobs != 1) and not is_many(args.audio):
        option = "--skip-existing" if args.skip_existing else "--jobs"
        raise UsageError(f"{option}: found no --out-dir, expected both: see echo-edge run --help")
    return bool(is_live)


def _take_count(args: argparse.Namespace) -> None:
    """--speakers N as both bounds. UsageError if they are given too."""
    if args.speakers is None:
        return
    if (args.min_speakers, args.max_speakers) != (1, MAX_SPEAKERS):
        raise UsageError(
            "--speakers: found --min-speakers or --max-speakers too, expected one or the other"
        )
    args.min_speakers = args.max_speakers = args.speakers


def _one_format(args: argparse.Namespace) -> str:
    """The format that was asked for, or that the name of --out tells. UsageError for several."""
    if args.format is not None:
        if len(args.format) > 1:
            raise UsageError(
                f"--format: found several formats, {','.join(args.format)}, expected one, or "
                "--out-dir DIR: name a folder for the files"
            )
        return str(args.format[0])
    suffix = Path(args.out or "").suffix[1:].lower()
    return suffix if suffix in formats.FORMAT_NAMES else "txt"


def _check_outputs(args: argparse.Namespace, voices: Path | None) -> None:
    """Whether --out can be written and neither it nor --separate would destroy an input."""
    inputs: list[AnyPath | int] = [] if args.mic else [0 if args.audio == "-" else args.audio]
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


def _open(
    args: argparse.Namespace, stop: EndSoon, reading: audio.Reading
) -> tuple[Iterator[Array], float | None]:
    """Blocks of the audio, which a first signal ends, and its length if it is known."""
    if args.mic:
        source = Microphone(args.device, args.channel)
        args.audio, reading.downmix = source.name, source.downmix
        return microphone_blocks(source, stop), None
    if (path := args.audio) != "-":
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
