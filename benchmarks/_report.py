"""Reports of benchmarks: records for machines, text for people."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def write_report(out: Path, records: Iterable[Mapping[str, Any]], text: str) -> None:
    """Write `records`, all of finite numbers, as OUT.jsonl and `text` as OUT.md; the folder is made
    if it is not there."""
    out.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(record, allow_nan=False) + "\n" for record in records)
    out.with_suffix(".jsonl").write_text("".join(lines))
    out.with_suffix(".md").write_text(text)


def command_line(name: str, arguments: Sequence[str]) -> str:
    """The command that a report was made by."""
    return " ".join([f"python -m benchmarks.{name}", *arguments])
