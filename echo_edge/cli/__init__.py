"""The command `echo-edge`. Exit codes: 0 done, 1 the work failed, 2 wrong usage, 3 verification
refused; 130, 143 and 129 after Ctrl-C, SIGTERM and SIGHUP. An error is one line on stderr; a
traceback is a bug.
"""

import argparse
import importlib
import sys

from echo_edge.cli.parser import Parser
from echo_edge.cli.stop import EndAtOnce, Stopped
from echo_edge.cli.streams import say, standard_streams
from echo_edge.errors import EchoError
from echo_edge.version import __version__


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    with standard_streams() as streams:
        try:
            code = _main(arguments)
        except SystemExit:  # --help, --version
            if streams.error() is None:
                raise
            code = 0
        lost = streams.error()
        if lost is None:
            return code
        if not streams.reader_has_gone:  # as after `| head`, who has had enough
            say(lost)
        return code or lost.exit_code


def _main(arguments: list[str]) -> int:
    try:
        with EndAtOnce():
            if arguments[:1] == ["help"]:
                arguments = [*arguments[1:], "--help"]
            args = _parser(arguments).parse_args(arguments)
            return int(args.run(args))
    except EchoError as error:
        say(error)
        return error.exit_code
    except KeyboardInterrupt as end:
        say("interrupted")
        return end.exit_code if isinstance(end, Stopped) else 130


COMMANDS = (
    ("run", "echo_edge.cli.run", "process a recording or PCM from stdin"),
    ("record", "echo_edge.cli.record", "record a meeting; never loses audio"),
    ("speakers", "echo_edge.cli.speakers", "people whose voices are known by name"),
    ("bundle", "echo_edge.cli.bundle", "look at or verify a model bundle"),
    ("bench", "echo_edge.cli.bench", "measure speed, latency, memory and correctness here"),
    ("doctor", "echo_edge.cli.doctor", "say what works here and what is missing"),
    ("export", "echo_edge_export.cli", "make a bundle from a checkpoint (workstation)"),
    ("completion", "echo_edge.cli.completion", "print a script by which a shell completes these"),
)


def whole_parser() -> Parser:
    """The parser with the arguments of every command."""
    return _parser([name for name, *_ in COMMANDS])


def _parser(arguments: list[str]) -> Parser:
    """The parser for a command line; with names of several commands, for all of these."""
    parser = Parser(
        prog="echo-edge",
        description="Who spoke when, what was said, and each voice on its own, on the device.",
        epilog="exit codes: 0 done, 1 the work failed, 2 wrong usage, 3 verification refused",
    )
    version = f"echo-edge {__version__}"
    parser.add_argument("-V", "--version", action="version", version=version)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, module, text in COMMANDS:
        command = commands.add_parser(name, help=text)
        if name in arguments[:1] or len(arguments) == len(COMMANDS):
            _add_module(command, module)
    commands.add_parser("help", help="print the help of a command, as --help after it does")
    return parser


def _add_module(parser: argparse.ArgumentParser, module: str) -> None:
    """A command that lives in a module of its own: `add_arguments` and, unless every one of its
    actions has its own, `run`."""
    implementation = importlib.import_module(module)
    implementation.add_arguments(parser)
    if hasattr(implementation, "run"):
        parser.set_defaults(run=implementation.run)
