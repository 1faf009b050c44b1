"""Voices from embeddings: a bounded set of centroids that grows online, and their joining.

Knows nothing of audio, windows or labels. numpy only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.decoding import DecodingSpec

Array = NDArray[np.float32]

NOBODY = -1


@dataclass(frozen=True)
class LinkRules:
    """Rules by which stretches of speech become voices."""

    threshold: float
    """Least cosine to be taken for a known voice where a new one could be."""
    new_voice_s: float
    """Least clean speech that may found a voice or move its centroid, seconds."""
    max_clusters: int
    """Bound on the number of voices, and so on memory."""
    min_clusters: int = 1
    """While there are fewer, the threshold is higher by `margin`."""
    margin: float = 0.0

    @classmethod
    def from_manifest(
        cls, decoding: DecodingSpec, min_clusters: int, max_clusters: int
    ) -> "LinkRules":
        """The rules of a bundle, for so many voices."""
        return cls(
            decoding.stretch_threshold,
            decoding.new_voice_s,
            max_clusters,
            min_clusters,
            decoding.expected_voice_margin,
        )


@dataclass(frozen=True)
class GroupRules:
    """When two groups of voices are one speaker, and how sure their number is; the constants are
    those of `DecodingSpec`."""

    threshold: float
    brief_threshold: float
    brief_s: float
    brief_share: float
    slope: float

    @classmethod
    def from_manifest(cls, decoding: DecodingSpec) -> "GroupRules":
        """The rules of a bundle."""
        return cls(
            decoding.group_threshold,
            decoding.brief_threshold,
            decoding.brief_s,
            decoding.brief_share,
            decoding.count_slope,
        )


class OnlineClusters:
    """Centroids as running sums of embeddings weighted by clean speech."""

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

    @property
    def means(self) -> Array:
        """Mean embeddings `[count, E]`: the more the speech of a cluster varies, the shorter."""
        means: Array = self._sums[: self.count] / self.speech_s[: self.count, None]
        return means

    def link(self, embeddings: Array, speech_s: Array) -> list[int]:
        """Cluster of each stretch of speech; `NOBODY` only before the first is founded.

        embeddings `[N, E]` of unit length, speech_s `[N]` clean speech in seconds. The longest
        comes first; stretches of one window may well be of the same voice.
        """
        links = [NOBODY] * len(embeddings)
        for index in np.argsort(-speech_s, kind="stable").tolist():
            links[index] = self._link_one(embeddings[index], float(speech_s[index]))
        return links

    def _link_one(self, embedding: Array, speech_s: float) -> int:
        rules = self._rules
        scores = self.centroids @ embedding
        best = int(scores.argmax()) if self.count else NOBODY
        if speech_s < rules.new_voice_s:
            return best
        min_cosine = rules.threshold + (rules.margin if self.count < rules.min_clusters else 0.0)
        if self.count < rules.max_clusters and (best == NOBODY or scores[best] < min_cosine):
            best = self.count
            self.count += 1
        self._sums[best] += speech_s * embedding
        self.speech_s[best] += speech_s
        return best

    def group(self, rules: GroupRules, minimum: int, maximum: int) -> "Grouping":
        """`group_clusters` of all speech so far."""
        return group_clusters(self.means, self.speech_s, rules, minimum, maximum)

    def join(self, groups: Sequence[int]) -> None:
        """Merge clusters: cluster `c` becomes `groups[c]`."""
        members = list(groups)
        for sums in (self._sums, self.speech_s):
            parts = sums[: self.count].copy()
            sums[:] = 0.0
            np.add.at(sums, members, parts)
        self.count = max(members, default=NOBODY) + 1


@dataclass(frozen=True)
class Grouping:
    """Clusters grouped into speakers, and how clear that was."""

    groups: tuple[int, ...]
    """Group of each cluster, numbered from 0."""
    confidence: float
    """0.5 when one more or one fewer speaker was as likely, towards 1 when neither was. Not
    calibrated."""


def group_clusters(
    means: Array, weights: Array, rules: GroupRules, minimum: int, maximum: int
) -> Grouping:
    """Agglomerative clustering of mean embeddings `[N, E]` of speech `[N]`, average linkage.

    `weights` `[N or more]` are seconds of speech; those after the first N do not count. Merges the
    two groups between whose embeddings the mean cosine is highest, which is the product of
    their means, while it is at least `rules.threshold`, or `rules.brief_threshold` if one is brief,
    or while there are more than `maximum` groups, and never below `minimum`.
    """
    # 1. Every cluster is a group of its own; the similarity of two is the product of their means.
    groups, n_left = np.arange(len(means)), len(means)
    means, weights = means.copy(), weights[: len(means)].copy()
    threshold = rules.threshold
    brief_s = min(rules.brief_s, rules.brief_share * float(weights.sum()))
    similarity = means @ means.T
    np.fill_diagonal(similarity, -np.inf)
    margin = 1.0 - threshold  # the least by which a merge, or refusing the next, was clear
    while n_left > 1:
        # 2. By how much each pair is beyond its threshold, which is lower for a brief group.
        brief = weights < brief_s
        surplus = similarity - np.where(brief[:, None] | brief, rules.brief_threshold, threshold)
        alike = bool((surplus >= 0.0).any())
        if n_left <= minimum or not (alike or n_left > maximum):
            margin = min(margin, -float(surplus.max()))
            break
        # 3. The pair to merge: the most similar of those beyond the threshold; if there are none,
        #    there are too many groups, and the most similar of all.
        able = np.where(surplus >= 0.0, similarity, -np.inf) if alike else similarity
        kept, gone = sorted(int(i) for i in np.unravel_index(able.argmax(), able.shape))
        margin = min(margin, float(surplus[kept, gone]))
        # 4. The merged group has the mean of both, by speech; the other one is out of the table.
        total = weights[kept] + weights[gone]
        means[kept] = (weights[kept] * means[kept] + weights[gone] * means[gone]) / total
        weights[kept] = total
        groups[groups == gone] = kept
        similarity[gone] = similarity[:, gone] = -np.inf
        left = np.isfinite(similarity[kept])
        similarity[kept, left] = similarity[left, kept] = means[left] @ means[kept]
        n_left -= 1
    # 5. The margin as a probability; groups numbered from 0.
    confidence = float(1.0 / (1.0 + np.exp(-rules.slope * margin)))
    return Grouping(tuple(np.unique(groups, return_inverse=True)[1].tolist()), confidence)
