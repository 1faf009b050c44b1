"""People whose voices are known from earlier recordings: their names and voiceprints.

Knows nothing of files (`speakers/store.py`), of audio (`speakers/enrol.py`) or of streams
(`attribution/names.py`). Everything here is immutable: a change gives new `Voices`.
"""

import re
import unicodedata
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from echo_edge.errors import UsageError, VoicesError

Array = NDArray[np.float32]

MAX_PEOPLE = 1000
MAX_NAME_LENGTH = 64
SEPARATORS = r"""/\:;,<>|"`"""
"""Characters that part names, columns, paths or markup somewhere; no name holds one."""

_RESERVED = re.compile(r"speaker_\d+|unknown|none|na", re.ASCII)


@dataclass(frozen=True)
class Voiceprint:
    """Direction of a voice in the embedding space of one checkpoint. It is biometric data."""

    embedding: tuple[float, ...]
    """A direction: length 1."""
    speech_s: float
    """Seconds of speech that it was learned from."""
    checkpoint_sha256: str
    """SHA-256 of the checkpoint that made it; to any other it means nothing."""

    @classmethod
    def from_vector(cls, direction: Array, speech_s: float, checkpoint_sha256: str) -> "Voiceprint":
        """From a vector `[E]` of any length but zero, which is a ValueError."""
        norm = float(np.linalg.norm(direction))
        if not 0.0 < norm < np.inf:
            raise ValueError(f"a voice's direction has length {norm}, expected a positive one")
        # Few digits, so that what is stored is what was compared.
        unit = tuple(round(float(x), 5) for x in np.asarray(direction, np.float64) / norm)
        return cls(unit, round(float(speech_s), 2), checkpoint_sha256)

    def alike(self, other: "Voiceprint") -> float:
        """Cosine of the two voices, -1 to 1."""
        return float(np.dot(self.embedding, other.embedding))

    def joined(self, other: "Voiceprint") -> "Voiceprint":
        """One voice of both, each by how much speech is behind it."""
        mine, theirs = (
            np.asarray(each.embedding, np.float32) * max(each.speech_s, 1e-2)
            for each in (self, other)
        )
        return Voiceprint.from_vector(
            mine + theirs, self.speech_s + other.speech_s, self.checkpoint_sha256
        )


@dataclass(frozen=True)
class Voice:
    """One person."""

    name: str
    voiceprint: Voiceprint


@dataclass(frozen=True)
class Voices:
    """The people that are known, in alphabetical order. All methods raise UsageError for a name
    that is not there, is taken, or makes no name, and VoicesError for a voice of another
    checkpoint."""

    people: tuple[Voice, ...] = ()

    @property
    def checkpoint_sha256(self) -> str | None:
        """Whose embeddings these are; None while nobody is known."""
        return self.people[0].voiceprint.checkpoint_sha256 if self.people else None

    def check_checkpoint(self, sha256: str, where: str = "voices") -> None:
        """Raise VoicesError unless these voices were learned with this checkpoint."""
        if self.checkpoint_sha256 not in (None, sha256):
            raise VoicesError(
                f"{where}: found voices that checkpoint {str(self.checkpoint_sha256)[:12]} learned,"
                f" expected {sha256[:12]}, that of this bundle: two checkpoints' voices do not "
                "compare; enrol again into another file (--voices FILE), or say --no-voices"
            )

    def find(self, name: str) -> Voice:
        """The person of that name, however it is capitalized or spaced."""
        for voice in self.people:
            if name_key(voice.name) == name_key(name):
                return voice
        known = ", ".join(voice.name for voice in self.people[:8]) or "nobody"
        more = ", ..." if len(self.people) > 8 else ""
        raise UsageError(
            f"{name[:MAX_NAME_LENGTH]!r}: is not known, expected one of: {known}{more}"
        )

    def learn(self, name: str, voiceprint: Voiceprint) -> "Voices":
        """With this speech added to what is known of `name`, or with a new person."""
        self.check_checkpoint(voiceprint.checkpoint_sha256)
        try:
            known = self.find(name)
        except UsageError:
            if len(self.people) >= MAX_PEOPLE:
                raise UsageError(
                    f"voices: found {MAX_PEOPLE} people, expected fewer: forget some"
                ) from None
            return self._with(Voice(checked_name(name), voiceprint))
        return self._without(known)._with(
            replace(known, voiceprint=known.voiceprint.joined(voiceprint))
        )

    def rename(self, name: str, new_name: str) -> "Voices":
        """With another name for the same person."""
        known = self.find(name)
        others = self._without(known)
        new_name = checked_name(new_name)
        taken = [
            voice.name for voice in others.people if name_key(voice.name) == name_key(new_name)
        ]
        if taken:
            raise UsageError(
                f"{new_name!r}: {taken[0]!r} is known already, expected a new name: merge the two "
                "if they are one person"
            )
        return others._with(replace(known, name=new_name))

    def merge(self, name: str, into: str) -> "Voices":
        """With two people as one, under the second name."""
        gone, kept = self.find(name), self.find(into)
        if gone == kept:
            raise UsageError(f"{name!r}: found one person twice, expected two to merge")
        joined = replace(kept, voiceprint=kept.voiceprint.joined(gone.voiceprint))
        return self._without(gone)._without(kept)._with(joined)

    def forget(self, name: str) -> "Voices":
        """Without that person."""
        return self._without(self.find(name))

    def _with(self, voice: Voice) -> "Voices":
        people = sorted((*self.people, voice), key=lambda each: name_key(each.name))
        return Voices(tuple(people))

    def _without(self, voice: Voice) -> "Voices":
        return Voices(tuple(each for each in self.people if each != voice))


def checked_name(text: str) -> str:
    """`text` as names are kept (Unicode NFC); UsageError if it makes no name.

    A name is one line in every output: 1 to 64 printable characters, at least one letter or digit,
    single blanks inside only, none of `SEPARATORS`, and no label such as `speaker_1`.
    """
    name = unicodedata.normalize("NFC", text)
    wrong = sorted({each for each in name if not each.isprintable() or each in SEPARATORS})
    if wrong:
        shown = " ".join(ascii(each) for each in wrong[:5])
        raise UsageError(
            f"name: found {shown} in it, expected printable characters on one line, none of "
            f"{' '.join(SEPARATORS)}"
        )
    if not any(each.isalnum() for each in name) or len(name) > MAX_NAME_LENGTH:
        raise UsageError(
            f"name: found {name[:MAX_NAME_LENGTH]!r} of {len(name)} characters, expected 1 to "
            f"{MAX_NAME_LENGTH}, a letter or a digit among them"
        )
    if name != " ".join(name.split()):
        raise UsageError(f"name: found blanks around or in a row in {name!r}, expected single ones")
    if _RESERVED.fullmatch(name_key(name)):
        raise UsageError(f"name: found {name!r}, which stands for the unnamed: choose another")
    return name


def name_key(name: str) -> str:
    """Two names of one key are one in some output: RTTM has `_` for a blank."""
    return unicodedata.normalize("NFC", name).casefold().replace(" ", "_")
