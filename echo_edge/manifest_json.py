"""Strict JSON for the manifest: bytes to frozen dataclasses, by the types of their fields.

Knows the JSON and the types, not what any key means: `manifest.py` says that.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from echo_edge.errors import BundleError


@dataclass(frozen=True)
class Rule:
    """What a value must hold beyond its type, and the words for it in an error."""

    expected: str
    holds: Callable[[Any], bool]


def between(low: int, high: int) -> Rule:
    """Allow the integers from `low` to `high`, both included."""
    return Rule(f"an integer from {low} to {high}", lambda value: low <= value <= high)


def one_of(*known: object) -> Rule:
    """Allow these values only."""
    return Rule(" or ".join(map(str, known)), lambda value: value in known)


def matching(pattern: str, expected: str) -> Rule:
    """Allow strings that match the whole `pattern`, whose letters and digits are ASCII's."""
    return Rule(expected, lambda value: re.fullmatch(pattern, value, re.ASCII) is not None)


def refusal(key: str, found: str, expected: str) -> BundleError:
    """Return the error of the manifest's `key`, dotted; empty for the whole file."""
    where = f"manifest.json: {key}" if key else "manifest.json"
    return BundleError(f"{where}: found {found}, expected {expected}")


def shown(value: object) -> str:
    """Return `value` as JSON, short and on one line, whatever an attacker put in it."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:60] + "..."


def dotted(key: str, name: str) -> str:
    """Return the key of `name` inside the object at `key`."""
    return ".".join(filter(None, (key, shown(name)[1:-1])))


def read_json(text: bytes) -> object:
    """Return the JSON of `text`; BundleError unless it is UTF-8 without duplicate keys."""
    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except RecursionError:
        raise refusal("", "deeply nested values", "at most five levels") from None
    except ValueError as error:
        raise refusal("", f"no JSON in UTF-8 ({error})", "a JSON object") from error


def convert(value: Any, kind: Any, key: str) -> Any:
    """Return `value`, as JSON gave it, as the type `kind`; BundleError where it does not fit.

    `kind` is a dataclass, `tuple[x, ...]`, `dict[str, x]`, str, int, float, or any of them
    `Annotated` with rules; `key` is where `value` stands.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        converted = convert(value, arguments[0], key)
        for rule in arguments[1:]:
            _require(rule.holds(converted), value, rule.expected, key)
        return converted
    if is_dataclass(kind):
        _require(isinstance(value, dict), value, "an object", key)
        return _convert_fields(value, kind, key)
    if origin is dict:
        _require(isinstance(value, dict), value, "an object", key)
        return {
            convert(name, arguments[0], dotted(key, name)): convert(
                item, arguments[1], dotted(key, name)
            )
            for name, item in value.items()
        }
    if origin is tuple:
        _require(isinstance(value, list), value, "a list", key)
        return tuple(convert(item, arguments[0], f"{key}[{i}]") for i, item in enumerate(value))
    if kind is str:
        is_text = isinstance(value, str) and value.isprintable() and len(value) <= 200
        _require(is_text, value, "a string of up to 200 printable characters", key)
        return value
    if kind is int:
        _require(type(value) is int, value, "an integer", key)
        return value
    # A comparison that NaN fails, and an integer too large for a float.
    is_finite = type(value) in (int, float) and abs(value) <= 1e300
    _require(is_finite, value, "a finite number", key)
    return float(value)


def _require(holds: bool, value: object, expected: str, key: str) -> None:
    if not holds:
        raise refusal(key, shown(value), expected)


def _convert_fields(value: dict[str, Any], kind: Any, key: str) -> Any:
    hints = get_type_hints(kind, include_extras=True)
    for name in value:
        if name not in hints:
            raise refusal(dotted(key, name), "an unknown key", f"one of {', '.join(hints)}")
    for name in hints:
        if name not in value:
            raise refusal(dotted(key, name), "nothing", "this key")
    return kind(**{name: convert(value[name], hints[name], dotted(key, name)) for name in hints})


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table: dict[str, object] = {}
    for key, value in pairs:
        if key in table:
            raise refusal(shown(key), "this key twice in one object", "it once")
        table[key] = value
    return table
