"""Enrolment: the voiceprint of a person from a recording of nobody else."""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from echo_edge.errors import AudioError
from echo_edge.session import Session
from echo_edge.voices import Voiceprint

Array = NDArray[np.float32]


def learn(session: Session, blocks: Iterable[Array], where: str) -> Voiceprint:
    """Voiceprint of the one person who speaks in `blocks` (float32 `[n]`, 16 kHz).

    `where` they come from is for messages. AudioError for too little speech or more than one voice.
    """
    decoding = session.bundle.manifest.decoding
    stream = session.stream(math.inf, language_model=False)
    for block in blocks:
        stream.push(block)
    speakers = sorted(stream.finish().speakers, key=lambda each: -each.speech_s)
    total_s = sum(each.speech_s for each in speakers)
    if total_s < decoding.enrol_min_s:
        raise AudioError(
            f"{where}: found {total_s:.1f} s of speech, expected {decoding.enrol_min_s:g} s at "
            "least: 15 s or more make a name reliable"
        )
    first = speakers[0]
    if first.speech_s < decoding.enrol_min_share * total_s:
        found = ", ".join(f"{each.speech_s:.1f} s" for each in speakers[:5])
        raise AudioError(
            f"{where}: found {len(speakers)} voices ({found}), expected one person alone: cut the "
            "recording, or take one voice of it: echo-edge speakers name NAME --from"
        )
    return stream.voiceprint(first.id)
