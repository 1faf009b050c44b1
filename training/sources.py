"""Training data of a model: hours, speakers and licence of every source, as a table for its card.

python -m training.sources --data DATA --more DIR ...
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import soundfile

from training.corpora.corpus_formats import Row, read_rows
from training.corpora.data import NOT_ENGLISH, UNKNOWN_SPEAKER, held_out_texts, normalize_text
from training.corpora.held_out import HeldOut


@dataclass
class Amount:
    """Amount of audio of one source and licence."""

    seconds: float = 0.0
    with_text: float = 0.0
    """Seconds of English speech whose text is trained on."""
    utterances: int = 0
    speakers: set[str] = field(default_factory=set)
    """Known ones, synthetic voices too."""


def sources(rows: Iterable[Row], held_out: HeldOut) -> dict[tuple[str, str], Amount]:
    """(source, licence) -> what was heard of it."""
    found: dict[tuple[str, str], Amount] = {}
    for row in rows:
        amount = found.setdefault((row.source, row.licence or "not stated"), Amount())
        seconds = row.duration_s
        if seconds is None:
            info = soundfile.info(row.path)
            seconds = info.frames / info.samplerate
        text = "" if row.source in NOT_ENGLISH else normalize_text(row.text)
        amount.seconds += seconds
        amount.utterances += 1
        amount.with_text += seconds if text and not held_out.has(text) else 0.0
        if row.speaker not in UNKNOWN_SPEAKER:
            amount.speakers.add(row.speaker)
    return found


def table(found: dict[tuple[str, str], Amount]) -> str:
    """Markdown, the longest source first, the sum last."""
    lines = ["| source | hours | with text | utterances | voices | licence |"]
    lines.append("|---|---|---|---|---|---|")
    for (source, licence), h in sorted(found.items(), key=lambda item: -item[1].seconds):
        lines.append(_line(source, h, licence))
    total = Amount(
        sum(h.seconds for h in found.values()),
        sum(h.with_text for h in found.values()),
        sum(h.utterances for h in found.values()),
        set().union(*(h.speakers for h in found.values())),
    )
    return "\n".join([*lines, _line("all", total, "")])


def _line(source: str, h: Amount, licence: str) -> str:
    hours = f"{h.seconds / 3600:.2f} | {h.with_text / 3600:.2f}"
    return f"| {source} | {hours} | {h.utterances} | {len(h.speakers)} | {licence} |"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and dev/")
    parser.add_argument("--more", type=Path, nargs="*", default=[], help="further training corpora")
    args = parser.parse_args()
    rows = [row for root in (args.data / "train", *args.more) for row in read_rows(root)]
    print(table(sources(rows, held_out_texts(args.data))))


if __name__ == "__main__":
    main()
