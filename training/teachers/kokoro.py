"""Kokoro-82M, int8: a sentence read by one of 54 voices or by a mixture of two (Apache-2.0).

The sounds come from espeak-ng, as the model was trained with; punctuation is part of them.
"""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

import echo_edge  # noqa: F401  before onnxruntime, which then reports to nobody
from training.corpora.data import SAMPLE_RATE, Pcm

RATE = 24_000
MAX_TOKENS = 509
"""A voice has one style for every number of tokens up to this."""

MARKS = re.compile(r"([;:,.!?…]+(?=\s|$)|—)")
"""Punctuation that is spoken as a pause or a tone: not the point of a number or a hyphen."""

ABBREVIATIONS = {
    "Mr.": "Mister", "Mrs.": "Missus", "Ms.": "Miz", "Dr.": "Doctor", "St.": "Saint",
    "vs.": "versus", "Capt.": "Captain", "Rev.": "Reverend", "etc.": "et cetera",
}  # fmt: skip

Array = NDArray[np.float32]


def pronounce(text: str, british: bool) -> str:
    """IPA of a sentence with stress and punctuation, as Kokoro reads it."""
    for short, whole in ABBREVIATIONS.items():
        text = text.replace(short, whole)
    voice = "en-gb" if british else "en-us"
    said: list[str] = []
    for part in MARKS.split(text.replace("’", "'")):
        if re.search(r"[A-Za-z]", part):
            command = ["espeak-ng", "-q", "-v", voice, "--ipa", "--", part.strip()]
            ran = subprocess.run(command, check=True, capture_output=True, text=True)
            said.append(" " + " ".join(ran.stdout.split()))
        else:
            said.append(part.strip())
    return "".join(said).strip()


class Kokoro:
    """Reads sentences; `folder` is `kokoro` of `training.teachers.fetch`, one thread by default."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._tokens: dict[str, int] = json.loads((folder / "vocab.json").read_text("utf-8"))[
            "vocab"
        ]
        self.voices: dict[str, Array] = {
            path.stem: np.fromfile(path, "<f4").reshape(510, 256)
            for path in sorted((folder / "voices").glob("*.bin"))
        }
        """Name -> style by number of tokens. The first letter is the language: a and b English."""

    def speak(self, text: str, voice: Array, british: bool, speed: float = 1.0) -> Pcm:
        """A sentence at 16 kHz, float32; `voice` as in `voices`, or a convex sum of two of them.

        Raises ValueError if the text is empty or too long for the model.
        """
        said = pronounce(text, british)
        tokens = [self._tokens[sound] for sound in said if sound in self._tokens]
        if not 0 < len(tokens) <= MAX_TOKENS:
            raise ValueError(f"text: found {len(tokens)} sounds, expected 1 to {MAX_TOKENS}")
        inputs = {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": voice[len(tokens)][None],
            "speed": np.array([speed], np.float32),
        }
        (audio,) = self._session.run(None, inputs)
        return np.asarray(soxr.resample(np.ravel(audio), RATE, SAMPLE_RATE), np.float32)
