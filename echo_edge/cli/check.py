"""One line of `echo-edge doctor`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """What was found out about one thing."""

    status: str
    """`ok`; `missing`: not there; `problem`: there, but not as it should be."""
    name: str
    detail: str
    needed: bool = True
    """Whether `echo-edge run` fails unless this is ok."""
