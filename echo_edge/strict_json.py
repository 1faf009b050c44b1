"""Strict JSON for the manifest and the signature: bytes to frozen dataclasses, by the types of
their fields.

Knows the JSON and the types, not what any key means: `manifest.py` and `signing.py` say that. A
`key` is where a value stands: the file, a colon, then names joined by dots.
"""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, is_dataclass
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from echo_edge.errors import BundleError


@dataclass(frozen=True)
class Rule:
    """What a value must hold beyond its type, and the words for it in an error."""

    expected: str
    holds: Callable[[Any], bool]
    schema: dict[str, object] = field(default_factory=dict)
    """The same in JSON Schema, as far as that can say it."""
    name: str = "value"
    """What docs/reference/bundle.md calls it."""


def between(low: int, high: int) -> Rule:
    """Allow the integers from `low` to `high`, both included."""
    schema: dict[str, object] = {"minimum": low, "maximum": high}
    return Rule(f"an integer from {low} to {high}", lambda value: low <= value <= high, schema)


def one_of(*known: object) -> Rule:
    """Allow these values only."""
    expected = " or ".join(map(str, known))
    return Rule(expected, lambda value: value in known, {"enum": list(known)})


def matching(pattern: str, expected: str, name: str = "value") -> Rule:
    """Allow strings that match the whole `pattern`, whose letters and digits are ASCII's."""
    return Rule(
        expected,
        lambda value: re.fullmatch(pattern, value, re.ASCII) is not None,
        {"pattern": f"^(?:{pattern})$"},
        name,
    )


def refusal(key: str, found: str, expected: str, rule: str = "value") -> BundleError:
    """Return the error of the value at `key`; `rule` as in docs/reference/bundle.md."""
    return BundleError(f"{key.removesuffix(': ')}: found {found}, expected {expected}", rule)


def shown(value: object) -> str:
    """Return `value` as JSON, short and on one line, whatever an attacker put in it."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:60] + "..."


def dotted(key: str, name: str) -> str:
    """Return the key of `name` inside the object at `key`."""
    return key + shown(name)[1:-1] if key.endswith(": ") else f"{key}.{shown(name)[1:-1]}"


def read_json(text: bytes, file: str) -> object:
    """Return the JSON of `text`; BundleError unless it is UTF-8 without duplicate keys."""

    def without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
        table: dict[str, object] = {}
        for key, value in pairs:
            if key in table:
                raise refusal(f"{file}: {shown(key)}", "this key twice in one object", "it once",
                              "json-duplicate-key")  # fmt: skip
            table[key] = value
        return table

    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=without_duplicates)
    except RecursionError:
        raise refusal(file, "deeply nested values", "at most five levels", "json-depth") from None
    except ValueError as error:
        raise refusal(file, f"no JSON in UTF-8 ({error})", "a JSON object", "json") from error


def convert(value: Any, kind: Any, key: str) -> Any:
    """Return `value`, as JSON gave it, as the type `kind`; BundleError where it does not fit.

    `kind` is a dataclass, `tuple[x, ...]`, `dict[str, x]`, str, int, float, bool, bytes (base64 in
    JSON), or any of them `Annotated` with rules; `key` is where `value` stands.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        converted = convert(value, arguments[0], key)
        for rule in arguments[1:]:
            _require(rule.holds(converted), value, rule.expected, key, rule.name)
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
    if kind is bytes:
        data = _base64(value)
        _require(data is not None, value, "base64", key)
        return data
    if kind is int:
        _require(type(value) is int, value, "an integer", key)
        return value
    if kind is bool:
        _require(type(value) is bool, value, "true or false", key)
        return value
    # A comparison that NaN fails, and an integer too large for a float.
    is_finite = type(value) in (int, float) and abs(value) <= 1e300
    _require(is_finite, value, "a finite number", key, "number")
    return float(value)


def _require(holds: bool, value: object, expected: str, key: str, rule: str = "type") -> None:
    if not holds:
        raise refusal(key, shown(value), expected, rule)


def _convert_fields(value: dict[str, Any], kind: Any, key: str) -> Any:
    hints = _hints(kind)
    for name in value:
        if name not in hints:
            known = ", ".join(hints)
            raise refusal(dotted(key, name), "an unknown key", f"one of {known}", "key-unknown")
    for name in hints:
        if name not in value:
            raise refusal(dotted(key, name), "nothing", "this key", "key-missing")
    return kind(**{name: convert(value[name], hints[name], dotted(key, name)) for name in hints})


@cache
def _hints(kind: Any) -> dict[str, Any]:
    """The fields of a dataclass and their types; finding them out costs a third of all parsing."""
    return get_type_hints(kind, include_extras=True)


def _base64(value: object) -> bytes | None:
    """The bytes, if `value` is the one way to write them: no stray letters, no stray bits."""
    if not isinstance(value, str) or not value.isascii():
        return None
    try:
        data = base64.b64decode(value, validate=True)
    except ValueError:
        return None
    return data if base64.b64encode(data).decode() == value else None
