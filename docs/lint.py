"""Checks the prose of README.md, CONTRIBUTING.md and the guide pages docs/*.md.

    python docs/lint.py [FILE ...]

A sentence has at most 25 words, README.md at most 90 lines, and no page uses the phrases in
`CALQUES`. Code blocks, HTML comments and what stands between the comments `NAME: begin` and
`NAME: end` (generated tables) are not prose. A heading, a list item and a cell of a table end a
sentence. Exit code 1 if anything was found, one line for each finding.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAX_WORDS = 25
MAX_README_LINES = 90
CALQUES = ("otherwise", "of before", "alike", "told", "heard twice")

_NOT_PROSE = re.compile(
    r"(?ms)^ *```.*?^ *```$|<!-- (?P<name>\S+): begin -->.*?<!-- (?P=name): end -->|<!--.*?-->"
)
_LINK = re.compile(r"!?\[([^\]]*)\](?:\([^)]*\))?")
_CODE = re.compile(r"`[^`]*`")
_END = re.compile(r"(?<=[.!?])(?:\*+|\")?\s+")
_BLOCK = re.compile(r"\s*(?:[-*] |\d+\. |#|\||>|$)")


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Line number and text of each block: a paragraph, a heading, a list item, a cell."""
    # Line breaks stay, so that line numbers stay.
    text = _NOT_PROSE.sub(lambda found: "\n" * found[0].count("\n"), text)
    begin, block = 1, ""
    for number, line in enumerate(text.splitlines(), start=1):
        if _BLOCK.match(line):
            yield begin, block
            block = ""
        if line.lstrip().startswith("|"):
            yield from ((number, cell) for cell in re.split(r"(?<!\\)\|", line))
        elif line.startswith("#"):
            yield number, line
        else:
            begin = begin if block.strip() else number
            block += f" {line}"
    yield begin, block


def sentences(block: str) -> list[str]:
    """The sentences of a block, each link as its text and each code span as one word."""
    plain = _CODE.sub("code", _LINK.sub(r"\1", block))
    return _END.split(re.sub(r"\s+", " ", plain).strip())


def findings(path: Path) -> Iterator[str]:
    """What is wrong in one page, a line each: where, found, expected."""
    text = path.read_text(encoding="utf-8")
    if path.name == "README.md" and text.count("\n") > MAX_README_LINES:
        yield f"{path.name}: found {text.count(chr(10))} lines, expected at most {MAX_README_LINES}"
    for number, block in prose(text):
        where = f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}:{number}"
        for sentence in sentences(block):
            n_words = len(re.findall(r"\S*\w\S*", sentence))
            if n_words > MAX_WORDS:
                start = " ".join(sentence.split()[:6])
                yield f"{where}: found {n_words} words, expected at most {MAX_WORDS}: {start} ..."
        for calque in CALQUES:
            if re.search(rf"\b{calque}\b", _CODE.sub("", block), re.IGNORECASE):
                yield f"{where}: found '{calque}', expected plain English: write what is meant"


def main(argv: list[str]) -> int:
    """Check the files, or all pages; the exit code."""
    pages = [Path(name) for name in argv] or [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").glob("*.md")),
    ]
    found = [finding for page in pages for finding in findings(page.resolve())]
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
