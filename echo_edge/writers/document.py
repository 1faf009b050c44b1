"""A result in JSON, `echo-edge.result/1`, as one dataclass: what `formats.to_json` writes."""

from dataclasses import dataclass
from typing import Annotated

from echo_edge.result import Source, Speaker, SpeakerCount, Turn, Word
from echo_edge.strict_json import one_of
from echo_edge.writers.formats import RESULT_SCHEMA, AudioInfo, BundleInfo, Timing


@dataclass(frozen=True)
class ResultDocument:
    """Who said what in one recording."""

    schema: Annotated[str, one_of(RESULT_SCHEMA)]
    audio: AudioInfo
    bundle: BundleInfo
    speakers: tuple[Speaker, ...]
    """In order of appearance."""
    speaker_count: SpeakerCount
    turns: tuple[Turn, ...]
    """By start."""
    words: tuple[Word, ...]
    """By start."""
    sources: tuple[Source, ...]
    """Files of separated voices, if they were asked for."""
    timing: Timing
