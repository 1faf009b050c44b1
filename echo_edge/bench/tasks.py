"""What a bundle decides on its self-test's clip, beside what float torch decided there.

Noise in dB says how far numbers are apart; these say whether letters, words, who speaks and voices
became others. Errors are against float's decisions, in percent, not against what was said: the
clip is a few seconds long, and a checkpoint's own errors are in the bundle's model card.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle import Bundle
from echo_edge.heads.asr import BestPath

Array = NDArray[np.float32]

TASKS = ("cer_percent", "wer_percent", "der_percent", "cosine_least")
_ENDLESS = 1 << 30


def compare_tasks(
    bundle: Bundle, reference: Mapping[str, Array], measured: Mapping[str, Array]
) -> dict[str, float | None]:
    """Every one of TASKS, from outputs of `selftest.trace` that both have: posteriors `asr [T,
    tokens]` and `diarization [S, classes]`, `speaker [N, d]`. None without them, or where float
    found nothing.

    `cer_percent`, `wer_percent`: characters and words of the best path, no language model.
    `der_percent`: missed, false and confused speech of the local speakers of whole windows, collar
    0. `cosine_least`: of the least alike pair of speaker embeddings.
    """
    found: dict[str, float | None] = dict.fromkeys(TASKS)
    pairs = {
        name: (array, measured[name])
        for name, array in reference.items()
        if name in measured and np.isfinite(measured[name]).all()
    }
    if "asr" in pairs:
        said, heard = (_words(bundle.tokens, posteriors) for posteriors in pairs["asr"])
        found["cer_percent"] = _error_percent(" ".join(said), " ".join(heard))
        found["wer_percent"] = _error_percent(said, heard)
    if "diarization" in pairs:
        powerset = bundle.manifest.diarization.powerset
        found["der_percent"] = _der_percent(*(_active(powerset, p) for p in pairs["diarization"]))
    if "speaker" in pairs:
        found["cosine_least"] = _cosine_least(*pairs["speaker"])
    return found


def _words(tokens: tuple[str, ...], posteriors: Array) -> list[str]:
    search = BestPath(tokens, _ENDLESS)
    logprobs = np.log(np.maximum(posteriors, np.float32(1e-9)))
    words = [word for frame in logprobs for word in search.push(frame)]
    return [word.text for word in [*words, *search.finish()]]


def _error_percent(reference: Sequence[str], measured: Sequence[str]) -> float | None:
    """Least insertions, deletions and substitutions (Levenshtein), of the reference's length."""
    if not reference:
        return None
    row = list(range(len(measured) + 1))
    for i, item in enumerate(reference, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(measured, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (item != other))
    return 100.0 * row[-1] / len(reference)


def _active(powerset: Sequence[Sequence[int]], posteriors: Array) -> NDArray[np.bool_]:
    """Which local speakers talk, `[S, speakers]`: the likeliest class of every step."""
    n_local = 1 + max(max(speakers, default=0) for speakers in powerset)
    members = np.zeros((len(powerset), n_local), np.bool_)
    for index, speakers in enumerate(powerset):
        members[index, list(speakers)] = True
    active: NDArray[np.bool_] = members[posteriors.argmax(1)]
    return active


def _der_percent(reference: NDArray[np.bool_], measured: NDArray[np.bool_]) -> float | None:
    spoken, heard = reference.sum(1), measured.sum(1)
    if not spoken.any():
        return None
    wrong = np.maximum(spoken, heard) - (reference & measured).sum(1)
    return float(100.0 * wrong.sum() / spoken.sum())


def _cosine_least(reference: Array, measured: Array) -> float | None:
    lengths = np.linalg.norm(reference, axis=1) * np.linalg.norm(measured, axis=1)
    if not lengths.size or not lengths.all():
        return None
    return float(((reference * measured).sum(1) / lengths).min())
