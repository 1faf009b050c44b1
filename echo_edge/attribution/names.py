"""Which voice of a stream is which known person: a name is given once and never taken back."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echo_edge.heads.clustering import OnlineClusters
from echo_edge.heads.diarization import Activity
from echo_edge.voices import Voices

Array = NDArray[np.float32]

VOICE_THRESHOLD = 0.59
"""Least cosine for a name, where the bundle gives no `voice_threshold` of its own. From
`training.tune_voices`; docs/voices.md has the shares of false and of missing names."""
LEAST_HEARD_S = 3.0
"""A voice that was heard for less gets no name."""


@dataclass(frozen=True)
class Speech:
    """All that was heard of the voices of a stream, one row each."""

    centroids: Array
    """`[N, E]`, of unit length."""
    heard_s: Array
    """`[N]`: how long each was active in decided steps."""


class VoiceSpeech:
    """Counts how long the voices of a stream were heard."""

    def __init__(self, clusters: OnlineClusters, step_s: float, active: float) -> None:
        self._clusters, self._step_s, self._active = clusters, step_s, active
        self._heard_s = np.zeros(0, np.float32)

    def hear(self, activity: Activity) -> None:
        """Count decided steps."""
        heard_s = np.sum(activity.scores >= self._active, axis=0) * np.float32(self._step_s)
        self._heard_s = heard_s + self._heard_s if len(self._heard_s) else heard_s

    def of(self) -> Speech:
        """So far."""
        clusters = self._clusters
        heard_s = np.zeros(clusters.count, np.float32)
        heard_s[: len(self._heard_s)] = self._heard_s[: clusters.count]
        return Speech(clusters.centroids, heard_s)


@dataclass(frozen=True)
class NameRules:
    """When a voice is taken for a known one."""

    threshold: float = VOICE_THRESHOLD
    least_heard_s: float = LEAST_HEARD_S

    @classmethod
    def of(cls, decoding: Mapping[str, float]) -> "NameRules":
        """Those of a bundle (`decoding` in the manifest)."""
        return cls(decoding.get("voice_threshold", VOICE_THRESHOLD))


class NameGiver:
    """Names for the voices of one stream: the most alike first, no name twice."""

    def __init__(self, voices: Voices, rules: NameRules) -> None:
        self._people = [voice.name for voice in voices.people]
        self._known = np.array([v.voiceprint.embedding for v in voices.people], np.float32)
        self._rules = rules
        self.names: dict[int, str] = {}
        """Row of `Speech` -> name, for those that have one."""

    def look(self, speech: Speech) -> None:
        """Name whom it can: nobody who has a name, nobody by a name that is given already."""
        if not self._people or not len(speech.centroids):
            return
        scores = speech.centroids @ self._known.T
        scores[speech.heard_s < self._rules.least_heard_s] = -np.inf
        for voice, name in self.names.items():
            scores[voice] = scores[:, self._people.index(name)] = -np.inf
        while scores.max() >= self._rules.threshold:
            voice, person = (int(i) for i in np.unravel_index(scores.argmax(), scores.shape))
            self.names[voice] = self._people[person]
            scores[voice] = scores[:, person] = -np.inf
