"""The JSON Schema is that of the dataclasses, and judges as the parser does."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from echo_edge.bundle.manifest import parse
from echo_edge.cli.schemas import manifest_schema
from echo_edge.errors import BundleError

jsonschema = pytest.importorskip("jsonschema", reason="needs pip install jsonschema")


@pytest.fixture(scope="module")
def validator() -> Any:
    kind = jsonschema.Draft202012Validator
    kind.check_schema(manifest_schema())
    return kind(manifest_schema())


@pytest.mark.parametrize("name", ["tiny_bundle", "null_bundle", "default_bundle"])
def test_accepts_what_the_parser_accepts(
    request: pytest.FixtureRequest, validator: Any, name: str
) -> None:
    text = (request.getfixturevalue(name) / "manifest.json").read_bytes()

    parse(text)
    assert list(validator.iter_errors(json.loads(text))) == []


Document = dict[str, Any]


def _set(*path: str, to: object) -> Callable[[Document], None]:
    def edit(document: Document) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = to

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda d: d.pop("boards"), id="a key less"),
        pytest.param(_set("extra", to=1), id="a key more"),
        pytest.param(_set("schema", to="echo-edge.bundle/2"), id="schema"),
        pytest.param(_set("build", to="1"), id="type"),
        pytest.param(_set("build", to=-1), id="below its range"),
        pytest.param(_set("build", to=2**31), id="above its range"),
        pytest.param(_set("version", to=""), id="empty"),
        pytest.param(_set("version", to="a" * 101), id="too long"),
        pytest.param(_set("name", to="../up"), id="name"),
        pytest.param(_set("engine", "name", to="torch"), id="choice"),
        pytest.param(_set("asr", "tokens", to="/etc/passwd"), id="file name"),
        pytest.param(_set("files", "a/b/c", to={"sha256": "0" * 64, "size_bytes": 1}), id="key"),
        pytest.param(_set("source", "checkpoint_sha256", to="A" * 64), id="hash"),
        pytest.param(_set("metrics", to=[]), id="a list for an object"),
        pytest.param(_set("boards", to="Raspberry Pi 5"), id="a string for a list"),
        pytest.param(_set("metrics", "der", to="0.1"), id="a string for a number"),
    ],
)
def test_refuses_what_the_parser_refuses(
    validator: Any, tiny_bundle: Path, edit: Callable[[Document], None]
) -> None:
    document = json.loads((tiny_bundle / "manifest.json").read_bytes())
    edit(document)

    assert not validator.is_valid(document)
    with pytest.raises(BundleError):
        parse(json.dumps(document).encode())


def test_numbers_that_are_none_are_left_to_the_parser(tiny_bundle: Path) -> None:
    """JSON has no NaN, so a schema cannot speak of it."""
    document = json.loads((tiny_bundle / "manifest.json").read_bytes())
    document["metrics"]["der"] = math.nan

    with pytest.raises(BundleError, match="found NaN"):
        parse(json.dumps(document).encode())
