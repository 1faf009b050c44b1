"""Types of single values in the JSON files of a bundle, and how those files are read."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from echo_edge import strict_json
from echo_edge.errors import BundleError, JsonError
from echo_edge.strict_json import Rule, between, matching

MAX_ELEMENTS = 10_000_000
"""Of one tensor, and of the states of all graphs together: 40 MB for one stream."""

_PART = r"(?!\.)(?![^/]*\.\.)[A-Za-z0-9._-]{1,100}"

Count = Annotated[int, between(1, 10_000_000)]
Index = Annotated[int, between(0, 2**31 - 1)]
Size = Annotated[int, between(0, 2**30)]
Name = Annotated[str, matching(r"\w[\w.+-]{0,99}", "1 to 100 of A-Z a-z 0-9 _ . + -")]
Version = Annotated[str, matching(r"\d{1,5}(\.\d{1,5}){2}", "three numbers such as 1.0.0")]
Sha256 = Annotated[str, matching(r"[0-9a-f]{64}", "64 lowercase hexadecimal digits")]
FileName = Annotated[
    str,
    matching(
        f"({_PART}/)?{_PART}",
        "a file name of A-Z a-z 0-9 . _ -, in at most one folder, with no '..' or leading dot",
        "file-name",
    ),
]
OptionalFileName = Annotated[
    str,
    matching(
        f"(({_PART}/)?{_PART})?",
        "a file name as above, or nothing for none",
        "file-name",
    ),
]
Shape = Annotated[
    tuple[Count, ...],
    Rule(
        f"at most 8 dimensions and {MAX_ELEMENTS} elements",
        lambda shape: len(shape) <= 8 and math.prod(shape) <= MAX_ELEMENTS,
        {"maxItems": 8},
        "shape",
    ),
]


def is_file_name(name: str) -> bool:
    """Whether a file of a bundle may have this name."""
    return re.fullmatch(f"({_PART}/)?{_PART}", name) is not None


@contextmanager
def as_bundle_error() -> Iterator[None]:
    """A JsonError inside of the context leaves it as the BundleError of the same rule."""
    try:
        yield
    except JsonError as error:
        raise BundleError(str(error), error.rule) from error


def refusal(key: str, found: str, expected: str, rule: str) -> BundleError:
    """The error of the value at `key`; `rule` as in docs/reference/bundle.md."""
    return BundleError(str(strict_json.refusal(key, found, expected)), rule)
