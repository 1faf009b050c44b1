"""Options that several commands share."""

import argparse

from echo_edge.audio.channels import AUTO, parse_channel
from echo_edge.stream import MAX_SPEAKERS


def add_bundle_option(parser: argparse.ArgumentParser) -> None:
    """`--bundle DIR`, with the search order of `find_bundle` as its default."""
    parser.add_argument(
        "--bundle", metavar="DIR", help="default: $ECHO_EDGE_BUNDLE, the installed or shipped one"
    )


def add_channel_option(parser: argparse.ArgumentParser) -> None:
    """`--channel`."""
    parser.add_argument(
        "--channel",
        type=parse_channel,
        default=AUTO,
        metavar="N",
        help="hear channel N (from 1), their mean (mix), or the loudest (loudest); default: the "
        "mean, unless the channels are out of phase",
    )


def count_finding(n_found: int, args_min: int, args_max: int) -> str:
    """A line on a number of speakers outside the bounds that were given; empty within them, and for
    silence where nobody asked for more than one."""
    if args_min <= max(n_found, 1) <= args_max:
        return ""
    asked = f"{args_min}" if args_min == args_max else f"{args_min} to {args_max}"
    return (
        f"found {n_found} speaker{'s'[: n_found != 1]}, expected {asked} as asked for: voices are "
        "too similar, too short or not there"
    )


def add_stream_options(
    parser: argparse.ArgumentParser, latency_s: float | None, latency: str
) -> None:
    """Options of a bundle's stream; `latency` is the help on `--latency-s`."""
    add_bundle_option(parser)
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="engine threads (default 1)"
    )
    parser.add_argument(
        "--min-speakers", type=int, default=1, metavar="N", help="at least so many (default 1)"
    )
    parser.add_argument(
        "--max-speakers",
        type=int,
        default=MAX_SPEAKERS,
        metavar="N",
        help=f"at most so many (default {MAX_SPEAKERS})",
    )
    known = parser.add_mutually_exclusive_group()
    known.add_argument(
        "--voices", metavar="FILE", help="known voices (default: those of `speakers`, if any)"
    )
    known.add_argument("--no-voices", action="store_true", help="call nobody by name")
    parser.add_argument("--latency-s", type=float, default=latency_s, metavar="S", help=latency)
    parser.add_argument(
        "--no-language-model",
        action="store_true",
        help="write what is heard, letter by letter, without the bundle's language model",
    )
