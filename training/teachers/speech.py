"""Sentences read by Kokoro's voices and heard back by Whisper, as a corpus with `index.tsv`.

    training/recipes/texts.sh runs/text
    python -m training.teachers.speech --data DATA --text runs/text/* --teachers runs/teachers \
        --out runs/kokoro --hours 20

Half are sentences of books, a third turns of conversation, the rest numbers and letters; casing and
punctuation are kept. A sentence that is not heard back is left out. Voices are called `tts_*`: they
are never speakers to learn. A chunk is a function of the seed and its number and is there whole or
not at all, so the corpus can be read, and the command stopped and started again, at any moment.
"""

import argparse
import re
import time
from dataclasses import dataclass
from pathlib import Path

import jiwer
import numpy as np
import soundfile
import torch

from training.corpora.data import SAMPLE_RATE, Pcm, held_out_texts, normalize_text
from training.teachers.kokoro import Array, Kokoro
from training.teachers.listen import Listener
from training.teachers.texts import book_sentences, readable, spoken_number, turn_sentences

SENTENCES = 24
"""Of a chunk."""

SHARES = {"kokoro_books": 0.5, "kokoro_conversation": 0.33, "kokoro_numbers": 0.17}

TEXT_LICENCE = {
    "kokoro_books": "public domain",
    "kokoro_conversation": "CC-BY-4.0 (primock57)",
    "kokoro_numbers": "own",
}

MIXED = 0.6
"""Share of sentences read by a mixture of two voices."""

ENGLISH = 3.0
"""How much oftener an English voice reads than one of another language."""

SPEEDS = (0.85, 1.2)

MAX_ERRORS = 0.1
"""Share of letters, spaces left out, that Whisper may hear otherwise: names have many spellings."""

PAUSE = SAMPLE_RATE // 10

HEADER = (
    "utt",
    "file",
    "start_s",
    "dur_s",
    "speaker",
    "lang",
    "text",
    "source",
    "licence",
    "native_sr",
)


@dataclass(frozen=True)
class Spoken:
    """One sentence as it was read."""

    source: str
    text: str
    voice: str
    pcm: Pcm


class Speech:
    """Reads chunks of sentences and listens to them."""

    def __init__(
        self, texts: dict[str, list[str]], teachers: Path, bf16: bool, threads: int
    ) -> None:
        self._texts = texts
        self._kokoro = Kokoro(teachers / "kokoro", threads)
        self._listener = Listener(teachers / "whisper-base", bf16, threads)

    def voice(self, rng: np.random.Generator) -> tuple[str, Array, bool]:
        """A name, its style and whether it is British; two voices mixed most of the time."""
        names = list(self._kokoro.voices)
        weights = np.array([ENGLISH if name[0] in "ab" else 1.0 for name in names])
        one, other = rng.choice(names, 2, replace=False, p=weights / weights.sum())
        styles = self._kokoro.voices
        if rng.random() >= MIXED:
            return f"tts_kokoro_{one}", styles[one], one[0] == "b"
        share = round(float(rng.uniform(0.5, 0.8)), 2)
        mixed = share * styles[one] + (1 - share) * styles[other]
        return f"tts_kokoro_{one}_{share}_{other}", mixed, one[0] == "b"

    def read(self, rng: np.random.Generator) -> Spoken:
        """One sentence, its loudest sample below 0.9."""
        source = str(rng.choice(list(SHARES), p=list(SHARES.values())))
        if source == "kokoro_numbers":
            text = spoken_number(rng)
        else:
            text = self._texts[source][int(rng.integers(len(self._texts[source])))]
        name, style, british = self.voice(rng)
        pcm = self._kokoro.speak(text, style, british, float(rng.uniform(*SPEEDS)))
        return Spoken(source, text, name, pcm * min(1.0, 0.9 / float(np.abs(pcm).max() + 1e-9)))

    def chunk(self, seed: int, number: int) -> list[Spoken]:
        """The sentences of a chunk that were heard back."""
        rng = np.random.default_rng((seed, number))
        spoken = [self.read(rng) for _ in range(SENTENCES)]
        heard = self._listener.words([s.pcm[: 30 * SAMPLE_RATE] for s in spoken])
        return [s for s, (text, _) in zip(spoken, heard, strict=True) if same(s.text, text)]


def same(text: str, heard: str) -> bool:
    """True if a text was heard back, but for spaces and hyphens."""
    want, got = (re.sub("[^a-z]", "", normalize_text(x)) for x in (text, heard))
    return bool(got) and bool(want) and jiwer.cer(want, got) <= MAX_ERRORS


def write(out: Path, number: int, spoken: list[Spoken]) -> float:
    """Write a chunk's audio, then its rows, then the index of all chunks; seconds of speech."""
    name = f"kokoro_{number:05d}"
    rows, pieces, at = [], [np.zeros(0, np.float32)], 0
    for i, s in enumerate(spoken):
        start_s, length_s = f"{at / SAMPLE_RATE:.4f}", f"{len(s.pcm) / SAMPLE_RATE:.4f}"
        licence = f"Apache-2.0 (Kokoro-82M), text {TEXT_LICENCE[s.source]}"
        row = [
            f"{name}_{i:02d}",
            f"{name}.flac",
            start_s,
            length_s,
            s.voice,
            "en",
            s.text,
            s.source,
        ]
        rows.append("\t".join([*row, licence, "24000"]))
        pieces += [s.pcm, np.zeros(PAUSE, np.float32)]
        at += len(s.pcm) + PAUSE
    new = out / "new.flac"
    soundfile.write(new, np.concatenate(pieces), SAMPLE_RATE, subtype="PCM_16")
    new.replace(out / f"{name}.flac")
    _replace(out / f"{name}.tsv", rows)
    chunks = sorted(out.glob("kokoro_*.tsv"))
    listed = [line for path in chunks for line in path.read_text(encoding="utf-8").splitlines()]
    _replace(out / "index.tsv", ["\t".join(HEADER), *listed])
    return at / SAMPLE_RATE


def _replace(path: Path, lines: list[str]) -> None:
    new = path.with_suffix(".new")
    new.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    new.replace(path)


def hours(out: Path) -> float:
    """Hours of speech in the chunks that are there."""
    listings = [path.read_text(encoding="utf-8") for path in out.glob("kokoro_*.tsv")]
    rows = [line.split("\t") for listing in listings for line in listing.splitlines()]
    return sum(float(row[3]) for row in rows) / 3600


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with dev/ and timing/")
    parser.add_argument("--text", type=Path, nargs="+", required=True, help="books: plain or .rdb")
    parser.add_argument("--teachers", type=Path, default=Path("runs/teachers"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bf16", action="store_true", help="listen in bfloat16: pays with AMX")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    held_out = held_out_texts(args.data)
    turns = turn_sentences(args.data / "timing" / "primock57_turns.tsv")
    texts = {
        "kokoro_books": readable((s for p in args.text for s in book_sentences(p)), held_out),
        "kokoro_conversation": readable(turns, held_out),
    }
    print({source: len(found) for source, found in texts.items()}, "texts", flush=True)
    speech = Speech(texts, args.teachers, args.bf16, args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    number, done = 0, hours(args.out)
    while done < args.hours:
        if not (args.out / f"kokoro_{number:05d}.tsv").exists():
            started = time.monotonic()
            spoken = speech.chunk(args.seed, number)
            seconds = write(args.out, number, spoken)
            done += seconds / 3600
            rate = seconds / (time.monotonic() - started)
            kept = f"{len(spoken)} of {SENTENCES} heard back"
            print(f"chunk {number}: {kept}, {rate:.2f} x real time, {done:.2f} h", flush=True)
        number += 1


if __name__ == "__main__":
    main()
