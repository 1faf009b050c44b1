"""`echo-edge completion`: a script by which a shell completes commands, options and files."""

import argparse
from collections.abc import Iterator

from echo_edge.errors import EchoError

SHELLS = {  # where the script belongs
    "bash": "~/.local/share/bash-completion/completions/echo-edge",
    "zsh": "a folder of $fpath, as _echo-edge",
}
FILES = {"FILE", "AUDIO", "KEY", "RECORDING", "RECORD.json", "CHECKPOINT"}
"""What the value of an option or argument is called where it is a file."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The argument of `echo-edge completion`."""
    parser.description = "Print a script that a shell loads from there: " + "; ".join(
        f"{shell}, {place}" for shell, place in SHELLS.items()
    )
    parser.add_argument("shell", choices=list(SHELLS), help="for which shell")


def run(args: argparse.Namespace) -> int:
    """Print the script. EchoError if what makes it is not installed."""
    try:
        import shtab
    except ModuleNotFoundError as error:
        raise EchoError(
            "completion: shtab is not installed here, which makes the script: pip install shtab"
        ) from error
    from echo_edge.cli import whole_parser

    parser = whole_parser()
    for each in _parsers(parser):
        for action in each._actions:
            name = str(action.metavar or action.dest).upper()
            if name in FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]  # where it looks
            elif name in ("DIR", "FOLDER", "BUNDLE"):
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    print(shtab.complete(parser, args.shell))
    return 0


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield a parser and those of its commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in dict.fromkeys(action.choices.values()):
                yield from _parsers(each)
