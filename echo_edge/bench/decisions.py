"""Decisions of a bundle on its self-test's clip, beside those of float torch.

Noise in dB says how far numbers are apart; these say how many decisions became others. They are
against float's decisions, not against the truth: for that see `accuracy`.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

DECIDED = ("asr", "phones", "diarization")
"""Outputs of posteriors, of which the likeliest counts."""
TASKS = (*(f"{name}_changed_percent" for name in DECIDED), "cosine_least")


def compare_tasks(
    reference: Mapping[str, Array], measured: Mapping[str, Array]
) -> dict[str, float | None]:
    """Every one of TASKS, from outputs of `selftest.trace` that both have: posteriors `asr`,
    `phones` and `diarization` `[T, classes]`, embeddings `speaker [N, d]`; None without them.

    `*_changed_percent`: frames or steps with another likeliest letter, phone or set of speakers.
    `cosine_least`: of the least alike pair of speaker embeddings.
    """
    found: dict[str, float | None] = dict.fromkeys(TASKS)
    pairs = {
        name: (array, measured[name])
        for name, array in reference.items()
        if name in measured and np.isfinite(measured[name]).all()
    }
    for name in DECIDED:
        if name in pairs:
            was, became = (posteriors.argmax(1) for posteriors in pairs[name])
            found[f"{name}_changed_percent"] = float(100.0 * np.mean(was != became))
    if "speaker" in pairs:
        found["cosine_least"] = _min_cosine(*pairs["speaker"])
    return found


def _min_cosine(reference: Array, measured: Array) -> float | None:
    lengths = np.linalg.norm(reference, axis=1) * np.linalg.norm(measured, axis=1)
    if not lengths.size or not lengths.all():
        return None
    return float(((reference * measured).sum(1) / lengths).min())
