"""Enrolment: the voiceprint of a person from a recording of nobody else."""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from echo_edge.errors import AudioError
from echo_edge.session import Session
from echo_edge.voices import Voiceprint

Array = NDArray[np.float32]

MIN_SPEECH_S = 3.0
"""Less speech makes no voiceprint worth keeping."""
MIN_SHARE = 0.75
"""Share of all speech found; with less the recording is not of one person."""


def learn(session: Session, blocks: Iterable[Array], where: str) -> Voiceprint:
    """Voiceprint of the one person who speaks in `blocks` (float32 `[n]`, 16 kHz).

    `where` they come from is for messages. AudioError for too little speech or more than one voice.
    """
    stream = session.stream(math.inf, language_model=False)
    for block in blocks:
        stream.push(block)
    speakers = sorted(stream.finish().speakers, key=lambda each: -each.speech_s)
    total_s = sum(each.speech_s for each in speakers)
    if total_s < MIN_SPEECH_S:
        raise AudioError(
            f"{where}: found {total_s:.1f} s of speech, expected {MIN_SPEECH_S:g} s at least: 15 s "
            "or more make a name reliable"
        )
    first = speakers[0]
    if first.speech_s < MIN_SHARE * total_s:
        found = ", ".join(f"{each.speech_s:.1f} s" for each in speakers[:5])
        raise AudioError(
            f"{where}: found {len(speakers)} voices ({found}), expected one person alone: cut the "
            "recording, or take one voice of it: echo-edge speakers name NAME --from"
        )
    return stream.voiceprint(first.id)
