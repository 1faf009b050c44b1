"""The manifest as a JSON Schema, from the same dataclasses that read it.

    python -m echo_edge.bundle.schema > docs/reference/bundle.schema.json

It says what one value may be; rules between values are in docs/reference/bundle.md and
`manifest.py` only.
"""

import json
import sys
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from echo_edge.bundle.manifest import BUNDLE_SCHEMA, MAX_FILES, Manifest

_PLAIN: dict[object, dict[str, object]] = {
    str: {"type": "string", "maxLength": 200},
    int: {"type": "integer"},
    float: {"type": "number"},
}


def manifest_schema() -> dict[str, object]:
    """A document in JSON Schema 2020-12 that every valid manifest.json fits."""
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"manifest.json of a bundle, {BUNDLE_SCHEMA}",
        **_schema(Manifest),
    }
    schema["properties"]["schema"] = {"const": BUNDLE_SCHEMA}
    schema["properties"]["files"]["maxProperties"] = MAX_FILES
    return schema


def _schema(kind: Any) -> dict[str, Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        merged = _schema(arguments[0])
        for rule in arguments[1:]:
            merged |= rule.schema
        return merged
    if is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        names = [field.name for field in fields(kind)]
        return {
            "type": "object",
            "properties": {name: _schema(hints[name]) for name in names},
            "required": names,
            "additionalProperties": False,
        }
    if origin is dict:
        values = {"type": "object", "additionalProperties": _schema(arguments[1])}
        return values | {"propertyNames": _schema(arguments[0])}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0])}
    return dict(_PLAIN[kind])


if __name__ == "__main__":
    json.dump(manifest_schema(), sys.stdout, indent=1)
    print()
