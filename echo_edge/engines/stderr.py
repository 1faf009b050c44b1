"""Hides from the user what native libraries write to standard error about themselves."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO


@contextmanager
def quiet_stderr(is_noise: Callable[[bytes], bool] = lambda _: True) -> Iterator[None]:
    """Hold back what is written to stderr, the descriptor, while the context is open: it is C++
    that writes. Lines that are no noise are written after all; by default every line is."""
    with _memory() as output:
        if sys.stderr is not None:  # as where the process began without one
            sys.stderr.flush()
        try:
            real = os.dup(2)
        except OSError:  # there is no stderr to protect
            yield
            return
        os.dup2(output.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(real, 2)
            output.seek(0)
            for line in output.read().splitlines(keepends=True):
                if not is_noise(line):
                    os.write(real, line)
            os.close(real)


def _memory() -> IO[bytes]:
    """A file without a name; in memory where the system can: the disk may be full or read-only."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("stderr"), "w+b")
    return tempfile.TemporaryFile()
