"""Small files of /proc and /sys: text or a number, or nothing where a board does not have them."""

from collections.abc import Iterable
from pathlib import Path


def read_text(path: Path) -> str:
    """Text of a small file without its last newline or NUL; empty where it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8", "replace").strip("\0\n\t ")
    except OSError:
        return ""


def read_int(path: Path) -> int | None:
    """The one whole number in a file; None where there is no file, or something else in it."""
    text = read_text(path)
    # int() would take 1_000 and digits of other scripts
    return int(text) if text.removeprefix("-").isdigit() and text.isascii() else None


def ordered(paths: Iterable[Path]) -> list[Path]:
    """By name, with zone 2 before zone 10."""
    return sorted(paths, key=lambda path: (len(str(path)), str(path)))
