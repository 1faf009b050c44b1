"""Known voices on disk: one JSON file for its owner only, replaced whole, never a part of it.

docs/voices.md describes the file. Whoever changes it holds a lock beside it meanwhile, so that of
two changes at once none is lost. A file that is not as described is refused and left as it is.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from echo_edge.disk import locked
from echo_edge.errors import EchoError, OutputError, UsageError, VoicesError
from echo_edge.files import save
from echo_edge.strict_json import Rule, convert, matching, one_of, read_json
from echo_edge.voices import MAX_PEOPLE, Voice, Voiceprint, Voices, checked_name, name_key

SCHEMA = "echo-edge.voices/1"
MAX_FILE_BYTES = 32 << 20
LOCK_S = 10.0
"""Longest wait for the lock while somebody else makes a change."""

Change = Callable[[Voices], Voices]


@dataclass(frozen=True)
class _Person:
    name: str
    speech_s: Annotated[float, Rule("0 or more", lambda value: value >= 0.0)]
    embedding: tuple[float, ...]


@dataclass(frozen=True)
class _Document:
    schema: Annotated[str, one_of(SCHEMA)]
    checkpoint_sha256: Annotated[
        str, matching("([0-9a-f]{64})?", "64 lowercase hexadecimal digits, or nothing for nobody")
    ]
    people: Annotated[
        tuple[_Person, ...],
        Rule(f"at most {MAX_PEOPLE} people", lambda people: len(people) <= MAX_PEOPLE),
    ]


def default_path() -> Path:
    """`$ECHO_EDGE_VOICES`, else `voices.json` in the user's own data folder."""
    named = os.environ.get("ECHO_EDGE_VOICES")
    if named:
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(os.path.expanduser(data)) / "echo-edge" / "voices.json"  # noqa: PTH111 - no home, no error


def find_voices(named: str | None) -> Path | None:
    """The file to read: the one that was named, or the default one if it is there."""
    if named is not None:
        return Path(named)
    path = default_path()
    return path if os.path.lexists(path) else None


def read_voices(path: str | os.PathLike[str]) -> Voices:
    """The people in the file `path`; VoicesError if it is not there or not as described."""
    try:
        with Path(path).open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise VoicesError(
            f"{path}: cannot be read ({error.strerror}): expected known voices, as "
            "`echo-edge speakers enrol` makes them"
        ) from error
    try:
        return _parse(text, f"{os.fspath(path)}: ")
    except EchoError as error:
        raise VoicesError(
            f"{error}; the file is left as it is: bring back a copy, move it away, or say "
            "--no-voices"
        ) from error


def update_voices(path: str | os.PathLike[str], change: Change) -> Voices:
    """Change the file `path`, which is made if it is not there; what it holds now.

    After this the change survives a power cut. Raises VoicesError, with the file as it was, and
    whatever `change` raises.
    """
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(target.with_name(f".{target.name}.lock"), LOCK_S):
            before = read_voices(target) if os.path.lexists(target) else Voices()
            after = change(before)
            if after != before:
                save(_render(after), target, private=True)
            return after
    except TimeoutError:
        raise VoicesError(
            f"{path}: somebody else has been changing it for {LOCK_S:g} s, nothing was changed: "
            "try again"
        ) from None
    except OSError as error:
        raise VoicesError(
            f"{target}: cannot be written ({error.strerror}), nothing was changed: choose a folder "
            "that can be written to and has room"
        ) from error
    except OutputError as error:
        raise VoicesError(f"{error}; nothing was changed") from error


def _parse(text: bytes, where: str) -> Voices:
    if len(text) > MAX_FILE_BYTES:
        raise VoicesError(f"{where}found more than {MAX_FILE_BYTES >> 20} MiB, expected less")
    document = convert(read_json(text, where.removesuffix(": ")), _Document, where)
    people, keys = [], set[str]()
    for index, person in enumerate(document.people):
        here = f"{where}people[{index}]"
        name = _name(person.name, here)
        norm = float(np.linalg.norm(person.embedding))
        same = len(person.embedding) == len(document.people[0].embedding)
        if not (abs(norm - 1.0) < 1e-2 and same and document.checkpoint_sha256):
            raise VoicesError(
                f"{here}.embedding: found {len(person.embedding)} numbers of length {norm:g}, "
                "expected a direction of length 1, as many numbers for all, and a checkpoint"
            )
        if name_key(name) in keys:
            raise VoicesError(f"{here}.name: found {name!r} twice, expected each name once")
        keys.add(name_key(name))
        voiceprint = Voiceprint(person.embedding, person.speech_s, document.checkpoint_sha256)
        people.append(Voice(name, voiceprint))
    return Voices(tuple(people))


def _name(text: str, here: str) -> str:
    try:
        name = checked_name(text)
    except UsageError as error:
        raise VoicesError(f"{here}.{error}") from error
    if name != text:
        raise VoicesError(f"{here}.name: found {text!a}, expected Unicode's form NFC")
    return name


def _render(voices: Voices) -> str:
    """One person a line: a file that can be looked at."""
    people = [
        {
            "name": voice.name,
            "speech_s": voice.voiceprint.speech_s,
            "embedding": voice.voiceprint.embedding,
        }
        for voice in voices.people
    ]
    lines = ",\n  ".join(json.dumps(each, ensure_ascii=False) for each in people)
    head = f' "schema": "{SCHEMA}",\n "checkpoint_sha256": "{voices.checkpoint_sha256 or ""}",\n'
    return f'{{\n{head} "people": [\n  {lines}\n ]\n}}\n'
