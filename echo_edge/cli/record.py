"""The command `echo-edge record`."""

import argparse
import json
import math
import os
import sys
from dataclasses import replace
from pathlib import Path

from echo_edge.bundle.find import find_bundle
from echo_edge.bundle.verify import open_bundle
from echo_edge.cli.options import add_channel_option, add_stream_options
from echo_edge.errors import AudioError, UsageError
from echo_edge.recorder import controls
from echo_edge.recorder.capture import AudioInput, FileInput, PcmInput
from echo_edge.recorder.devices import input_devices, load_sounddevice
from echo_edge.recorder.microphone import Microphone
from echo_edge.recorder.options import Limits, Options, Settings
from echo_edge.recorder.recorder import Recorder
from echo_edge.recorder.recover import recover
from echo_edge.recorder.storage import lock
from echo_edge.recorder.terminal import say as complain
from echo_edge.recorder.view import JsonView, QuietView, TerminalView, View
from echo_edge.session import load
from echo_edge.speakers.store import find_voices, read_voices
from echo_edge.stream import StreamOptions

MAX_SEGMENT_MIN = 24 * 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `echo-edge record`."""
    parser.description = (
        "Record a meeting, with who says what, so that no crash and no power cut loses more than "
        "a second. Keys: p pause or resume, d delete the last minute, q stop. Signals: SIGUSR1 "
        "pause, SIGUSR2 resume, SIGTERM stop."
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--device",
        metavar="NAME",
        help="a microphone: its name or a part that no other has, its index, INDEX:NAME, or an "
        "ALSA name such as hw:1,0 or plughw:CARD=USB; the default one without this",
    )
    what.add_argument(
        "--wav", metavar="FILE", help="an audio file in its own time; - reads stdin as run does"
    )
    what.add_argument(
        "--list-devices", action="store_true", help="print the microphones here, * the default"
    )
    what.add_argument(
        "--recover",
        metavar="DIR",
        type=Path,
        help="after a crash: process this session, or all in it",
    )
    what.add_argument(
        "--delete-last", metavar="MIN", type=float, help="have a recorder delete its last minutes"
    )
    add_channel_option(parser)
    parser.add_argument("--out", metavar="DIR", type=Path, help="where sessions are written")
    _add_result_options(parser)
    _add_storage_options(parser)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="one JSON line per turn, words, event")
    shown.add_argument("--quiet", action="store_true", help="say nothing unless something fails")
    parser.add_argument(
        "--tentative", action="store_true", help="with --json: also what is not final yet"
    )


def _add_result_options(parser: argparse.ArgumentParser) -> None:
    add_stream_options(parser, 2.0, "hold turns back at most this long (default 2)")
    parser.add_argument("--audio-only", action="store_true", help="results later, by --recover")
    parser.add_argument(
        "--finish-s", type=float, default=60.0, metavar="S", help="at the end, for results (60)"
    )
    parser.add_argument(
        "--pace", type=float, default=1.0, metavar="X", help="of --wav; 0 as fast as it goes"
    )


def _add_storage_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--segment-min", type=float, default=10.0, metavar="MIN", help="length of a file (10)"
    )
    parser.add_argument("--keep-days", type=float, metavar="D", help="delete older sessions")
    parser.add_argument("--keep-gib", type=float, metavar="G", help="delete audio beyond this")
    parser.add_argument(
        "--min-free-mib",
        type=float,
        default=256.0,
        metavar="M",
        help="results wait below this, recording stops at half of it (256)",
    )
    parser.add_argument(
        "--rotate", action="store_true", help="delete the oldest audio rather than stop"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    if args.list_devices:
        return _list_devices(args.json)
    before = os.umask(0o077)  # nothing of a meeting is for others to read
    try:
        if args.recover is not None:
            return _recover(args)
        if args.tentative and not args.json:
            raise UsageError("--tentative: found no --json, expected both: the live view has it")
        if args.out is None:
            raise UsageError("record: found no --out, expected --out DIR: see record --help")
        if args.delete_last is not None:
            return _delete_last(args.out, _positive(args.delete_last, "--delete-last"))
        settings = _settings(args)
        recorder = Recorder(_source(args), _view(args), settings)
        with controls.Controls(keys=not (args.json or args.quiet or args.wav == "-")) as control:
            return recorder.run(control)
    finally:
        os.umask(before)


def _list_devices(as_json: bool) -> int:
    devices = input_devices(load_sounddevice())
    for device in devices:
        if as_json:
            print(json.dumps(device.as_json(), ensure_ascii=False))
        else:
            mark = "*" if device.is_default else " "
            print(f"{mark} {device.index:3}  {device.name}  "
                  f"({device.channels} channels, {device.rate} Hz)")  # fmt: skip
    if not devices:
        complain("no microphone was found here: plug one in")
    return 0


def _recover(args: argparse.Namespace) -> int:
    def say(text: str) -> None:
        if not args.quiet and sys.stderr is not None:
            print(text, file=sys.stderr)

    def adjust(options: Options) -> Options:
        """Known voices as they are asked for now or else as they were then."""
        asked = args.no_voices or args.voices is not None
        return replace(options, voices=_voices(args)) if asked else options

    bundle = find_bundle(args.bundle)
    n_recovered = recover(
        args.recover, lambda threads: load(bundle, threads), say, _progress, adjust
    )
    if not n_recovered:
        say(f"{args.recover}: nothing to recover")
    return 0


def _progress(share: float) -> None:
    if sys.stderr is not None and sys.stderr.isatty():
        print(f"\r\x1b[K{share:.0%}\r" if share < 1 else "\r\x1b[K", end="", file=sys.stderr)


def _delete_last(out: Path, minutes: float) -> int:
    if not out.is_dir():
        raise UsageError(f"--out: found no folder {out}, expected that of a recorder")
    free = lock(out)
    if free is not None:
        free.close()
    if free is not None and free.excludes:  # else nobody knows whether one runs: it will answer
        raise UsageError(
            f"--delete-last: found no recorder at {out}, expected a running one: "
            "delete the session's folder instead"
        )
    controls.request_delete(out, minutes)
    print(f"{out}: the last {minutes:g} min are deleted")
    return 0


def _settings(args: argparse.Namespace) -> Settings:
    language_model = not args.no_language_model
    StreamOptions(args.latency_s, args.min_speakers, args.max_speakers, language_model)  # raises
    if math.isinf(args.latency_s):
        raise UsageError("--latency-s: found infinity, expected seconds: results are live")
    if args.bundle is not None:
        # One that was named must be right. Otherwise audio is recorded whatever the bundle is.
        open_bundle(find_bundle(args.bundle))
    segment_min = _positive(args.segment_min, "--segment-min")
    if segment_min > MAX_SEGMENT_MIN:
        raise UsageError(f"--segment-min: found {segment_min:g}, expected 1440 at most")
    keep_gib = _optional(args.keep_gib, "--keep-gib")
    limits = Limits(
        _optional(args.keep_days, "--keep-days"),
        None if keep_gib is None else round(keep_gib * 2**30),
        round(_positive(args.min_free_mib, "--min-free-mib", zero=True) * 2**20),
        args.rotate,
    )
    return Settings(
        out=args.out,
        options=Options(
            args.latency_s,
            args.min_speakers,
            args.max_speakers,
            language_model,
            args.threads,
            _voices(args),
        ),
        limits=limits,
        bundle=args.bundle,
        transcribe=not args.audio_only,
        segment_s=60.0 * segment_min,
        finish_s=_positive(args.finish_s, "--finish-s", zero=True),
    )


def _voices(args: argparse.Namespace) -> str | None:
    """As with bundles: a file that was named must be right, whatever the default one is."""
    path = None if args.no_voices else find_voices(args.voices)
    if args.voices is not None:
        read_voices(args.voices)
    return None if path is None else str(path.absolute())


def _source(args: argparse.Namespace) -> AudioInput:
    if args.wav == "-":
        # Unbuffered: a buffer that a thread is waiting on could not be closed at the end.
        try:
            return PcmInput(open(0, "rb", buffering=0, closefd=False), channel=args.channel)
        except OSError as error:
            raise AudioError("stdin: closed, expected PCM: give it some, or --wav FILE") from error
    if args.wav is not None:
        return FileInput(args.wav, _positive(args.pace, "--pace", zero=True), args.channel)
    return Microphone(args.device, args.channel)


def _view(args: argparse.Namespace) -> View:
    if args.quiet or sys.stdout is None:
        return QuietView()
    return JsonView(sys.stdout, args.tentative) if args.json else TerminalView()


def _optional(value: float | None, option: str) -> float | None:
    return None if value is None else _positive(value, option)


def _positive(value: float, option: str, *, zero: bool = False) -> float:
    if not (value > 0 or (zero and value == 0)) or not math.isfinite(value):
        minimum = "0 or more" if zero else "more than 0"
        raise UsageError(f"{option}: found {value:g}, expected a number of {minimum}")
    return value
