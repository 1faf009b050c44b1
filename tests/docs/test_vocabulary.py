"""The words of docs/reference/terms.md: those that it replaced stay out of identifiers."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("echo_edge", "export", "training", "benchmarks", "packages", "demo", "docs")
RETIRED = {
    "least": "min", "most": "max", "told": "expected, known or stored", "lane": "contender",
    "whom": "speaker or voice", "spelled": "decoded", "hear": "receive or decode",
}  # fmt: skip
"""Word of an identifier -> what the field says."""
PUBLISHED = {"least_db"}
"""Keys of files that boards have."""
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def _names(tree: ast.AST) -> Iterator[str]:
    """Everything that is given a name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


@pytest.mark.parametrize("folder", FOLDERS)
def test_retired_words_are_in_no_identifier(folder: str) -> None:
    found = {
        f"{path.relative_to(ROOT)}: {name}: say {RETIRED[word]}"
        for path in (ROOT / folder).rglob("*.py")
        for name in set(_names(ast.parse(path.read_text(encoding="utf-8")))) - PUBLISHED
        for word in {part.lower() for part in WORD.findall(name)} & RETIRED.keys()
    }

    assert found == set()
