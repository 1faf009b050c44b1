"""Speech on disk as utterances: where they lie, who speaks, what is said, and a decoded cache.

Every corpus is reduced to one list of `Utterance` and one flat int16 array per split, decoded once.
Splits are by speaker; `check_split` proves it. Knows nothing of augmentation or batches.
"""

import csv
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
Pcm = NDArray[np.float32]

NOT_ENGLISH = {"arabic_commands"}
"""Sources whose text is a translation of what is spoken: voices to learn from, not words."""

UNKNOWN_SPEAKER = ("", "multi")


@dataclass(frozen=True)
class Utterance:
    """One stretch of one file: `n_samples` at `offset` of the split's decoded array."""

    id: str
    speaker: str
    """Empty where unknown, `multi` for an excerpt of a meeting."""
    text: str
    """Normalized transcript; empty where unknown or not English."""
    source: str
    offset: int
    n_samples: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / SAMPLE_RATE

    @property
    def has_voice_label(self) -> bool:
        """Whether one known person speaks; synthetic voices are for text only."""
        return self.speaker not in UNKNOWN_SPEAKER and not self.speaker.startswith("tts_")


@dataclass(frozen=True)
class Corpus:
    """One split: its utterances and one flat int16 array that holds them all."""

    utterances: tuple[Utterance, ...]
    samples: NDArray[np.int16]

    def pcm(self, utterance: Utterance) -> Pcm:
        """Samples of one utterance, float32 in [-1, 1)."""
        end = utterance.offset + utterance.n_samples
        return self.samples[utterance.offset : end].astype(np.float32) / 32768.0

    def by_speaker(self) -> dict[str, list[Utterance]]:
        """Utterances of every known speaker, in order."""
        groups: dict[str, list[Utterance]] = {}
        for utterance in self.utterances:
            if utterance.has_voice_label:
                groups.setdefault(utterance.speaker, []).append(utterance)
        return groups


def normalize_text(text: str) -> str:
    """Lower case, letters and apostrophes only; empty if it holds digits (no verbalizer here).

    >>> normalize_text('He said: "Well-done, O\\'Brien!"')
    "he said well done o'brien"
    """
    text = re.sub(r"<[^>]*>", " ", text).lower().replace("’", "'")
    if re.search(r"[0-9]", text):
        return ""
    words = re.sub(r"[^a-z']+", " ", text).split()
    return " ".join(word.strip("'") for word in words if word.strip("'"))


def read_index(root: Path) -> list[dict[str, str]]:
    """Rows of `root/index.tsv` (columns: utt, file, start_s, dur_s, speaker, text, source, ...)."""
    with (root / "index.tsv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def _decode(path: Path) -> NDArray[np.int16]:
    samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    if rate != SAMPLE_RATE:
        raise ValueError(f"{path}: found {rate} Hz, expected {SAMPLE_RATE} Hz")
    return np.asarray(samples[:, 0], dtype=np.int16)


def load_corpus(roots: Iterable[Path], cache: Path) -> Corpus:
    """All utterances below `roots` (folders with `index.tsv`), decoded once into `cache`."""
    listing, array = cache.with_suffix(".json"), cache.with_suffix(".npy")
    if not (listing.exists() and array.exists()):
        _build_cache(list(roots), listing, array)
    rows = json.loads(listing.read_text())
    return Corpus(tuple(Utterance(**row) for row in rows), np.load(array, mmap_mode="r"))


def _build_cache(roots: list[Path], listing: Path, array: Path) -> None:
    utterances: list[Utterance] = []
    pieces: list[NDArray[np.int16]] = []
    total = 0
    for root in roots:
        decoded: dict[str, int] = {}
        for row in read_index(root):
            if row["file"] not in decoded:
                decoded[row["file"]] = total
                pieces.append(_decode(root / row["file"]))
                total += len(pieces[-1])
            start = decoded[row["file"]] + round(float(row["start_s"]) * SAMPLE_RATE)
            count = min(round(float(row["dur_s"]) * SAMPLE_RATE), total - start)
            spoken = "" if row["source"] in NOT_ENGLISH else normalize_text(row["text"])
            utterances.append(
                Utterance(row["utt"], row["speaker"], spoken, row["source"], start, count)
            )
    listing.parent.mkdir(parents=True, exist_ok=True)
    np.save(array, np.concatenate(pieces))
    listing.write_text(json.dumps([asdict(u) for u in utterances]))


def load_splits(data: Path, cache: Path) -> tuple[Corpus, Corpus]:
    """Training corpus (`data/train` and, where it was made, `cache/tts`) and development corpus.

    Raises ValueError if they share a speaker.
    """
    roots = [data / "train", *(path for path in [cache / "tts"] if path.exists())]
    train, dev = load_corpus(roots, cache / "train"), load_corpus([data / "dev"], cache / "dev")
    check_split(train, dev)
    return train, dev


def check_split(train: Corpus, dev: Corpus) -> None:
    """Raise ValueError if a speaker or an utterance is in both splits."""
    for field in ("speaker", "id"):
        shared = {getattr(u, field) for u in train.utterances if u.has_voice_label} & {
            getattr(u, field) for u in dev.utterances if u.has_voice_label
        }
        if shared:
            raise ValueError(f"{field} in both splits: {', '.join(sorted(shared)[:5])}")
