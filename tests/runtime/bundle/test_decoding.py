"""The constants of the decoders in a manifest: keys, ranges, defaults, and the page about them."""

import json
import re
from dataclasses import MISSING, Field, asdict, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from echo_edge.bundle.decoding import DecodingSpec
from echo_edge.bundle.manifest import parse
from echo_edge.errors import BundleError
from tests.conftest import DECODING

PAGE = Path(__file__).parents[3] / "docs/reference/bundle.md"
FIELDS: dict[str, Field[Any]] = {field.name: field for field in fields(DecodingSpec)}
REQUIRED = [name for name, field in FIELDS.items() if field.default is MISSING]


def _range(name: str) -> tuple[float, float]:
    kind: Any = get_type_hints(DecodingSpec, include_extras=True)[name]
    assert hasattr(kind, "__metadata__")
    (rule,) = get_args(kind)[1:]
    return rule.schema["minimum"], rule.schema["maximum"]


RANGES = {name: _range(name) for name in FIELDS}


def _with(bundle: Path, decoding: dict[str, Any]) -> bytes:
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    return json.dumps(manifest | {"decoding": decoding}).encode()


@pytest.mark.parametrize("name", FIELDS)
def test_a_constant_is_refused_outside_its_range(name: str, tiny_bundle: Path) -> None:
    low, high = RANGES[name]
    step = 1 if isinstance(FIELDS[name].default, int) else 0.001
    for value in (low, high):
        kept = parse(_with(tiny_bundle, asdict(DECODING) | {name: value})).decoding
        assert kept == replace(DECODING, **{name: value})
    for value in (low - step, high + step, None, "1", True):
        with pytest.raises(BundleError, match=rf"^manifest.json: decoding.{name}: found") as error:
            parse(_with(tiny_bundle, asdict(DECODING) | {name: value}))
        assert len(str(error.value).splitlines()) == 1


def test_a_bundle_from_before_a_key_existed_has_its_default(tiny_bundle: Path) -> None:
    tuned = {name: value for name, value in asdict(DECODING).items() if name in REQUIRED}

    found = parse(_with(tiny_bundle, tuned)).decoding

    assert found == DecodingSpec(**tuned)
    assert len(tuned) == 8


@pytest.mark.parametrize("name", REQUIRED)
def test_what_is_tuned_for_each_model_must_be_there(name: str, tiny_bundle: Path) -> None:
    rest = {key: value for key, value in asdict(DECODING).items() if key != name}

    with pytest.raises(BundleError, match=rf"decoding.{name}: found nothing, expected this key"):
        parse(_with(tiny_bundle, rest))


def test_the_page_has_every_constant() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\S+) to (\S+) \| (\S+) \|", PAGE.read_text(), re.MULTILINE)

    expected = [
        (name, f"{low:g}", f"{high:g}", "required" if name in REQUIRED else f"{field.default:g}")
        for (name, field), (low, high) in zip(FIELDS.items(), RANGES.values(), strict=True)
    ]
    assert rows == expected
