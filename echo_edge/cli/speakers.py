"""`echo-edge speakers`: people who are called by their names in later recordings."""

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echo_edge.attribution.names import NameRules
from echo_edge.audio import Reading, read_blocks
from echo_edge.bundle.find import find_bundle
from echo_edge.cli.options import add_bundle_option, add_channel_option
from echo_edge.recorder.voice_samples import voice_blocks
from echo_edge.session import load
from echo_edge.speakers.enrol import learn
from echo_edge.speakers.store import default_path, read_voices, update_voices
from echo_edge.voices import Voiceprint, Voices, checked_name, name_key

Array = NDArray[np.float32]
Action = Callable[[argparse.Namespace], int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions of `echo-edge speakers`."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    def add(name: str, action: Action, text: str, *spellings: str) -> argparse.ArgumentParser:
        command = actions.add_parser(name, help=text, description=text, aliases=spellings)
        command.add_argument(
            "--voices",
            metavar="FILE",
            type=Path,
            default=default_path(),
            help="where they are kept (default $ECHO_EDGE_VOICES or voices.json in ~/.local/share)",
        )
        command.set_defaults(run=action)
        return command

    listing = add("list", _list, "who is known, and from how much speech")
    listing.add_argument("--json", action="store_true", help="as JSON, without the voices")
    enrol = add("enrol", _enrol, "learn a person from a recording of that person alone", "enroll")
    enrol.add_argument("name", metavar="NAME", help="a new one, or one to which more is added")
    enrol.add_argument("audio", metavar="AUDIO", help="any audio file, 15 s of speech or more")
    name = add("name", _name, "learn a person from a recording of several people")
    name.add_argument("name", metavar="NAME", help="a new one, or one to which more is added")
    name.add_argument(
        "--from",
        dest="recording",
        metavar="RECORDING",
        type=Path,
        required=True,
        help="a session of `record`, or the JSON that `run` wrote; its audio must still be there",
    )
    name.add_argument("--speaker", metavar="LABEL", required=True, help="such as speaker_2")
    name.add_argument("--audio", metavar="FILE", help="of the JSON, if it is elsewhere now")
    for command in (enrol, name):
        add_bundle_option(command)
        add_channel_option(command)
    rename = add("rename", _rename, "give a person another name")
    rename.add_argument("name", metavar="NAME", help="as it is")
    rename.add_argument("new_name", metavar="NEW", help="as it is to be")
    merge = add("merge", _merge, "make two people one, if they are one")
    merge.add_argument("name", metavar="NAME", help="whose name goes")
    merge.add_argument("into", metavar="INTO", help="whose name stays")
    forget = add("forget", _forget, "delete a person's voice")
    forget.add_argument("name", metavar="NAME", help="whose voice is deleted")


def _list(args: argparse.Namespace) -> int:
    voices = read_voices(args.voices) if args.voices.exists() else Voices()
    if args.json:
        people = [
            {"name": voice.name, "speech_s": voice.voiceprint.speech_s} for voice in voices.people
        ]
        document = {
            "file": str(args.voices),
            "checkpoint_sha256": voices.checkpoint_sha256,
            "people": people,
        }
        print(json.dumps(document, indent=1, ensure_ascii=False))
        return 0
    for voice in voices.people:
        print(f"{voice.name}  ({voice.voiceprint.speech_s:.1f} s)")
    if not voices.people:
        print(f"nobody is known in {args.voices}", file=sys.stderr)
    return 0


def _enrol(args: argparse.Namespace) -> int:
    return _learn(args, lambda: read_blocks(args.audio, reading=Reading(args.channel)), args.audio)


def _name(args: argparse.Namespace) -> int:
    def blocks() -> Iterable[Array]:
        return voice_blocks(args.recording, args.speaker, args.audio, args.channel)

    return _learn(args, blocks, f"{args.recording}: {args.speaker}")


def _learn(args: argparse.Namespace, blocks: Callable[[], Iterable[Array]], where: str) -> int:
    """Learn first and change the file then, so that others wait for the change only."""
    name = checked_name(args.name)
    if args.voices.exists():  # to fail now rather than after the work
        read_voices(args.voices)
    with load(find_bundle(args.bundle)) as session:
        voiceprint = learn(session, blocks(), where)
        threshold = NameRules.from_manifest(session.bundle.manifest.decoding).threshold

    def change(voices: Voices) -> Voices:
        voices.check_checkpoint(voiceprint.checkpoint_sha256, str(args.voices))
        _warn(voices, name, voiceprint, threshold)
        return voices.learn(name, voiceprint)

    known = update_voices(args.voices, change).find(name)
    print(
        f"{known.name}: {voiceprint.speech_s:.1f} s of speech learned, "
        f"{known.voiceprint.speech_s:.1f} s in all"
    )
    return 0


def _warn(voices: Voices, name: str, voiceprint: Voiceprint, threshold: float) -> None:
    """Say what will make names go wrong."""
    for voice in voices.people:
        alike = voice.voiceprint.alike(voiceprint)
        if name_key(voice.name) == name_key(name):
            if alike < threshold:
                _say(
                    f"warning: this speech is unlike what is known of {voice.name} ({alike:.2f}, "
                    f"expected {threshold:g}): forget and enrol again if it is somebody else's"
                )
        elif alike >= threshold:
            _say(f"warning: sounds like {voice.name} too ({alike:.2f}): they may be confused")


def _say(text: str) -> None:
    print(f"echo-edge: {text}", file=sys.stderr)


def _rename(args: argparse.Namespace) -> int:
    voices = update_voices(args.voices, lambda voices: voices.rename(args.name, args.new_name))
    print(f"{args.name}: is called {voices.find(args.new_name).name} from now on")
    return 0


def _merge(args: argparse.Namespace) -> int:
    known = update_voices(args.voices, lambda voices: voices.merge(args.name, args.into)).find(
        args.into
    )
    print(f"{args.name}: is {known.name}, {known.voiceprint.speech_s:.1f} s of speech in all")
    return 0


def _forget(args: argparse.Namespace) -> int:
    update_voices(args.voices, lambda voices: voices.forget(args.name))
    print(f"{args.name}: forgotten, {args.voices} has no voice of this name any more")
    return 0
