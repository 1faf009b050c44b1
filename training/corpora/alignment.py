"""Pronunciations from espeak-ng, cepstra, and the phones that `training.align` found in speech."""

import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dct

from echo_edge_export.model.config import EchoConfig
from echo_edge_export.model.frontend import Frontend
from training.corpora.data import Corpus, Utterance

SILENCE = "sil"
FRAME = 160
"""Samples per label: 10 ms."""

FOLDED = {
    "ɐ": "ə", "ᵻ": "ɪ", "ɾ": "t", "ʔ": "t", "r": "ɹ", "i": "iː", "ɔ": "ɔː", "oː": "ɔː",
    "əl": "ə l", "iə": "iː ə", "aɪɚ": "aɪ ɚ", "aɪə": "aɪ ə",
    "ɑːɹ": "ɑː ɹ", "ɔːɹ": "ɔː ɹ", "oːɹ": "ɔː ɹ", "ɛɹ": "ɛ ɹ", "ɪɹ": "ɪ ɹ", "ʊɹ": "ʊ ɹ",
}  # fmt: skip
"""Rare and compound phones as common ones."""

Lexicon = dict[str, list[str]]


def pronounce(words: Sequence[str]) -> Lexicon:
    """Phones of every word as espeak-ng's American voice says it alone, stress left out."""
    lines = ".\n".join(words) + ".\n"
    command = ["espeak-ng", "-q", "-v", "en-us", "--ipa", "--sep=_"]
    ran = subprocess.run(command, input=lines, check=True, capture_output=True, text=True)
    said = [line for line in ran.stdout.splitlines() if line.strip()]
    spoken = [re.sub(r"[ˈˌ\u0329]", "", line).strip() for line in said]
    if len(spoken) != len(words):
        raise ValueError(f"espeak-ng: found {len(spoken)} words, expected {len(words)}")
    lexicon = {}
    for word, line in zip(words, spoken, strict=True):
        heard = [phone for phone in re.split(r"[_ ]+", line) if phone]
        lexicon[word] = " ".join(FOLDED.get(phone, phone) for phone in heard).split()
    return lexicon | ({"a": ["ə"]} if "a" in lexicon else {})


@dataclass(frozen=True)
class Alignment:
    """One phone per 10 ms frame for every aligned utterance; index 0 is silence."""

    phones: tuple[str, ...]
    starts: dict[str, tuple[int, int]]
    """Utterance id to (first label, number of labels)."""
    labels: NDArray[np.uint8]
    lexicon: Lexicon
    """Phones of every word of the transcripts."""

    def select(self, utterance: Utterance) -> NDArray[np.uint8] | None:
        """Labels `[n_samples / 160]` of one utterance; None if it was not aligned."""
        if utterance.id not in self.starts:
            return None
        start, count = self.starts[utterance.id]
        return self.labels[start : start + count]


def load_alignment(path: Path) -> Alignment:
    """Read an alignment that `training.align` wrote."""
    stored = np.load(path)
    starts = zip(stored["ids"].tolist(), stored["spans"].tolist(), strict=True)
    said = zip(stored["words"].tolist(), stored["said"].tolist(), strict=True)
    return Alignment(
        tuple(stored["phones"].tolist()),
        {i: (s[0], s[1]) for i, s in starts},
        stored["labels"],
        {word: phones.split() for word, phones in said},
    )


def cepstra(corpus: Corpus, utterances: Iterable[Utterance]) -> list[NDArray[np.float32]]:
    """13 cepstra with first and second differences, `[frames, 39]`, normalized per speaker."""
    frontend = Frontend(EchoConfig())
    static: list[NDArray[np.float32]] = []
    speakers: dict[str, list[int]] = {}
    for i, u in enumerate(utterances):
        pcm = corpus.pcm(u)
        pcm = np.pad(pcm, (0, -len(pcm) % FRAME))
        with torch.no_grad():
            mel = frontend.whole(torch.from_numpy(pcm)[None])[0][0].numpy()
        cepstrum = dct(mel, norm="ortho", axis=1)[:, :13].astype(np.float32)
        static.append(cepstrum)
        speakers.setdefault(u.speaker or u.id, []).append(i)
    for members in speakers.values():
        everything = np.concatenate([static[i] for i in members])
        mean, std = everything.mean(0), everything.std(0) + 1e-3
        for i in members:
            static[i] = (static[i] - mean) / std
    return [_with_differences(x) for x in static]


def _with_differences(x: NDArray[np.float32]) -> NDArray[np.float32]:
    first = _slope(x)
    return np.concatenate([x, first, _slope(first)], axis=1)


def _slope(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Regression slope over five frames."""
    padded = np.pad(x, ((2, 2), (0, 0)), mode="edge")
    n = len(x)
    near, far = padded[3 : 3 + n] - padded[1 : 1 + n], padded[4:] - padded[:n]
    return np.asarray((near + 2 * far) / 10.0, dtype=np.float32) * 3.0
