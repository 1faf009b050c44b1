"""What a record `echo-edge.bench/1` must hold for reports to read it, key by key.

Keys that came later may be absent; keys that are not known do not matter.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from echo_edge.bench.record import SCHEMA
from echo_edge.errors import EchoError

MOST = 1e15
"""No figure of a record comes near; what a plot can do with larger ones is nothing."""
AGAIN = "measure again: echo-edge bench --json FILE"


def _is_number(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < MOST  # not NaN either
    )


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and _is_number(value) and value > 0


def _are_numbers(value: object) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(map(_is_number, value))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.isprintable()  # it goes to a terminal


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


Check = Callable[[object], bool]
NUMBER: tuple[str, Check] = ("a number", _is_number)
COUNT: tuple[str, Check] = ("1 or more", lambda v: type(v) is int and v >= 1)
SECONDS: tuple[str, Check] = ("seconds above 0", _is_positive)
TEXT: tuple[str, Check] = ("printable text", _is_text)
MAYBE_TEXT: tuple[str, Check] = ("printable text or null", lambda v: v is None or _is_text(v))
MAYBE_NUMBER: tuple[str, Check] = ("a number or null", lambda v: v is None or _is_number(v))
FLAG: tuple[str, Check] = ("true or false", lambda v: isinstance(v, bool))
MAYBE_FLAG: tuple[str, Check] = ("true, false or null", lambda v: v is None or isinstance(v, bool))
NUMBERS: tuple[str, Check] = ("a list of numbers", _are_numbers)
TEXTS: tuple[str, Check] = ("a list of printable texts", _are_texts)
OBJECT: tuple[str, Check] = ("an object", lambda v: isinstance(v, dict))

PERCENTILES = dict.fromkeys(("p50", "p90", "p95", "p99", "max"), NUMBER)
PHASES = ("frontend", "encoder", "diarization", "speaker", "asr", "separation", "decoding")

REQUIRED: dict[str, Any] = {
    "commit": MAYBE_TEXT,
    "dirty": MAYBE_FLAG,
    "time": TEXT,
    "board": {
        **dict.fromkeys(("model", "cpu", "os", "kernel"), TEXT),
        **dict.fromkeys(("cores", "memory_mib"), MAYBE_NUMBER),
        "governor": MAYBE_TEXT,
        "isa": TEXTS,
        "emulated": FLAG,
    },
    "bundle": {
        **dict.fromkeys(("name", "version", "engine", "engine_version", "recipe", "sha256"), TEXT),
        "size_mib": NUMBER,
    },
    "threads": COUNT,
    "chunk_s": SECONDS,
    "rtf": NUMBER,
    "latency_ms": PERCENTILES,
    "samples_ms": NUMBERS,
    "phases_ms": dict.fromkeys(PHASES, NUMBER),
    "load_ms": {"cold": NUMBER, "warm": NUMBER},
    "first_result_ms": NUMBER,
    "rss_mib": {"before_load": NUMBER, "after_load": NUMBER, "peak": NUMBER},
    "overhead_ms": {"mean": NUMBER, **PERCENTILES},
    "selftest": {"passed": FLAG},
    "thermal": OBJECT,
    "energy": ("an object or null", lambda v: v is None or isinstance(v, dict)),
    "energy_why": MAYBE_TEXT,
    "valid": FLAG,
    "why": TEXTS,
}
"""What every record has, key by key."""

OPTIONAL: dict[str, Any] = {
    "reference": {"what": TEXT, **dict.fromkeys(("ms", "gflop_per_s", "rtf_ratio"), NUMBER)},
    "live": {
        **dict.fromkeys(("pace", "period_ms", "deadline_misses", "lag_growth_ms_per_s"), NUMBER),
        "chunks": COUNT,
        "latency_ms": PERCENTILES,
        "lag_ms": {"max": NUMBER, "last": NUMBER},
        "samples_ms": NUMBERS,
    },
    "energy": {
        **dict.fromkeys(("sensor", "covers"), TEXT),
        **dict.fromkeys(("joules", "window_s", "watts", "joules_per_audio_s"), NUMBER),
    },
    "accuracy": {
        **dict.fromkeys(("der_percent", "wer_percent", "audio_s"), NUMBER),
        **dict.fromkeys(("speakers", "true_speakers", "words"), NUMBER),
    },
    "accuracy_why": MAYBE_TEXT,
    "rss_mib_over_time": NUMBERS,
    "tasks": (
        "an object of numbers or nulls",
        lambda v: isinstance(v, dict) and all(map(MAYBE_NUMBER[1], v.values())),
    ),
}
"""What a record may have beyond that, or have as null."""


def check(where: str, document: Any) -> None:
    """EchoError unless the document has everything that reports read from it."""
    found = document.get("schema") if isinstance(document, dict) else None
    if found != SCHEMA:
        raise EchoError(f"{where}: found {_short(found)} as its schema, expected {SCHEMA}: {AGAIN}")
    _check_keys(where, document, REQUIRED)
    given = {key: spec for key, spec in OPTIONAL.items() if document.get(key) is not None}
    _check_keys(where, document, given)
    over_time = document["thermal"].get("over_time", [])
    looks = {"t_s": NUMBER, "hottest_c": MAYBE_NUMBER, "clock_mhz": MAYBE_NUMBER}
    if not isinstance(over_time, list):
        _refuse(where, "thermal.over_time", over_time, "a list")
    for index, look in enumerate(over_time):
        _check_value(where, f"thermal.over_time[{index}]", look, looks)


def _check_keys(
    where: str, values: Mapping[str, Any], spec: Mapping[str, Any], at: str = ""
) -> None:
    for key, expected in spec.items():
        if key not in values:  # null is something
            _refuse(where, f"{at}{key}", None, "this key")
        _check_value(where, f"{at}{key}", values[key], expected)


def _check_value(where: str, at: str, value: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        if not isinstance(value, dict):
            _refuse(where, at, value, "an object")
        _check_keys(where, value, expected, f"{at}.")
    elif not expected[1](value):
        _refuse(where, at, value, expected[0])


def _refuse(where: str, at: str, value: Any, expected: str) -> NoReturn:
    raise EchoError(f"{where}: {at}: found {_short(value)}, expected {expected}: {AGAIN}")


def _short(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
