"""Separated voices to WAV files while they are being made, and the speaker of each."""

import math
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from echo_edge.audio import SAMPLE_RATE, WavWriter
from echo_edge.disk import cannot_write
from echo_edge.errors import OutputError
from echo_edge.files import check_output
from echo_edge.result import Source, Speaker, Turn

Array = NDArray[np.float32]

MIN_SHARE = 0.02
"""A slot that holds less than this share of the energy was never a voice: no file is kept."""

BLOCK_SAMPLES = 1600
"""Energies are compared with turns in blocks of 0.1 s."""


def check_sources(folder: Path, n_sources: int) -> None:
    """OutputError if one of so many files could not be written there: to know before the work."""
    for number in range(1, n_sources + 1):
        check_output(folder / f"source_{number}.wav", regular=True)


class SourceWriter:
    """`source_1.wav`, ... in one folder; a context manager. Nothing is kept after an error, but all
    that was written, in whole files, after Ctrl-C.

    A folder that takes no more (OutputError) ends the files, not the work: `error` says so.
    """

    def __init__(self, folder: Path, max_sources: int) -> None:
        self._folder = folder
        self._paths = [folder / f"source_{i + 1}.wav" for i in range(max_sources)]
        self._energies: list[list[float]] = [[] for _ in self._paths]
        self._pending = np.zeros((max_sources, 0), np.float32)
        self._stack = ExitStack()
        self.error: OutputError | None = None

    def __enter__(self) -> Self:
        folder = self._folder
        with ExitStack() as stack:
            try:
                self._made = [each for each in (folder, *folder.parents) if not each.exists()]
                stack.push(self._remove_folders_after_error)
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise cannot_write(folder, error) from error
            self._writers = [stack.enter_context(WavWriter(path)) for path in self._paths]
            self._stack = stack.pop_all()
        return self

    def write(self, sources: Array) -> None:
        """Append waveforms `[K, samples]`."""
        if self.error is not None:
            return
        try:
            for writer, samples in zip(self._writers, sources, strict=True):
                writer.write(samples)
        except OutputError as error:
            self.error = error
            return
        self._pending = np.concatenate([self._pending, sources], axis=1)
        whole = self._pending.shape[1] // BLOCK_SAMPLES * BLOCK_SAMPLES
        blocks = self._pending[:, :whole].reshape(len(sources), -1, BLOCK_SAMPLES)
        self._pending = self._pending[:, whole:]
        for energies, row in zip(self._energies, (blocks**2).mean(2), strict=True):
            energies += row.tolist()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        failed = self.error
        if failed is not None:
            self._stack.__exit__(type(failed), failed, failed.__traceback__)
        elif kind is not None and issubclass(kind, KeyboardInterrupt):
            self._stack.__exit__(None, None, None)
        else:
            self._stack.__exit__(kind, error, trace)

    def _remove_folders_after_error(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            for folder in self._made:
                with suppress(OSError):  # one that is not empty stays
                    folder.rmdir()

    def sources_of(self, speakers: Sequence[Speaker]) -> tuple[Source, ...]:
        """After the context, where all but the last file are one speaker's each, in this order.
        The last one, of nobody, is removed if it is empty. No sources after an error."""
        if self.error is not None:
            return ()
        *paths, others = map(str, self._paths)
        sources = [
            Source(path, speaker.id, speaker.name)
            for path, speaker in zip(paths, speakers, strict=True)
        ]
        energies = np.array(self._energies).sum(1)
        if energies[-1] < MIN_SHARE * energies.sum() or not energies[-1]:
            Path(others).unlink(missing_ok=True)
            return tuple(sources)
        return (*sources, Source(others, None))

    def keep(
        self, turns: tuple[Turn, ...], speakers: tuple[Speaker, ...] = ()
    ) -> tuple[Source, ...]:
        """After the context: remove the files of empty slots; the rest, each with the speaker whose
        turns hold most of its energy, and with the name that `speakers` give. None after an
        error."""
        if self.error is not None:
            return ()
        people = {speaker.id: speaker.name for speaker in speakers}
        energies = np.array(self._energies)
        total = float(energies.sum())
        sources = []
        for path, row in zip(self._paths, energies, strict=True):
            if total <= 0.0 or row.sum() < MIN_SHARE * total:
                path.unlink(missing_ok=True)
                continue
            speaker = _loudest(row, turns)
            sources.append(Source(str(path), speaker, speaker and people.get(speaker)))
        return tuple(sources)


def _loudest(energies: NDArray[np.float64], turns: tuple[Turn, ...]) -> str | None:
    """The speaker whose turns hold most of the energy."""
    energy: dict[str, float] = {}
    block_s = BLOCK_SAMPLES / SAMPLE_RATE
    for turn in turns:
        part = slice(math.floor(turn.start_s / block_s), math.ceil(turn.end_s / block_s))
        energy[turn.speaker] = energy.get(turn.speaker, 0.0) + float(energies[part].sum())
    return max(energy, key=lambda speaker: energy[speaker]) if any(energy.values()) else None
