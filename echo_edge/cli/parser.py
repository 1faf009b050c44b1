"""The parser of all commands: wrong usage is one line that names what was probably meant."""

import argparse
import difflib
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from echo_edge.errors import UsageError

SYNONYMS = {
    "transcribe": ("run",),
    "diarize": ("run",),
    "listen": ("record",),
    "voices": ("speakers",),
    "-f": ("--format",),
    "-o": ("--out",),
    "-t": ("--threads",),
    "--output": ("--out",),
    "--output-format": ("--format",),
    "--output-dir": ("--out-dir", "--out"),
    "--model": ("--bundle",),
    "--num-speakers": ("--speakers", "--min-speakers and --max-speakers"),
    "--speakers": ("--min-speakers and --max-speakers",),
}
"""What users of comparable tools type, and what it is here: the first that a command has."""


class Parser(argparse.ArgumentParser):
    """A parser for which wrong usage is an error like any other, and which takes no option for
    another that only begins like it. Without arguments, one of several commands prints its help."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "allow_abbrev": False})
        self._has_commands = False

    def add_subparsers(self, **options: Any) -> Any:
        """As argparse has it."""
        self._has_commands = True
        return super().add_subparsers(**options)

    def parse_known_args(  # type: ignore[override]  # argparse has overloads for other namespaces
        self, args: Sequence[str], namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """All arguments: the parser of the command itself refuses what it does not know, so that
        the message names the command's help."""
        if self._has_commands and not args:
            self.print_help()
            raise SystemExit(UsageError.exit_code)
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = [each for each in unknown if each.startswith("-") and each != "-"]
            hint = self._did_you_mean(options[0], self._option_string_actions) if options else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """UsageError, which names the command's own help."""
        raise UsageError(f"{message}: see {self.prog} --help")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        hint = self._did_you_mean(str(value), choices) or f" (choose from {', '.join(choices)})"
        raise argparse.ArgumentError(action, f"invalid choice: {value!r}{hint}")

    def _did_you_mean(self, found: str, known: Iterable[str]) -> str:
        """What `found` probably stands for, in brackets; empty if nothing is like it."""
        known = list(known)
        name = found.partition("=")[0].replace("_", "-")
        for meant in SYNONYMS.get(name, ()):
            if meant.split()[0] in known:
                return f" (did you mean {meant}?)"
        alike = difflib.get_close_matches(name, known, 1)
        return f" (did you mean {alike[0]}?)" if alike else ""
