"""The prose linter finds what it promises to find, and nothing in code, tables made by commands."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
lint = runpy.run_path(str(ROOT / "docs" / "lint.py"))
LONG = "word " * 26
GENERATED = f"<!-- x.y: begin -->\n| {LONG} |\n<!-- x.y: end -->\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param(f"{LONG.strip()}.\n", ["found 26 words"], id="long"),
        pytest.param(f"{'word ' * 24}word. Another one.\n", [], id="two sentences"),
        pytest.param(f"- {'word ' * 20}\n- {'word ' * 20}\n", [], id="list items"),
        pytest.param(f"| {'word ' * 20} | {'word ' * 20} |\n", [], id="cells"),
        pytest.param(f"| {LONG} |\n", ["found 26 words"], id="long cell"),
        pytest.param(f"# Heading {'word ' * 20}\n{'word ' * 20}\n", [], id="heading"),
        pytest.param(f"```sh\n{LONG}\n```\n", [], id="code block"),
        pytest.param(f"`{LONG}` counts once.\n", [], id="code"),
        pytest.param(f"[{'word ' * 20}](https://a.b/{'c' * 30}) is a link.\n", [], id="link"),
        pytest.param(GENERATED, [], id="generated"),
        pytest.param("Rounded\nOtherwise.\n", ["'otherwise'"], id="calque"),
        pytest.param("A toll is not `told`.\n", [], id="no calque"),
        pytest.param("line\n" * 91, ["found 91 lines", "found 91 words"], id="many lines"),
    ],
)
def test_finds_what_it_promises(text: str, found: list[str], tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(text)

    lines = list(lint["findings"](page))

    assert len(lines) == len(found)
    assert all(part in line for part, line in zip(found, lines, strict=True))


def test_names_the_line_where_the_block_begins(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n```sh\ntrue\n```\n\nfirst\n{LONG}\n")

    (line,) = lint["findings"](page)

    assert line.startswith(f"{page}:7: found 27 words")


def test_the_pages_are_clean(capsys: pytest.CaptureFixture[str]) -> None:
    code = lint["main"]([])

    assert (capsys.readouterr().out, code) == ("", 0)
