"""Where the text of `run` goes: as it becomes final to a file or standard output, and to standard
output after all where the file fails."""

import os
import sys
from collections.abc import Callable
from typing import Self

from echo_edge.cli import streams
from echo_edge.cli.progress import show_line
from echo_edge.errors import OutputError
from echo_edge.files import WholeFile
from echo_edge.result import Result, Word
from echo_edge.writers.formats import encodable
from echo_edge.writers.text import Text


class TextOutput:
    """The text of one result; a context manager, which finds out whether it can be written.

    The file `out` (None: standard output) has the whole text when `finish` returns. Where an error
    or a second Ctrl-C ends the context before, it has what was final until then.
    """

    def __init__(self, out: str | None, text: Text | None) -> None:
        self._file = None if out is None else WholeFile(out)
        self._text = text
        self._written = ""
        self._error: OutputError | None = None
        self._finished = False
        self.render: Callable[[], str] | None = None
        """Makes the whole text, once there is a whole result."""

    def __enter__(self) -> Self:
        if self._file is None:
            streams.ACTIVE.check()
        else:
            self._file.__enter__()
        return self

    @property
    def finished(self) -> bool:
        """Whether the whole text is where it belongs, or it is said where it is."""
        return self._finished

    @property
    def reader_has_gone(self) -> bool:
        """Whether nobody will read more, so that there is no point in making it."""
        return self._file is None and streams.ACTIVE.reader_has_gone

    @property
    def waiting(self) -> list[Word]:
        """Words by start that are final, but not written: their line is not whole."""
        return [] if self._text is None else self._text.waiting

    def push(self, part: Result) -> None:
        """Write what became final with `part`; a file that fails is tried again at the end."""
        if self._text is not None and self._error is None:
            self._append(encodable(self._text.push(part)))

    def finish(self) -> None:
        """Write what `render` gives, all of it. OutputError if that is not possible: it says where
        the text is."""
        assert self.render is not None  # noqa: S101 - there is a result
        whole = self.render()
        if self._file is None:
            # What is out stays: a name that became known later is in what follows.
            rest = whole if self._text is None else encodable(self._text.finish())
            self._finished = True
            self._append(rest)
            return
        try:
            self._file.write(self._rest(whole).encode())
            self._written = whole
            self._file.publish()
        except OutputError as error:
            self._finished = True
            raise self._rescued(error, whole) from error
        self._finished = True

    def __exit__(self, *exc: object) -> None:
        try:
            if not self._finished and self.render is not None:
                self.finish()
            elif not self._finished and self._file is not None and self._written:
                self._file.publish()
        finally:
            if self._file is not None:
                self._file.withdraw()

    def _rest(self, whole: str) -> str:
        """The text that the file lacks."""
        assert self._file is not None  # noqa: S101 - there is one
        if self._file.grows:
            if not whole.startswith(self._written):
                self._file.restart()
                return whole
            return whole[len(self._written) :]
        if self._error is not None:
            raise self._error
        return whole if self._text is None else encodable(self._text.finish())

    def _append(self, text: str) -> None:
        if not text:
            return
        if self._file is None:
            show_line("")
            sys.stdout.write(text)
            sys.stdout.flush()
            return
        try:
            self._file.write(text.encode())
            self._written += text
        except OutputError as error:
            self._error = error

    def _rescued(self, error: OutputError, whole: str) -> OutputError:
        """The text on standard output, or left where it grew; the error that says so."""
        assert self._file is not None  # noqa: S101 - it has failed
        sys.stdout.write(whole)
        if streams.ACTIVE.error() is None:
            return OutputError(f"{error}; the text is on standard output")
        left = self._file.leave()
        size = os.path.getsize(left) if os.path.isfile(left) else 0  # noqa: PTH113, PTH202
        return OutputError(f"{error}; {size} bytes of the text are in {left}")
