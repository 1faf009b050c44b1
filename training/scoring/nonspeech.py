"""Speech and words that a bundle finds in sounds that nobody speaks, kind by kind."""

from collections.abc import Mapping

import numpy as np

from echo_edge.session import Session
from training.corpora.data import SAMPLE_RATE
from training.nonspeech import HELD_OUT, KINDS, Kind, sound

SECONDS = 30.0
SEED = 81
"""Evaluation's; training takes those of `training.segmentation`, which are pairs with it."""

PEAK = 0.5


def false_speech(
    session: Session, kinds: Mapping[str, Kind], n: int, latency_s: float = 2.0
) -> dict[str, tuple[float, float]]:
    """Kind -> mean seconds of turns and mean number of words in `n` signals of 30 s each."""
    found = {}
    for number, (name, kind) in enumerate(sorted(kinds.items())):
        rows = []
        for i in range(n):
            rng = np.random.default_rng((SEED, number, i))
            pcm = PEAK * sound(kind, int(SECONDS * SAMPLE_RATE), rng)
            result = session.process(pcm.astype(np.float32), latency_s)
            speech_s = sum(turn.end_s - turn.start_s for turn in result.turns)
            rows.append((speech_s, len(result.words)))
        speech, words = np.mean(rows, axis=0).tolist()
        found[name] = (speech, words)
    return found


def nonspeech_figures(session: Session, n: int = 2) -> dict[str, float]:
    """Seconds of speech and words per 30 s of each kind, those that taught and those that did not,
    and their means."""
    figures = {}
    for name, kinds in (("taught", KINDS), ("held_out", HELD_OUT)):
        found = false_speech(session, kinds, n)
        for kind, (speech_s, words) in found.items():
            figures[f"nonspeech.{name}.{kind}.speech_s"] = speech_s
            figures[f"nonspeech.{name}.{kind}.words"] = words
        for index, column in enumerate(("speech_s", "words")):
            values = [row[index] for row in found.values()]
            figures[f"nonspeech.{name}.{column}"] = float(np.mean(values))
            figures[f"nonspeech.{name}.{column}_max"] = float(max(values))
    return figures
