"""What single values of a manifest may be: types with the rules that `convert` enforces."""

import math
import re
from typing import Annotated

from echo_edge.bundle.strict_json import Rule, between, matching

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
