"""When each phone of the transcribed training speech is spoken, by a monophone GMM-HMM.

Trained from a flat start on the training data itself: pronunciations from espeak-ng, three states
per phone, optional silence between words, Viterbi re-estimation with growing mixtures (Rabiner,
"A tutorial on hidden Markov models", 1989; Young et al., "The HTK book"). The encoder learns the
phones frame by frame beside CTC: dense targets where CTC alone stays on its blank plateau.

    python -m training.align --data DATA --cache runs/cache
"""

import argparse
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dct
from scipy.sparse import csr_matrix

from echo_edge_export.config import EchoConfig
from echo_edge_export.frontend import Frontend

from .data import Corpus, Utterance, load_splits

SILENCE = "sil"
STATES = 3
FRAME = 160
"""Samples per label: 10 ms."""
MIXTURES = (1, 1, 1, 1, 2, 2, 4, 4)
"""Gaussians per state in each pass over the data."""

FOLDED = {
    "ɐ": "ə", "ᵻ": "ɪ", "ɾ": "t", "ʔ": "t", "r": "ɹ", "i": "iː", "ɔ": "ɔː", "oː": "ɔː",
    "əl": "ə l", "iə": "iː ə", "aɪɚ": "aɪ ɚ", "aɪə": "aɪ ə",
    "ɑːɹ": "ɑː ɹ", "ɔːɹ": "ɔː ɹ", "oːɹ": "ɔː ɹ", "ɛɹ": "ɛ ɹ", "ɪɹ": "ɪ ɹ", "ʊɹ": "ʊ ɹ",
}  # fmt: skip
"""Rare and compound phones as common ones."""

Lexicon = dict[str, list[str]]


def pronounce(words: Sequence[str]) -> Lexicon:
    """Phones of every word as espeak-ng's American voice says it alone, stress left out."""
    lines = ".\n".join(words) + ".\n"
    command = ["espeak-ng", "-q", "-v", "en-us", "--ipa", "--sep=_"]
    ran = subprocess.run(command, input=lines, check=True, capture_output=True, text=True)
    said = [line for line in ran.stdout.splitlines() if line.strip()]
    spoken = [re.sub(r"[ˈˌ\u0329]", "", line).strip() for line in said]
    if len(spoken) != len(words):
        raise ValueError(f"espeak-ng: found {len(spoken)} words, expected {len(words)}")
    lexicon = {}
    for word, line in zip(words, spoken, strict=True):
        heard = [phone for phone in re.split(r"[_ ]+", line) if phone]
        lexicon[word] = " ".join(FOLDED.get(phone, phone) for phone in heard).split()
    return lexicon | {"a": ["ə"]}


@dataclass(frozen=True)
class Alignment:
    """One phone per 10 ms frame for every aligned utterance; index 0 is silence."""

    phones: tuple[str, ...]
    starts: dict[str, tuple[int, int]]
    """Utterance id to (first label, number of labels)."""
    labels: NDArray[np.uint8]

    def of(self, utterance: Utterance) -> NDArray[np.uint8] | None:
        """Labels `[n_samples / 160]` of one utterance; None if it was not aligned."""
        if utterance.id not in self.starts:
            return None
        start, count = self.starts[utterance.id]
        return self.labels[start : start + count]


def load_alignment(path: Path) -> Alignment:
    """What `main` wrote."""
    stored = np.load(path)
    starts = zip(stored["ids"].tolist(), stored["spans"].tolist(), strict=True)
    return Alignment(
        tuple(stored["phones"].tolist()), {i: (s[0], s[1]) for i, s in starts}, stored["labels"]
    )


def cepstra(corpus: Corpus, utterances: Iterable[Utterance]) -> list[NDArray[np.float32]]:
    """13 cepstra with first and second differences, `[frames, 39]`, normalized per speaker."""
    frontend = Frontend(EchoConfig())
    static: list[NDArray[np.float32]] = []
    speakers: dict[str, list[int]] = {}
    for i, u in enumerate(utterances):
        pcm = corpus.pcm(u)
        pcm = np.pad(pcm, (0, -len(pcm) % FRAME))
        with torch.no_grad():
            spectrum = frontend.spectrum(frontend.pad(torch.from_numpy(pcm)[None]))
            mel = frontend.features(spectrum)[0].numpy()
        cepstrum = dct(mel, norm="ortho", axis=1)[:, :13].astype(np.float32)
        static.append(cepstrum)
        speakers.setdefault(u.speaker or u.id, []).append(i)
    for members in speakers.values():
        everything = np.concatenate([static[i] for i in members])
        mean, std = everything.mean(0), everything.std(0) + 1e-3
        for i in members:
            static[i] = (static[i] - mean) / std
    return [_with_differences(x) for x in static]


def _with_differences(x: NDArray[np.float32]) -> NDArray[np.float32]:
    first = _slope(x)
    return np.concatenate([x, first, _slope(first)], axis=1)


def _slope(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Regression slope over five frames."""
    padded = np.pad(x, ((2, 2), (0, 0)), mode="edge")
    n = len(x)
    near, far = padded[3 : 3 + n] - padded[1 : 1 + n], padded[4:] - padded[:n]
    return np.asarray((near + 2 * far) / 10.0, dtype=np.float32) * 3.0


@numba.njit(cache=True)
def viterbi(
    scores: NDArray[np.float32], states: NDArray[np.int64], optional: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Best state of every frame: scores `[T, emissions]`, the utterance's left-to-right `states`
    `[S]`; a state may be skipped where `optional`. Empty if the path does not fit."""
    n_frames, n_states = len(scores), len(states)
    best = np.full(n_states, -1e30, dtype=np.float32)
    back = np.zeros((n_frames, n_states), dtype=np.uint8)
    best[0] = scores[0, states[0]]
    if optional[0]:
        best[1] = scores[0, states[1]]
    for t in range(1, n_frames):
        for s in range(n_states - 1, -1, -1):
            step, value = 0, best[s]
            if s > 0 and best[s - 1] > value:
                step, value = 1, best[s - 1]
            if s > 1 and optional[s - 1] and best[s - 2] > value:
                step, value = 2, best[s - 2]
            back[t, s] = step
            best[s] = value + scores[t, states[s]]
    s = n_states - 1
    if optional[s] and best[s - 1] > best[s]:
        s -= 1
    path = np.zeros(n_frames if best[s] > -1e29 else 0, dtype=np.int64)
    for t in range(len(path) - 1, -1, -1):
        path[t] = states[s]
        s -= back[t, s]
    return path


def state_chain(
    words: Iterable[str], lexicon: Lexicon, index: dict[str, int]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Emission of every state of an utterance and which states may be skipped."""
    states, optional = [0], [True]
    for word in words:
        for phone in lexicon[word]:
            first = 1 + (index[phone] - 1) * STATES
            states += range(first, first + STATES)
            optional += [False] * STATES
        states.append(0)
        optional.append(True)
    return np.array(states), np.array(optional)


@dataclass
class Mixtures:
    """Diagonal Gaussian mixtures, one per emission: means and variances `[E, M, D]`."""

    means: NDArray[np.float64]
    variances: NDArray[np.float64]
    weights: NDArray[np.float64]

    def components(
        self, x: NDArray[np.float32], emissions: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Weighted log-likelihoods `[T, E, M]` of frames `[T, D]` under E of the emissions."""
        means, variances = self.means[emissions], self.variances[emissions]
        constant = np.log(self.weights[emissions] + 1e-12) - 0.5 * (
            np.log(2 * np.pi * variances).sum(2) + (means**2 / variances).sum(2)
        )
        table = np.concatenate([-0.5 / variances, means / variances], axis=2)
        flat = table.reshape(-1, table.shape[2]).T.astype(np.float32)
        scores = np.concatenate([x**2, x], axis=1) @ flat + constant.reshape(-1).astype(np.float32)
        return np.asarray(scores.reshape(len(x), len(emissions), -1))

    def split(self) -> "Mixtures":
        """Twice the Gaussians, moved apart by a fifth of their deviation."""
        shift = 0.2 * np.sqrt(self.variances)
        return Mixtures(
            np.concatenate([self.means - shift, self.means + shift], axis=1),
            np.concatenate([self.variances] * 2, axis=1),
            np.concatenate([self.weights] * 2, axis=1) / 2,
        )


class Sums:
    """Sufficient statistics of every Gaussian."""

    def __init__(self, n_emissions: int, n_mixtures: int, dim: int) -> None:
        self.shape = (n_emissions, n_mixtures)
        self.count = np.zeros(n_emissions * n_mixtures)
        self.first = np.zeros((n_emissions * n_mixtures, dim))
        self.second = np.zeros((n_emissions * n_mixtures, dim))

    def add(
        self, x: NDArray[np.float32], path: NDArray[np.int64], posterior: NDArray[np.float32]
    ) -> None:
        """Frames `[T, D]`, their emissions `[T]` and each Gaussian's share `[T, M]`."""
        n_mixtures = self.shape[1]
        rows = path[:, None] * n_mixtures + np.arange(n_mixtures)
        frames = np.arange(len(path)).repeat(n_mixtures)
        share = csr_matrix(
            (posterior.ravel(), (rows.ravel(), frames)), shape=(len(self.count), len(path))
        )
        self.count += np.asarray(share.sum(1)).ravel()
        self.first += share @ x
        self.second += share @ x**2

    def mixtures(self) -> Mixtures:
        """Means and variances, both held near the global ones where there is little data."""
        mean = self.first.sum(0) / self.count.sum()
        variance = self.second.sum(0) / self.count.sum() - mean**2
        count = self.count[:, None] + 10.0
        means = (self.first + 10.0 * mean) / count
        spread = (self.second + 10.0 * (variance + mean**2)) / count - means**2
        by_state = self.count.reshape(self.shape) + 1.0
        return Mixtures(
            means.reshape(*self.shape, -1),
            np.maximum(spread, 0.05 * variance).reshape(*self.shape, -1),
            by_state / by_state.sum(1, keepdims=True),
        )


def train(
    data: Sequence[NDArray[np.float32]],
    chains: Sequence[tuple[NDArray[np.int64], NDArray[np.bool_]]],
    n_emissions: int,
) -> list[NDArray[np.int64]]:
    """Emission of every frame of every utterance after the last pass; empty where none fits."""
    sums = Sums(n_emissions, 1, data[0].shape[1])
    for x, (states, optional) in zip(data, chains, strict=True):
        spoken = states[~optional] if len(x) >= (~optional).sum() else states[:1]
        path = spoken[np.arange(len(x)) * len(spoken) // len(x)]
        path[: len(x) // 20] = path[len(x) - len(x) // 20 :] = 0
        sums.add(x, path, np.ones((len(x), 1), dtype=np.float32))
    mixtures = sums.mixtures()
    paths: list[NDArray[np.int64]] = []
    for n_pass, wanted in enumerate(MIXTURES):
        if wanted > mixtures.weights.shape[1]:
            mixtures = mixtures.split()
        sums, paths, total = Sums(n_emissions, wanted, data[0].shape[1]), [], 0.0
        for x, (states, optional) in zip(data, chains, strict=True):
            used, local = np.unique(states, return_inverse=True)
            parts = mixtures.components(x, used)
            top = parts.max(2)
            scores = np.log(np.exp(parts - top[..., None]).sum(2)) + top
            path = viterbi(scores, local, optional)
            paths.append(used[path])
            if len(path):
                frames = np.arange(len(path))
                likelihood = scores[frames, path]
                share = np.exp(parts[frames, path] - likelihood[:, None])
                sums.add(x, used[path], share)
                total += float(likelihood.sum())
        print(f"pass {n_pass + 1}: {total / sums.count.sum():.3f} nats per frame", flush=True)
        mixtures = sums.mixtures()
    return paths


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and dev/")
    parser.add_argument("--more", type=Path, nargs="*", default=[], help="further training corpora")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    args = parser.parse_args()
    corpus, _ = load_splits(args.data, args.cache, args.more)
    utterances = [u for u in corpus.utterances if u.text and u.duration_s < 20]
    lexicon = pronounce(sorted({word for u in utterances for word in u.text.split()}))
    phones = (SILENCE, *sorted({p for said in lexicon.values() for p in said}))
    index = {phone: i for i, phone in enumerate(phones)}
    print(len(utterances), "utterances,", len(lexicon), "words,", len(phones), "phones", flush=True)
    data = cepstra(corpus, utterances)
    chains = [state_chain(u.text.split(), lexicon, index) for u in utterances]
    paths = train(data, chains, 1 + (len(phones) - 1) * STATES)
    labels = [((path + STATES - 1) // STATES).astype(np.uint8) for path in paths]
    counts = np.array([len(row) for row in labels])
    spans = np.stack([np.cumsum(counts) - counts, counts], axis=1)[counts > 0]
    ids = [u.id for u, count in zip(utterances, counts, strict=True) if count]
    np.savez(
        args.cache / "phones.npz",
        phones=np.array(phones),
        ids=np.array(ids),
        spans=spans,
        labels=np.concatenate(labels),
    )
    print(f"aligned {len(ids)} of {len(utterances)} utterances")


if __name__ == "__main__":
    main()
