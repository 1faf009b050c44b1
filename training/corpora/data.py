"""Speech on disk as utterances: where they lie, who speaks, what is said, and a decoded cache.

Every corpus is reduced to one list of `Utterance` and one flat int16 array per split, decoded once.
Splits are by speaker; `check_split` proves it. Knows nothing of augmentation or batches.
"""

import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from training.corpora.corpus_formats import Row, read_rows
from training.corpora.held_out import HeldOut, demo_texts

SAMPLE_RATE = 16_000
Pcm = NDArray[np.float32]

NOT_ENGLISH = {"arabic_commands"}
"""Sources whose text is a translation of what is spoken: voices to learn from, not words."""

UNKNOWN_SPEAKER = ("", "multi")


@dataclass(frozen=True)
class Utterance:
    """One stretch of one file: `n_samples` at `offset` of the split's decoded array."""

    id: str
    """Unique in its split: the second one of the same name ends in `#2`."""
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
        """True if one known person speaks; synthetic voices are for text only."""
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

    def by_speaker(self, min_utterances: int = 1) -> dict[str, list[Utterance]]:
        """Utterances, in order, of every known speaker of `at_least` so many."""
        groups: dict[str, list[Utterance]] = {}
        for utterance in self.utterances:
            if utterance.has_voice_label:
                groups.setdefault(utterance.speaker, []).append(utterance)
        return {name: pool for name, pool in groups.items() if len(pool) >= min_utterances}


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


def _decode(path: Path) -> NDArray[np.int16]:
    """A whole file at 16 kHz, channels averaged."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    pcm = samples.mean(axis=1)
    if rate != SAMPLE_RATE:
        pcm = soxr.resample(pcm, rate, SAMPLE_RATE)
    return np.clip(np.rint(pcm * 32768.0), -32768, 32767).astype(np.int16)


def load_corpus(roots: Iterable[Path], cache: Path) -> Corpus:
    """All utterances below `roots` (see `layouts.read_rows`), decoded once into `cache`.

    Decoded again when what the folders list has changed; who reads the old cache is not disturbed.
    """
    listing, array = cache.with_suffix(".json"), cache.with_suffix(".pcm")
    rows = [row for root in roots for row in read_rows(root)]
    digest = hashlib.sha256(repr(rows).encode()).hexdigest()
    if not listing.exists() or json.loads(listing.read_text()).get("rows") != digest:
        utterances = _decode_rows(rows, array)
        stored = {"rows": digest, "utterances": [asdict(u) for u in utterances]}
        listing.write_text(json.dumps(stored))
    stored = json.loads(listing.read_text())["utterances"]
    samples = np.memmap(array, dtype=np.int16, mode="r")
    return Corpus(tuple(Utterance(**row) for row in stored), samples)


def _decode_rows(all_rows: list[Row], array: Path) -> list[Utterance]:
    """Decode all files one behind the other into `array`, which takes its name when it is whole."""
    utterances: list[Utterance] = []
    named: Counter[str] = Counter()
    total = 0
    array.parent.mkdir(parents=True, exist_ok=True)
    array.with_suffix(".json").unlink(missing_ok=True)
    new = array.with_suffix(".new")
    with new.open("wb") as out:
        for path, rows in itertools.groupby(all_rows, lambda row: row.path):
            whole = _decode(path)
            for row in rows:
                start = round(row.start_s * SAMPLE_RATE)
                wanted = len(whole) if row.duration_s is None else row.duration_s * SAMPLE_RATE
                count = min(round(wanted), len(whole) - start)
                spoken = "" if row.source in NOT_ENGLISH else normalize_text(row.text)
                named[row.id] += 1
                name = row.id if named[row.id] == 1 else f"{row.id}#{named[row.id]}"
                utterances.append(
                    Utterance(name, row.speaker, spoken, row.source, total + start, count)
                )
            out.write(whole.tobytes())
            total += len(whole)
    new.replace(array)
    return utterances


def load_splits(data: Path, cache: Path, more: Iterable[Path] = ()) -> tuple[Corpus, Corpus]:
    """Training corpus (`data/train`, `more` corpora in any known layout and, where it was made,
    `cache/tts`) and development corpus (`data/dev`).

    Texts of training that are held out are left empty: such speech is for its voice. Raises
    ValueError if the splits share a speaker.
    """
    roots = [data / "train", *more, *(path for path in [cache / "tts"] if path.exists())]
    train, dev = load_corpus(roots, cache / "train"), load_corpus([data / "dev"], cache / "dev")
    check_split(train, dev)
    held_out = held_out_texts(data)
    kept = tuple(replace(u, text="") if held_out.has(u.text) else u for u in train.utterances)
    return Corpus(kept, train.samples), dev


def held_out_texts(data: Path) -> HeldOut:
    """Texts of the development split below `data` and of the demo, which are not trained on."""
    texts = [row.text for row in read_rows(data / "dev")]
    return HeldOut(normalize_text(text) for text in (*texts, *demo_texts()))


def check_split(train: Corpus, dev: Corpus) -> None:
    """Raise ValueError if a speaker or an utterance is in both splits."""
    for field in ("speaker", "id"):
        shared = {getattr(u, field) for u in train.utterances if u.has_voice_label} & {
            getattr(u, field) for u in dev.utterances if u.has_voice_label
        }
        if shared:
            raise ValueError(f"{field} in both splits: {', '.join(sorted(shared)[:5])}")
