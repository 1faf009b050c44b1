"""Every link of a Markdown page leads to a file that is there, and to a heading that it has."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("benchmarks", "demo", "docs", "export", "firmware_examples", "models", "packages",
           "tests", "training")  # fmt: skip
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"(?ms)^ *```.*?^ *```$")


def pages() -> list[Path]:
    """The Markdown files of the checkout; folders that begin with a dot or hold results are not."""
    folders = [ROOT / name for name in FOLDERS]
    return [
        *sorted(ROOT.glob("*.md")),
        *sorted(page for each in folders for page in each.rglob("*.md")),
    ]


def anchors(page: Path) -> set[str]:
    """The fragments that GitHub makes of the page's headings."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"(?m)^#+ (.+)$", text)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in plain}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    broken = []
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, fragment = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (fragment and fragment not in anchors(target)):
            broken.append(link)

    assert broken == []


def test_the_index_of_decisions_is_that_of_the_entries() -> None:
    command = [sys.executable, ROOT / "docs" / "decisions" / "index.py", "--check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "")
