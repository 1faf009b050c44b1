"""The alignment on speech whose phones are Gaussians of known times."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from training.corpora.hmm import STATES, phones_of, state_chain, train, viterbi

LEXICON = {"ab": ["a", "b"], "ca": ["c", "a"], "bcb": ["b", "c", "b"]}
INDEX = {"sil": 0, "a": 1, "b": 2, "c": 3}
N_EMISSIONS = 1 + 3 * STATES


def speak(words: list[str], rng: np.random.Generator) -> tuple[NDArray[np.float32], list[int]]:
    """Frames of words and the phone of each; every phone has a mean of its own."""
    phones = [0] * int(rng.integers(8, 15))
    for word in words:
        for phone in LEXICON[word]:
            phones += [INDEX[phone]] * int(rng.integers(6, 12))
        phones += [0] * int(rng.integers(0, 2)) * int(rng.integers(5, 12))
    means = 3.0 * np.eye(4, 5)
    frames = means[phones] + rng.normal(0.0, 0.7, (len(phones), 5))
    return frames.astype(np.float32), phones


def test_training_from_a_flat_start_finds_the_phones() -> None:
    rng = np.random.default_rng(0)
    texts = [[str(w) for w in rng.choice(list(LEXICON), 4)] for _ in range(80)]
    spoken = [speak(words, rng) for words in texts]
    chains = [state_chain(words, LEXICON, INDEX) for words in texts]

    paths = train([frames for frames, _ in spoken], chains, N_EMISSIONS)

    truth = np.concatenate([phones for _, phones in spoken])
    found = np.concatenate([phones_of(path) for path in paths])
    assert np.mean(found == truth) > 0.95


@pytest.mark.parametrize("seed", range(5))
def test_viterbi_equals_exhaustive_search(seed: int) -> None:
    rng = np.random.default_rng(seed)
    states = np.array([0, 1, 2, 0, 3, 0])
    optional = np.array([True, False, False, True, False, True])
    scores = rng.normal(size=(7, 4)).astype(np.float32)
    best = -np.inf
    for kept in itertools.product([True, False], repeat=3):
        skip = dict(zip(np.flatnonzero(optional).tolist(), kept, strict=True))
        chain = [int(s) for i, s in enumerate(states) if skip.get(i, True)]
        for cuts in itertools.combinations(range(1, 7), len(chain) - 1):
            lengths = np.diff([0, *cuts, 7])
            best = max(best, float(scores[range(7), np.repeat(chain, lengths)].sum()))

    path = viterbi(scores, states, optional)

    assert float(scores[range(7), path].sum()) == pytest.approx(best, abs=1e-5)


def test_a_text_that_does_not_fit_has_no_path() -> None:
    states, optional = state_chain(["bcb", "bcb"], LEXICON, INDEX)

    assert len(viterbi(np.zeros((10, N_EMISSIONS), np.float32), states, optional)) == 0
