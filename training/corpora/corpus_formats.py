"""Public corpora as they unpack, read into the rows of one index; audio stays where it lies.

`read_rows` recognises the folder: our own `index.tsv`, LibriSpeech (`*.trans.txt`), VoxCeleb
(`idNNNNN/video/NNNNN.wav`), AMI (`MEETING.Mix-Headset.wav` and RTTM files), AudioMNIST
(`NN/digit_NN_take.wav`).
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

MIN_CLEAN_S = 1.0
"""Shorter stretches of one voice alone in a meeting are left out."""

MIN_LOGPROB = -0.5
"""Texts that a recogniser heard count from this mean log probability on: nearly all are right."""


@dataclass(frozen=True)
class Row:
    """One utterance: where it lies and what is known of it; empty strings where unknown."""

    id: str
    path: Path
    start_s: float
    duration_s: float | None
    """None for the whole file."""
    speaker: str
    text: str
    source: str
    licence: str = field(default="", repr=False)
    """Of the audio, as its corpus states it."""


def read_rows(root: Path) -> list[Row]:
    """All utterances of the corpus at `root`, sorted by file and start.

    Raises FileNotFoundError if no known layout is there.
    """
    for reader in (_manifest, _librispeech, _audiomnist, _ami, _voxceleb):
        rows = sorted(reader(root), key=lambda row: (row.path, row.start_s))
        if rows:
            return rows
    raise FileNotFoundError(
        f"{root}: found neither index.tsv nor files laid out as in LibriSpeech, VoxCeleb, AMI or "
        "AudioMNIST"
    )


def _manifest(root: Path) -> Iterator[Row]:
    """Columns utt, file, start_s, dur_s, speaker, text, source and, if there, licence. Where text
    is empty, that of `pseudo.tsv` beside it, if it is sure enough."""
    if not (root / "index.tsv").exists():
        return
    heard = _pseudo(root / "pseudo.tsv")
    with (root / "index.tsv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
            yield Row(
                row["utt"], root / row["file"], float(row["start_s"]), float(row["dur_s"]),
                row["speaker"], row["text"] or heard.get(row["utt"], ""), row["source"],
                row.get("licence") or "",
            )  # fmt: skip


def _pseudo(path: Path) -> dict[str, str]:
    """Utterance -> text that a recogniser heard (columns utt, text, mean_logprob), where sure."""
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {r["utt"]: r["text"] for r in rows if float(r["mean_logprob"]) > MIN_LOGPROB}


def _librispeech(root: Path) -> Iterator[Row]:
    """`speaker/chapter/speaker-chapter.trans.txt`, one line per `speaker-chapter-NNNN.flac`."""
    for listing in root.rglob("*.trans.txt"):
        for line in listing.read_text(encoding="utf-8").splitlines():
            name, _, text = line.partition(" ")
            for path in (listing.parent / f"{name}.flac", listing.parent / f"{name}.wav"):
                if path.exists():
                    speaker = f"librispeech_{name.split('-')[0]}"
                    yield Row(name, path, 0.0, None, speaker, text, "librispeech", "CC-BY-4.0")
                    break


def _voxceleb(root: Path) -> Iterator[Row]:
    """`idNNNNN/video/NNNNN.wav`; speakers without text."""
    for path in root.rglob("*.wav"):
        speaker, video = path.parent.parent.name, path.parent.name
        if re.fullmatch(r"id\d{5}", speaker):
            name = f"{speaker}-{video}-{path.stem}"
            yield Row(name, path, 0.0, None, speaker, "", "voxceleb", "CC-BY-4.0")


def _audiomnist(root: Path) -> Iterator[Row]:
    """`NN/digit_NN_take.wav` of speaker NN."""
    for path in root.rglob("*.wav"):
        found = re.fullmatch(r"(\d)_(\d+)_(\d+)", path.stem)
        if found and path.parent.name == found[2]:
            digit, speaker, _ = found.groups()
            name = f"audiomnist_{path.stem}"
            yield Row(
                name,
                path,
                0.0,
                None,
                f"audiomnist_{speaker}",
                DIGITS[int(digit)],
                "audiomnist",
                "MIT",
            )


def _ami(root: Path) -> Iterator[Row]:
    """`MEETING.Mix-Headset.wav` and, anywhere below, `MEETING.rttm`: one row for the whole meeting
    (speaker `multi`) and one for every stretch where one voice is alone."""
    rttms = {path.stem: path for path in root.rglob("*.rttm")}
    for path in root.rglob("*.Mix-Headset.wav"):
        meeting = path.name.split(".")[0]
        yield Row(meeting, path, 0.0, None, "multi", "", "ami", "CC-BY-4.0")
        if meeting in rttms:
            for start_s, end_s, speaker in clean_speech(read_rttm(rttms[meeting])):
                name = f"{meeting}_{round(100 * start_s):07d}"
                yield Row(
                    name, path, start_s, end_s - start_s, f"ami_{speaker}", "", "ami", "CC-BY-4.0"
                )


def read_rttm(path: Path) -> list[tuple[float, float, str]]:
    """Turns (start_s, end_s, speaker) of an RTTM file of one recording."""
    return [turn for turns in read_recordings(path).values() for turn in turns]


def read_recordings(path: Path) -> dict[str, list[tuple[float, float, str]]]:
    """Recording -> its turns (start_s, end_s, speaker) in an RTTM file of several recordings."""
    rows = [line.split() for line in path.read_text().splitlines() if line.startswith("SPEAKER")]
    found: dict[str, list[tuple[float, float, str]]] = {}
    for row in rows:
        start_s = float(row[3])
        found.setdefault(row[1], []).append((start_s, start_s + float(row[4]), row[7]))
    return found


def clean_speech(turns: list[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """Stretches of at least a second where exactly one speaker's turns are open."""
    times = sorted({t for start_s, end_s, _ in turns for t in (start_s, end_s)})
    found: list[tuple[float, float, str]] = []
    for start_s, end_s in pairwise(times):
        talking = {speaker for a, b, speaker in turns if a < end_s and b > start_s}
        if len(talking) != 1:
            continue
        speaker = talking.pop()
        if found and found[-1][2] == speaker and found[-1][1] == start_s:
            start_s = found.pop()[0]
        found.append((start_s, end_s, speaker))
    return [row for row in found if row[1] - row[0] >= MIN_CLEAN_S]
