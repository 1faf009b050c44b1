"""Voices from embeddings: a bounded set of centroids that grows online, and its final merging.

Knows nothing of audio, windows or labels. numpy only.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

NOBODY = -1


@dataclass(frozen=True)
class LinkRules:
    """Thresholds of the online linking, from the bundle (`decoding` in the manifest)."""

    threshold: float
    """Least score, cosine plus weighted continuity, to be taken for a known voice."""
    continuity_weight: float
    """How much being active at the same steps as a known voice counts."""
    new_voice_s: float
    """Least clean speech that may found a voice or move its centroid, seconds."""
    max_clusters: int
    """Bound on the number of voices, and so on memory."""


class OnlineClusters:
    """Centroids as running sums of embeddings weighted by clean speech (after Coria et al.,
    "Overlap-aware low-latency online speaker diarization", ASRU 2021)."""

    def __init__(self, embedding_dim: int, rules: LinkRules) -> None:
        self._rules = rules
        self._sums = np.zeros((rules.max_clusters, embedding_dim), np.float32)
        self.speech_s = np.zeros(rules.max_clusters, np.float32)
        """Clean speech seen per cluster, counted once per window, seconds."""
        self.count = 0

    @property
    def centroids(self) -> Array:
        """Unit-length centroids `[count, E]`."""
        sums = self._sums[: self.count]
        unit: Array = sums / (np.linalg.norm(sums, axis=1, keepdims=True) + 1e-9)
        return unit

    def link(self, embeddings: Array, speech_s: Array, continuity: Array) -> list[int]:
        """Cluster of each local speaker, no two the same; `NOBODY` for too little speech.

        embeddings `[K, E]` of unit length, speech_s `[K]` clean speech in seconds, continuity
        `[K, max_clusters]` in [0, 1]: how alike the activities are where windows overlap.
        """
        rules = self._rules
        links = [NOBODY] * len(embeddings)
        weighted = rules.continuity_weight * continuity[:, : self.count]
        scores = embeddings @ self.centroids.T + weighted
        while scores.size and scores.max() >= rules.threshold:
            best_local, best = (int(i) for i in np.unravel_index(scores.argmax(), scores.shape))
            links[best_local] = best
            scores[best_local, :] = scores[:, best] = -np.inf
        for local in np.argsort(-speech_s, kind="stable").tolist():
            if links[local] == NOBODY and speech_s[local] >= rules.new_voice_s:
                links[local] = found = self._found(scores[local])
                if 0 <= found < scores.shape[1]:
                    scores[:, found] = -np.inf
        for local, cluster in enumerate(links):
            if cluster != NOBODY and speech_s[local] >= rules.new_voice_s:
                self._sums[cluster] += speech_s[local] * embeddings[local]
                self.speech_s[cluster] += speech_s[local]
        return links

    def _found(self, scores: Array) -> int:
        """A new cluster or, when all are taken, the nearest that is still free in this window."""
        if self.count < self._rules.max_clusters:
            self.count += 1
            return self.count - 1
        if not np.isfinite(scores).any():  # also where all were founded in this window
            return NOBODY
        return int(scores.argmax())


@dataclass(frozen=True)
class Grouping:
    """Which clusters are one speaker, and how clear that was."""

    groups: tuple[int, ...]
    """Group of each cluster, numbered from 0."""
    confidence: float
    """0.5 when one more or one fewer speaker was as likely, towards 1 when neither was. Not
    calibrated."""


def group_clusters(
    centroids: Array, weights: Array, threshold: float, minimum: int, maximum: int
) -> Grouping:
    """Agglomerative clustering of unit centroids `[N, E]` weighted by speech `[N]`.

    Merges the two most similar (cosine of weighted mean directions) while they are at least
    `threshold` alike or there are more than `maximum` groups, and never below `minimum`.
    """
    groups = list(range(len(centroids)))
    sums = {i: centroids[i] * max(float(weights[i]), 1e-3) for i in groups}
    below, above = 1.0, -1.0
    while len(sums) > 1:
        keys = sorted(sums)
        unit = np.stack([sums[k] / (np.linalg.norm(sums[k]) + 1e-9) for k in keys])
        similarity = unit @ unit.T
        np.fill_diagonal(similarity, -np.inf)
        i, j = np.unravel_index(int(similarity.argmax()), similarity.shape)
        best = float(similarity[i, j])
        if len(sums) <= minimum or (best < threshold and len(sums) <= maximum):
            above = best
            break
        below = min(below, best)
        kept, gone = sorted((keys[int(i)], keys[int(j)]))
        sums[kept] = sums[kept] + sums.pop(gone)
        groups = [kept if g == gone else g for g in groups]
    order = {g: n for n, g in enumerate(sorted(set(groups)))}
    margin = min(below - threshold, threshold - above)
    confidence = float(np.clip(0.5 + margin, 0.0, 1.0))
    return Grouping(tuple(order[g] for g in groups), confidence)
