"""Files of separated voices, called as their speakers are once these are known."""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from echo_edge.disk import AnyPath
from echo_edge.files import is_same
from echo_edge.result import Source

MAX_CHARACTERS = 60
"""Of a name in a file name."""


def name_voices(sources: Sequence[Source], others: Sequence[AnyPath]) -> tuple[Source, ...]:
    """Rename each file to its speaker's label and name: `speaker_1.wav`, `speaker_2_Ada_Li.wav`.

    With the label in front, `Ada_Li.wav` that she was enrolled from is in no danger. What an
    earlier run left under the new name is replaced, but none of `others`, inputs and outputs of
    this run. A voice of nobody, a speaker's second, and what cannot be renamed keep their names.
    """
    named = []
    taken = set[Path]()
    for source in sources:
        target = Path(source.path).with_name(f"{_title(source)}.wav")
        if source.speaker is not None and target not in taken and not _is_one_of(target, others):
            with suppress(OSError):
                Path(source.path).rename(target)
                taken.add(target)
                source = replace(source, path=str(target))
        named.append(source)
    return tuple(named)


def _is_one_of(path: Path, others: Sequence[AnyPath]) -> bool:
    return any(
        is_same(path, other) or os.path.realpath(path) == os.path.realpath(other)
        for other in others
    )


def _title(source: Source) -> str:
    """Label and name with letters and digits of any script; what else there is becomes `_`."""
    name = re.sub(r"[^\w-]+", "_", source.name or "").strip("_")[:MAX_CHARACTERS]
    return "_".join(filter(None, (source.speaker, name)))
