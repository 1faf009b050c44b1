"""Synthetic speech for text coverage: Debian's espeak-ng and flite read sentences in many voices.

Writes a folder in the same layout as the real data (`index.tsv` + FLAC). Voices are called `tts_*`
and are never speaker classes. The flite voices slt, rms and awb are left out on purpose: they speak
the demo conversation, which must stay unseen.

    python -m training.synthetic --data DATA --out runs/cache/tts --hours 4
"""

import argparse
import csv
import io
import subprocess
from pathlib import Path

import numpy as np
import soundfile
import soxr

from training.corpora.corpus_formats import read_rows
from training.corpora.data import SAMPLE_RATE, Pcm, held_out_texts, normalize_text

ESPEAK_ACCENTS = ("en", "en-us", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-029")
ESPEAK_VARIANTS = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "f5")
NATURAL_SHARE = 0.35
"""Share of sentences read by a voice derived from a human (flite kal16) rather than formants."""


def sentences(data: Path) -> list[str]:
    """Training transcripts and timed dialogue text, 3 to 16 words each, none of it held out."""
    held_out = held_out_texts(data)
    texts = [normalize_text(row.text) for row in read_rows(data / "train")]
    with (data / "timing" / "primock57_turns.tsv").open(encoding="utf-8", newline="") as lines:
        texts += [
            normalize_text(part)
            for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
            for part in row["text"].replace("?", ".").split(".")
        ]
    fit = {text for text in texts if 3 <= len(text.split()) <= 16}
    return sorted(text for text in fit if not held_out.has(text))


def espeak(text: str, voice: str, pitch: int, words_per_minute: int) -> Pcm:
    """One sentence by espeak-ng, float32 at 16 kHz."""
    command = ["espeak-ng", "--stdout", "-v", voice, "-p", str(pitch), "-s", str(words_per_minute)]
    wav = subprocess.run([*command, text], check=True, capture_output=True).stdout
    samples, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
    return np.asarray(soxr.resample(samples, rate, SAMPLE_RATE), dtype=np.float32)


def flite(text: str, stretch: float, pitch_hz: int) -> Pcm:
    """One sentence by flite's kal16 voice, float32 at 16 kHz."""
    command = ["flite", "-voice", "kal16", "-t", text, "-o", "/dev/stdout"]
    command += ["--setf", f"duration_stretch={stretch:.2f}"]
    command += ["--setf", f"int_f0_target_mean={pitch_hz}"]
    wav = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(wav[44:], dtype="<i2").astype(np.float32) / 32768.0


def speak(text: str, rng: np.random.Generator) -> tuple[str, Pcm]:
    """A random voice and how it reads `text`."""
    if rng.random() < NATURAL_SHARE:
        pitch_hz = int(rng.integers(80, 200))
        return "tts_kal16", flite(text, rng.uniform(0.8, 1.25), pitch_hz)
    accent, variant = rng.choice(ESPEAK_ACCENTS), rng.choice(ESPEAK_VARIANTS)
    pitch, speed = int(rng.integers(25, 75)), int(rng.integers(130, 210))
    return f"tts_{accent}_{variant}", espeak(text, f"{accent}+{variant}", pitch, speed)


def synthesize(data: Path, out: Path, hours: float, seed: int) -> None:
    """Write about `hours` of synthetic speech below `out`, in files of some ten minutes."""
    rng = np.random.default_rng(seed)
    pool = sentences(data)
    out.mkdir(parents=True, exist_ok=True)
    rows: list[list[str]] = []
    file_index, position = 0, 0
    pieces: list[Pcm] = []
    remaining = int(hours * 3600 * SAMPLE_RATE)
    while remaining > 0:
        text = str(rng.choice(pool))
        voice, pcm = speak(text, rng)
        name = f"tts_{file_index:03d}.flac"
        start_s, duration_s = position / SAMPLE_RATE, len(pcm) / SAMPLE_RATE
        rows.append(
            [
                f"tts_{len(rows):06d}",
                name,
                f"{start_s:.4f}",
                f"{duration_s:.4f}",
                voice,
                text,
                "tts",
            ]
        )
        pieces.append(pcm * 0.7)
        position += len(pcm)
        remaining -= len(pcm)
        if position > 600 * SAMPLE_RATE or remaining <= 0:
            soundfile.write(out / name, np.concatenate(pieces), SAMPLE_RATE, subtype="PCM_16")
            file_index, position, pieces = file_index + 1, 0, []
    header = ["utt", "file", "start_s", "dur_s", "speaker", "text", "source"]
    lines = ["\t".join(row) for row in [header, *rows]]
    (out / "index.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and timing/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    synthesize(args.data, args.out, args.hours, args.seed)


if __name__ == "__main__":
    main()
