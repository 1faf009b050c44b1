"""What a benchmark found, kept for machines and for people."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def keep(out: Path, records: Iterable[Mapping[str, Any]], text: str) -> None:
    """Write `records`, all of finite numbers, as OUT.jsonl and `text` as OUT.md; the folder is made
    if it is not there."""
    out.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(record, allow_nan=False) + "\n" for record in records)
    out.with_suffix(".jsonl").write_text("".join(lines))
    out.with_suffix(".md").write_text(text)
