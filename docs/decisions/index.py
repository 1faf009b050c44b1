"""Writes README.md of this folder: the entries of all subjects, each with a link.

    python docs/decisions/index.py [--check]

`--check` writes nothing and exits with 1 if the index is not that of the entries.
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).parent
README = FOLDER / "README.md"
ENTRY = re.compile(r"(?m)^## (\d{4}-\d\d-\d\d) · (.+)$")
BELOW = "\n---\n\nSuperseded"
"""The line in a subject's file below which entries no longer hold."""

INTRO = """\
# Decisions

One entry for each decision that a successor would question, with the measurement behind it. Each
subject is a file. Entries that no longer hold stand below a line at its end. How to add one:
[CONTRIBUTING](../../CONTRIBUTING.md#decisions).

"This machine" is 2 cores of an AMD EPYC of family 25, model 1 (AVX2, neither AVX-512 nor VNNI),
Linux, Python 3.11, torch 2.13.0, onnxruntime 1.32.0. "The VNNI machine" is
[another](benchmarks.md#2026-11-24--another-machine-under-the-same-name), from 2026-11-24 on.
`python docs/decisions/index.py` writes the list below.
"""


def anchor(heading: str) -> str:
    """The fragment by which GitHub links a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def subject(path: Path) -> Iterable[str]:
    """The lines of the index for one file."""
    text = path.read_text(encoding="utf-8")
    title, introduction = text.removeprefix("# ").split("\n\n", 2)[:2]
    yield f"## {title}\n\n[{path.name}]({path.name}): {introduction}\n"
    current, _, superseded = text.partition(BELOW)
    for part, remark in ((current, ""), (superseded, " (superseded)")):
        for date, name in ENTRY.findall(part):
            link = f"{path.name}#{anchor(f'{date} · {name}')}"
            yield f"- {date} [{name}]({link}){remark}"


def index(folder: Path = FOLDER) -> str:
    """The text of README.md."""
    paths = sorted(path for path in folder.glob("*.md") if path.name != README.name)
    subjects = ("\n".join(subject(path)) for path in paths)
    return INTRO + "\n" + "\n\n".join(subjects) + "\n"


def main(argv: list[str]) -> int:
    """Write or check; the exit code."""
    if argv == ["--check"]:
        if README.read_text(encoding="utf-8") == index():
            return 0
        print("docs/decisions/README.md: found another index: run python docs/decisions/index.py")
        return 1
    README.write_text(index(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
