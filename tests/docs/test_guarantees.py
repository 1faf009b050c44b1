"""docs/reference/guarantees.md: every sentence names a test, and every named test exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "guarantees.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def _guarantees() -> list[str]:
    """The bullet points of the page, each as one line."""
    text = re.sub(r"\n +", " ", PAGE.read_text(encoding="utf-8"))
    return [line for line in text.splitlines() if line.startswith("- ")]


def test_every_guarantee_names_a_test() -> None:
    assert [line for line in _guarantees() if not NAMED.search(line)] == []


def test_every_named_test_exists() -> None:
    missing = [
        f"{path}::{name}"
        for path, name in NAMED.findall(PAGE.read_text(encoding="utf-8"))
        if not (ROOT / path).is_file()
        or not re.search(rf"def {name}\(", (ROOT / path).read_text(encoding="utf-8"))
    ]
    assert missing == []
