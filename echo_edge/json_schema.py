"""Frozen dataclasses as JSON Schema 2020-12: what `strict_json` reads, for other programs.

A schema says what one value may be; rules between values are in the documents' own modules only.
"""

import ast
import inspect
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from itertools import pairwise
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from echo_edge.strict_json import AnyText

_PLAIN: dict[object, dict[str, object]] = {
    str: {"type": "string", "maxLength": 200},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    bytes: {"type": "string", "contentEncoding": "base64"},
}


def schema_of(kind: Any, title: str, *, lenient: bool = False) -> dict[str, Any]:
    """The schema that every document of the dataclass `kind` fits; `lenient` as in
    `strict_json.convert`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **_schema(kind, lenient),
    }


def _schema(kind: Any, lenient: bool) -> dict[str, Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind == AnyText or (kind is str and lenient):
        return {"type": "string"}
    if origin is Annotated:
        merged = _schema(arguments[0], lenient)
        for rule in arguments[1:]:
            merged |= rule.schema
        return merged
    if origin in (UnionType, Union):
        (inner,) = (each for each in arguments if each is not NoneType)
        return {"anyOf": [_schema(inner, lenient), {"type": "null"}]}
    if is_dataclass(kind):
        return _object(kind, lenient)
    if origin in (dict, Mapping):
        values = {
            "type": "object",
            "additionalProperties": _schema(arguments[1], lenient),
        }
        return values | {"propertyNames": _schema(arguments[0], lenient)}
    if origin is tuple:
        return _array(arguments, lenient)
    return dict(_PLAIN[kind])


def _object(kind: Any, lenient: bool) -> dict[str, Any]:
    hints, about = get_type_hints(kind, include_extras=True), _descriptions(kind)
    required = [
        each.name
        for each in fields(kind)
        if each.default is MISSING and each.default_factory is MISSING
    ]
    properties = {
        each.name: _with(about.get(each.name, {}), _schema(hints[each.name], lenient))
        for each in fields(kind)
    }
    found = about.get("", {}) | {"type": "object", "properties": properties, "required": required}
    return found if lenient else found | {"additionalProperties": False}


def _with(about: dict[str, str], schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a field, whose own description comes before that of its type."""
    return about | schema | about


def _descriptions(kind: Any) -> dict[str, dict[str, str]]:
    """`description` of a dataclass ("") and of those of its fields that a string follows."""
    (tree,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(tree, ast.ClassDef)  # noqa: S101 - as all dataclasses are
    found = {"": {"description": ast.get_docstring(tree) or ""}}
    for before, after in pairwise(tree.body):
        if isinstance(before, ast.AnnAssign) and isinstance(after, ast.Expr):
            text = inspect.cleandoc(ast.literal_eval(after.value))
            found[ast.unparse(before.target)] = {"description": text}
    return {name: about for name, about in found.items() if about["description"]}


def _array(kinds: tuple[Any, ...], lenient: bool) -> dict[str, Any]:
    if kinds[1:] == (Ellipsis,):
        return {"type": "array", "items": _schema(kinds[0], lenient)}
    items = [_schema(each, lenient) for each in kinds]
    return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}
