"""The published JSON Schemas, from the dataclasses that read the documents.

python -m echo_edge.cli.schemas docs/reference
"""

import json
import sys
from pathlib import Path
from typing import Any

from echo_edge.bench.record import SCHEMA as BENCH_SCHEMA
from echo_edge.bench.record import Record
from echo_edge.bundle.manifest import BUNDLE_SCHEMA, MAX_FILES, Manifest
from echo_edge.json_schema import schema_of


def manifest_schema() -> dict[str, Any]:
    """Every valid manifest.json fits it."""
    schema = schema_of(Manifest, f"manifest.json of a bundle, {BUNDLE_SCHEMA}")
    schema["properties"]["schema"] = {"const": BUNDLE_SCHEMA}
    schema["properties"]["files"]["maxProperties"] = MAX_FILES
    return schema


def schemas() -> dict[str, dict[str, Any]]:
    """File name -> schema."""
    return {
        "bundle.schema.json": manifest_schema(),
        "bench.schema.json": schema_of(
            Record, f"A record of echo-edge bench, {BENCH_SCHEMA}", lenient=True
        ),
    }


def write(folder: Path) -> None:
    """Write all of them into `folder`."""
    for name, schema in schemas().items():
        (folder / name).write_text(json.dumps(schema, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
