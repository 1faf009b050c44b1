"""A teacher's outputs for windows of speech, on disk: rows, and the utterances of each.

A folder holds `windows.json`, the teacher and every window's pieces, and one array with a row per
window. Both grow together, so a folder is whole at any moment: rows beyond the listing are those of
a run that was stopped, and are written again.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.corpora.data import Corpus, Pcm, Utterance


@dataclass(frozen=True)
class Piece:
    """One utterance, or 30 s of a longer one, in a window."""

    id: str
    """Of the utterance."""
    skip: int
    """Samples of the utterance before this piece: 0 but for those longer than a window."""
    n_samples: int
    start: int
    """First sample in the window."""


Window = tuple[Piece, ...]


def speech(
    corpus: Corpus, utterances: dict[str, Utterance], window: Window, start: int, n: int
) -> Pcm:
    """Samples `[n]` of a window from `start` on; 0 between its pieces and beyond its end."""
    pcm = np.zeros(n, np.float32)
    for piece in window:
        first, end = max(start, piece.start), min(start + n, piece.start + piece.n_samples)
        if first < end:
            offset = utterances[piece.id].offset + piece.skip - piece.start
            spoken = corpus.samples[offset + first : offset + end]
            pcm[first - start : end - start] = spoken.astype(np.float32) / 32768.0
    return pcm


def length(window: Window) -> int:
    """Samples of speech in a window, at most 480,000."""
    return window[-1].start + window[-1].n_samples


class WindowFile:
    """Windows and their rows of `shape`, float16, in `folder / name`.

    With a `teacher` it can be added to, and begins anew if another one made what is there. Without,
    FileNotFoundError is raised where nothing is cached.
    """

    def __init__(
        self, folder: Path, name: str, shape: tuple[int, ...], teacher: dict[str, str] | None = None
    ) -> None:
        self.folder, self.shape = folder, shape
        self._listing, self._array = folder / "windows.json", folder / name
        self.windows: list[Window] = []
        self.teacher = teacher or {}
        """Name, licence and versions."""
        if self._listing.exists():
            stored = json.loads(self._listing.read_text(encoding="utf-8"))
            if teacher in (None, stored["teacher"]):
                self.teacher = stored["teacher"]
                self.windows = [tuple(Piece(*p) for p in window) for window in stored["windows"]]
        elif teacher is None:
            raise FileNotFoundError(
                f"{folder}: found nothing there: make it with python -m training.teachers.cache"
            )

    def ids(self) -> set[str]:
        """Utterances that have windows."""
        return {piece.id for window in self.windows for piece in window}

    def utterances(self, corpus: Corpus) -> dict[str, Utterance]:
        """Utterances of `corpus` by id.

        Raises ValueError if one that has a window is not there, or shorter.
        """
        found = {u.id: u for u in corpus.utterances}
        for window in self.windows:
            for piece in window:
                utterance = found.get(piece.id)
                if utterance is None or piece.skip + piece.n_samples > utterance.n_samples:
                    raise ValueError(
                        f"{self.folder}: found {piece.id}, which the corpus does not hold at this "
                        "length: make the cache again with python -m training.teachers.cache"
                    )
        return found

    def rows(self) -> NDArray[np.float16]:
        """`[len(windows), *shape]`, read from disk as it is used."""
        if not self.windows:
            return np.zeros((0, *self.shape), np.float16)
        return np.memmap(self._array, np.float16, "r", shape=(len(self.windows), *self.shape))

    def add(self, windows: Sequence[Window], rows: NDArray[np.float16]) -> None:
        """Rows `[len(windows), *shape]` behind those that are there, the listing last."""
        if rows.shape != (len(windows), *self.shape):
            raise ValueError(f"rows: found {rows.shape}, expected {(len(windows), *self.shape)}")
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._array.open("r+b" if self._array.exists() else "w+b") as out:
            out.seek(len(self.windows) * 2 * int(np.prod(self.shape)))
            out.truncate()
            out.write(np.ascontiguousarray(rows, np.float16).tobytes())
            out.flush()
            os.fsync(out.fileno())
        self.windows += windows
        listed = [[astuple(piece) for piece in window] for window in self.windows]
        new = self._listing.with_suffix(".new")
        new.write_text(json.dumps({"teacher": self.teacher, "windows": listed}), encoding="utf-8")
        new.replace(self._listing)
