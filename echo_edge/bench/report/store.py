"""Files of records: one JSON object a line, appended whole or not at all, checked when read."""

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from echo_edge.bench.record import CURE, Record, from_document
from echo_edge.disk import append_whole
from echo_edge.errors import EchoError

MAX_BYTES = 1 << 28


def append_lines(path: str, lines: Iterable[str]) -> None:
    """Append whole lines, all or none, on the disk when this returns; OutputError if not.

    Without lines this only finds out whether there could be some.
    """
    append_whole(path, "".join(f"{line}\n" for line in lines).encode())


def read_records(path: str) -> list[Record]:
    """All records of a file, one a line or a single one over many lines. EchoError if one is none.

    Keys that an older version did not write may be absent; keys that are not known do not matter.
    """
    documents = _documents(path, _read(path))
    if not documents:
        raise EchoError(f"{path}: found no record, expected at least one: {CURE}")
    return [from_document(document, where) for where, document in documents]


def _read(path: str) -> str:
    try:
        if Path(path).stat().st_size > MAX_BYTES:
            raise EchoError(f"{path}: larger than {MAX_BYTES >> 20} MiB, expected records")
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a NUL in the name
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise EchoError(
            f"{path}: cannot be read ({reason}): expected records of `echo-edge bench --json`"
        ) from error


def _documents(path: str, text: str) -> list[tuple[str, Any]]:
    """Where and what: the whole text if it is one document, else each line that is not empty."""
    with suppress(ValueError):
        return [(f"{path}: line 1", _parse(text))]
    documents = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}: line {number}"
        try:
            documents.append((where, _parse(line)))
        except ValueError as error:
            raise EchoError(
                f"{where}: found no JSON ({str(error)[:120]}), expected a record: {CURE}"
            ) from error
    return documents


def _parse(text: str) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None
