"""Files of records: whole lines, and one line of error for whatever else a file may hold."""

import json
import os
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from echo_edge.bench.record import Record, to_json
from echo_edge.bench.report.store import append_lines, read_records
from echo_edge.errors import EchoError, OutputError

Document = dict[str, Any]


def test_append_lines_takes_a_device_and_keeps_what_was_there(tmp_path: Path) -> None:
    append_lines("/dev/null", ["{}"])
    out = tmp_path / "lines"
    append_lines(str(out), [])
    assert not out.exists()
    append_lines(str(out), ["a"])
    append_lines(str(out), [])
    append_lines(str(out), ["b", "c"])
    assert out.read_text() == "a\nb\nc\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_one_line() -> None:
    with pytest.raises(OutputError, match="No space left"):
        append_lines("/dev/full", ["{}"])


def test_what_is_written_is_read(make: Any, tmp_path: Path) -> None:
    out = tmp_path / "records.jsonl"
    records = [make(), make(threads=2, live=None, reference=None, board={"cores": None})]
    append_lines(str(out), [to_json(record) for record in records])
    assert read_records(str(out)) == records
    assert "".join(f"{to_json(each)}\n" for each in read_records(str(out))) == out.read_text()


def test_one_record_over_many_lines_is_read(document: Document, tmp_path: Path) -> None:
    out = tmp_path / "record.json"
    out.write_text(json.dumps(document, indent=2))
    (record,) = read_records(str(out))
    assert record.rtf == 0.125


def test_records_of_the_first_version_are_read(document: Document, tmp_path: Path) -> None:
    """They had no reference work, no live run and no memory over time."""
    record = document
    for key in ("reference", "live", "rss_mib_over_time", "pss_mib", "background_processors"):
        del record[key]
    del record["thermal"]["over_time"]
    for key in ("clock_mhz_max", "power_mode"):
        del record["board"][key]
    out = tmp_path / "record.jsonl"
    out.write_text(json.dumps(record))
    assert len(read_records(str(out))) == 1


def leaves(kind: Any, at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every key that a record must have."""
    found, hints = [], get_type_hints(kind)
    for each in fields(kind):
        if each.default is MISSING and each.default_factory is MISSING:
            inner = (
                leaves(hints[each.name], (*at, each.name)) if is_dataclass(hints[each.name]) else []
            )
            found += inner or [(*at, each.name)]
    return found


LEAVES = [keys for keys in leaves(Record) if keys != ("schema",)]


@pytest.mark.parametrize("keys", LEAVES, ids=".".join)
def test_every_key_is_looked_at(document: Document, tmp_path: Path, keys: tuple[str, ...]) -> None:
    """Something that JSON can say and no key takes."""
    refused(tmp_path, changed(document, keys, [[]]), ".".join(keys))


@pytest.mark.parametrize("keys", LEAVES, ids=".".join)
def test_every_key_has_to_be_there(
    document: Document, tmp_path: Path, keys: tuple[str, ...]
) -> None:
    record = document
    inner = record
    for key in keys[:-1]:
        inner = inner[key]
    del inner[keys[-1]]
    refused(tmp_path, record, f"{'.'.join(keys)}: found nothing, expected this key")


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("threads",), True),
        (("threads",), 0),
        (("rtf",), True),
        (("rtf",), "0.1"),
        (("rtf",), None),
        (("rtf",), 1e300),
        (("chunk_s",), 0),
        (("samples_ms",), []),
        (("samples_ms",), [1, "2"]),
        (("board", "model"), "Pi\x1b[2J"),
        (("why",), ["line\nline"]),
        (("board",), None),
        (("live", "latency_ms", "p99"), None),
        (("live", "chunks"), 0),
        (("reference", "rtf_ratio"), "fast"),
        (("rss_mib_over_time",), [None]),
        (("energy",), {"watts": 4}),
        (("thermal", "over_time"), "none"),
        (("thermal", "over_time"), [{"t_s": "x"}]),
    ],
)
def test_wrong_values_are_named(
    document: Document, tmp_path: Path, keys: tuple[str, ...], value: object
) -> None:
    refused(tmp_path, changed(document, keys, value), ".".join(keys[:1]))


def changed(record: dict[str, Any], keys: tuple[str, ...], value: object) -> dict[str, Any]:
    inner = record
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    return record


def refused(folder: Path, record: object, named: str) -> None:
    path = folder / "records.jsonl"
    path.write_text(json.dumps(record))
    with pytest.raises(EchoError) as caught:
        read_records(str(path))
    message = str(caught.value)
    assert message.startswith(f"{path}: line 1: {named}")
    assert "expected" in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "found no record"),
        (b"\n\n", "found no record"),
        (b"not json", "found no JSON"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[]", "found nothing as its schema"),
        (b"3", "found nothing as its schema"),
        (b'{"schema": "echo-edge.result/1"}', 'found "echo-edge.result/1" as its schema'),
        (b'{"schema": [1]}', "found [1] as its schema"),
    ],
)
def test_files_that_hold_no_records(tmp_path: Path, data: bytes, found: str) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(data)
    with pytest.raises(EchoError) as caught:
        read_records(str(path))
    assert found in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_broken_line_is_named(document: Document, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(f"{json.dumps(document)}\n\n{json.dumps(document)[:100]}\n")
    with pytest.raises(EchoError, match=r"records.jsonl: line 3: found no JSON"):
        read_records(str(path))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (str(tmp_path), str(tmp_path / "absent"), "a\0b"):
        with pytest.raises(EchoError, match="cannot be read"):
            read_records(path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    path.touch()
    os.truncate(path, 1 << 40)  # no block is written
    with pytest.raises(EchoError, match="larger than 256 MiB"):
        read_records(str(path))
