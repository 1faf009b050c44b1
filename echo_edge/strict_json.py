"""The one reader of our own JSON: bytes to frozen dataclasses, by the types of their fields.

Manifests and signatures of bundles, known voices, results, recordings, bench records and the lines
of the recorder are read here. Knows the JSON and the types, not what any key means: the dataclasses
say that. A field with a default may be absent, one of type `X | None` may be null. A `key` is where
a value stands: the file, a colon, then names joined by dots. Errors are `JsonError`.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from echo_edge.errors import JsonError

AnyText = Annotated[str, "any"]
"""A string of any length and any characters; a plain `str` is short and printable."""


@dataclass(frozen=True)
class Rule:
    """What a value must hold beyond its type, and the words for it in an error."""

    expected: str
    holds: Callable[[Any], bool]
    schema: dict[str, object] = field(default_factory=dict, hash=False)
    """The same in JSON Schema, as far as that can say it."""
    name: str = "value"
    """What docs/reference/bundle.md calls it."""


def between(low: int, high: int) -> Rule:
    """Allow the integers from `low` to `high`, both included."""
    schema: dict[str, object] = {"minimum": low, "maximum": high}
    return Rule(f"an integer from {low} to {high}", lambda value: low <= value <= high, schema)


def number_between(low: float, high: float) -> Rule:
    """Allow the numbers from `low` to `high`, both included."""
    schema: dict[str, object] = {"minimum": low, "maximum": high}
    return Rule(f"a number from {low:g} to {high:g}", lambda value: low <= value <= high, schema)


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


def refusal(key: str, found: str, expected: str, rule: str = "value") -> JsonError:
    """Return the error of the value at `key`; `rule` as in docs/reference/bundle.md."""
    return JsonError(f"{key.removesuffix(': ')}: found {found}, expected {expected}", rule)


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
    """Return the JSON of `text`; JsonError unless it is UTF-8 without duplicate keys."""

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


def convert(value: Any, kind: Any, key: str, *, lenient: bool = False) -> Any:
    """Return `value`, as JSON gave it, as the type `kind`; JsonError where it does not fit.

    `kind` is a dataclass, `tuple[x, ...]`, `tuple[x, y]`, `dict[str, x]`, str, AnyText, int, float,
    bool, bytes (base64 in JSON), one of these `| None`, or any of them `Annotated` with rules.
    `key` is where `value` stands. With `lenient`, for documents of our own to which later versions
    add keys, keys that no field has are passed over and a string may be of any length.
    """
    return _Converter(lenient).convert(value, kind, key)


@dataclass(frozen=True)
class _Converter:
    lenient: bool

    def convert(self, value: Any, kind: Any, key: str) -> Any:
        origin, arguments = get_origin(kind), get_args(kind)
        if kind == AnyText:
            _require(isinstance(value, str), value, "a string", key)
            return value
        if origin is Annotated:
            converted = self.convert(value, arguments[0], key)
            for rule in arguments[1:]:
                _require(rule.holds(converted), value, rule.expected, key, rule.name)
            return converted
        if origin in (UnionType, Union):
            (inner,) = (each for each in arguments if each is not NoneType)
            return None if value is None else self.convert(value, inner, key)
        if is_dataclass(kind):
            _require(isinstance(value, dict), value, "an object", key)
            return self._convert_fields(value, kind, key)
        if origin in (dict, Mapping):
            return self._convert_table(value, arguments, key)
        if origin is tuple:
            return self._convert_list(value, arguments, key)
        if kind is str and self.lenient:
            _require(isinstance(value, str) and value.isprintable(), value, "printable text", key)
            return value
        return _PLAIN[kind](value, key)

    def _convert_table(self, value: Any, kinds: tuple[Any, ...], key: str) -> dict[Any, Any]:
        _require(isinstance(value, dict), value, "an object", key)
        return {
            self.convert(name, kinds[0], dotted(key, name)): self.convert(
                item, kinds[1], dotted(key, name)
            )
            for name, item in value.items()
        }

    def _convert_list(self, value: Any, kinds: tuple[Any, ...], key: str) -> tuple[Any, ...]:
        _require(isinstance(value, list), value, "a list", key)
        if kinds[1:] == (Ellipsis,):
            kinds = kinds[:1] * len(value)
        _require(len(value) == len(kinds), value, f"a list of {len(kinds)}", key)
        pairs = enumerate(zip(value, kinds, strict=True))
        return tuple(self.convert(item, kind, f"{key}[{i}]") for i, (item, kind) in pairs)

    def _convert_fields(self, value: dict[str, Any], kind: Any, key: str) -> Any:
        types, required = _fields(kind)
        for name in value:
            if name not in types and not self.lenient:
                known = ", ".join(types)
                raise refusal(dotted(key, name), "an unknown key", f"one of {known}", "key-unknown")
        for name in required:
            if name not in value:
                raise refusal(dotted(key, name), "nothing", "this key", "key-missing")
        given = (name for name in types if name in value)
        return kind(**{n: self.convert(value[n], types[n], dotted(key, n)) for n in given})


@cache
def _fields(kind: Any) -> tuple[dict[str, Any], list[str]]:
    """The types of a dataclass's fields, and the names of those without a default; finding them out
    costs a third of all parsing."""
    hints = get_type_hints(kind, include_extras=True)
    required = [
        each.name
        for each in fields(kind)
        if each.default is MISSING and each.default_factory is MISSING
    ]
    return {each.name: hints[each.name] for each in fields(kind)}, required


def _text(value: Any, key: str) -> str:
    is_text = isinstance(value, str) and value.isprintable() and len(value) <= 200
    _require(is_text, value, "a string of up to 200 printable characters", key)
    return str(value)


def _integer(value: Any, key: str) -> int:
    _require(type(value) is int, value, "an integer", key)
    return int(value)


def _flag(value: Any, key: str) -> bool:
    _require(type(value) is bool, value, "true or false", key)
    return bool(value)


def _number(value: Any, key: str) -> float:
    # A comparison that NaN fails, and an integer too large for a float.
    is_finite = type(value) in (int, float) and abs(value) <= 1e300
    _require(is_finite, value, "a finite number", key, "number")
    return float(value)


def _bytes(value: Any, key: str) -> bytes:
    """The bytes, if `value` is the one way to write them: no stray letters, no stray bits."""
    data = None
    if isinstance(value, str) and value.isascii():
        with suppress(ValueError):
            data = base64.b64decode(value, validate=True)
    if data is None or base64.b64encode(data).decode() != value:
        raise refusal(key, shown(value), "base64", "type")
    return data


_PLAIN: dict[Any, Callable[[Any, str], Any]] = {
    str: _text,
    int: _integer,
    bool: _flag,
    float: _number,
    bytes: _bytes,
}


def _require(holds: bool, value: object, expected: str, key: str, rule: str = "type") -> None:
    if not holds:
        raise refusal(key, shown(value), expected, rule)
