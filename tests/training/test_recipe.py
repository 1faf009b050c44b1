"""The recipe of the reference checkpoint, from an empty folder to the figures of a bundle: the very
script, a hundredth of its steps, a narrow model, people whom espeak-ng plays."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from training.synthetic import espeak

SCRIPT = Path(__file__).parents[2] / "training" / "recipes" / "reference.sh"
READERS = ("librispeech_dev-clean_mp3", "speechocean762")
WORDS = [
    "the",
    "old",
    "man",
    "saw",
    "a",
    "red",
    "boat",
    "on",
    "our",
    "river",
    "and",
    "young",
    "girl",
]
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
HEADER = ["utt", "file", "start_s", "dur_s", "speaker", "lang", "text", "source"]


def read_aloud(root: Path, people: dict[str, str], source: str, texts: list[str]) -> None:
    """Every one of `people`, by name a voice of espeak-ng, reads all of `texts`; `root` gains their
    files and lines of its index."""
    index = root / "index.tsv"
    rows = [] if index.exists() else ["\t".join(HEADER)]
    for number, (name, voice) in enumerate(people.items()):
        clock, pieces = 0.0, []
        for i, text in enumerate(texts):
            pcm = espeak(text, voice, pitch=20 + 17 * number % 70, words_per_minute=150)
            length = len(pcm) / 16_000
            rows.append(
                f"{name}_{i}\t{name}.flac\t{clock:.4f}\t{length:.4f}\t{name}\ten\t{text}\t{source}"
            )
            clock, pieces = clock + length, [*pieces, pcm]
        soundfile.write(root / f"{name}.flac", np.concatenate(pieces), 16_000)
    with index.open("a", encoding="utf-8") as lines:
        lines.write("\n".join([*rows, ""]))


def sentences(n: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, 6)) for _ in range(n)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of the real layout, some minutes of speech."""
    root = tmp_path_factory.mktemp("data")
    for folder in ("train", "dev/rttm", "dev/ami_pyannote", "dev/pyannote_sample", "timing"):
        (root / folder).mkdir(parents=True)
    voices = [f"{accent}+{v}" for accent in ("en-us", "en-gb") for v in ("m1", "m3", "f2", "f4")]
    learned = {f"s{i}": voice for i, voice in enumerate(voices)}
    read_aloud(root / "train", learned, "librispeech", sentences(14, 1))
    for k, source in enumerate(READERS):
        unseen = {f"d{k}{i}": f"en-029+{v}" for i, v in enumerate(("m2", "m7", "f1")[k:])}
        read_aloud(root / "dev", unseen, source, sentences(10, 2 + k))
    read_aloud(root / "dev", {"digits": "en-us+m5"}, "fsdd", list(DIGITS))

    speech, _ = soundfile.read(root / "dev" / "d00.flac", dtype="float32")
    for name in ("ami_pyannote/dev00", "ami_pyannote/dev01", "pyannote_sample/sample"):
        soundfile.write(root / "dev" / f"{name}.flac", speech[: 8 * 16_000], 16_000)
        stem = name.split("/")[1]
        line = f"SPEAKER {stem} 1 0.000 8.000 <NA> <NA> one <NA> <NA>\n"
        (root / "dev" / "rttm" / f"{stem}.rttm").write_text(line)
    turns = ["conv\tstart\tdur\tspeaker\ttext", "c\t0.0\t2.0\tdoctor\tHello. How old is the man?"]
    (root / "timing" / "primock57_turns.tsv").write_text("\n".join(turns) + "\n")
    return root


def columns(log: Path) -> dict[str, list[float]]:
    with log.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    return {name: [float(row[name]) for row in rows if row[name]] for name in rows[0]}


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("espeak-ng") or not shutil.which("flite"), reason="no voices")
def test_from_an_empty_folder_to_figures(data: Path, tmp_path: Path) -> None:
    ran = subprocess.run(
        ["bash", str(SCRIPT), str(data), str(tmp_path), "0.01"],
        env={**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]

    # From the first run to the last but one of five, of 20 steps each.
    first, last = (columns(tmp_path / "runs" / run / "log.csv") for run in ("joint4", "first"))
    fell = {name: last[name][-1] / first[name][0] for name in ("ctc", "said", "diar")}
    assert max(fell.values()) < 0.85, fell
    figures = json.loads((tmp_path / "runs" / "evaluation" / "figures.json").read_text())
    assert figures["eer"] < 35.0  # of unseen voices; chance is 50
    assert figures["nearest.speaker_from_embedding"] > 30.0  # one of six people: chance is 16
    assert (tmp_path / "echo_edge" / "default_bundle" / "manifest.json").exists()
