"""The published JSON Schemas, from the dataclasses that the documents are read with.

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
from echo_edge.recorder.recordings import SCHEMA as RECORDING_SCHEMA
from echo_edge.recorder.recordings import About
from echo_edge.writers.document import ResultDocument
from echo_edge.writers.formats import RESULT_SCHEMA


def manifest_schema() -> dict[str, Any]:
    """The schema of manifest.json."""
    schema = schema_of(Manifest, f"manifest.json of a bundle, {BUNDLE_SCHEMA}")
    schema["properties"]["schema"] = {"const": BUNDLE_SCHEMA}
    schema["properties"]["files"]["maxProperties"] = MAX_FILES
    return schema


def schemas() -> dict[str, dict[str, Any]]:
    """File name -> schema. Later versions may add keys to all but the manifest."""
    growing = {
        "bench": (Record, f"A record of `echo-edge bench --json`, {BENCH_SCHEMA}"),
        "recording": (About, f"session.json of a recording, {RECORDING_SCHEMA}"),
        "result": (ResultDocument, f"A result in JSON, {RESULT_SCHEMA}"),
    }
    found = {
        f"{name}.schema.json": schema_of(kind, title, lenient=True)
        for name, (kind, title) in growing.items()
    }
    return {"bundle.schema.json": manifest_schema()} | found


def write(folder: Path) -> None:
    """Write all of them into `folder`."""
    for name, schema in schemas().items():
        (folder / name).write_text(json.dumps(schema, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
