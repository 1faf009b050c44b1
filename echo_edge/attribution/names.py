"""Names for the voices of a stream that are known people: given once and never taken back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.decoding import DecodingSpec
from echo_edge.heads.clustering import OnlineClusters
from echo_edge.heads.diarization import Activity
from echo_edge.voices import Voices

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Speech:
    """The voices of a stream so far, one row each, float32."""

    centroids: Array
    """`[N, E]`, of unit length."""
    speech_s: Array
    """`[N]`: seconds in which each was active in decided steps."""


class VoiceSpeech:
    """Counts the speech of the voices of a stream."""

    def __init__(self, clusters: OnlineClusters, step_s: float, onset: float) -> None:
        self._clusters, self._step_s, self._onset = clusters, step_s, onset
        self._speech_s = np.zeros(0, np.float32)

    def add(self, activity: Activity) -> None:
        """Count decided steps."""
        speech_s = np.sum(activity.scores >= self._onset, axis=0) * np.float32(self._step_s)
        self._speech_s = speech_s + self._speech_s if len(self._speech_s) else speech_s

    def snapshot(self) -> Speech:
        """Centroids `[N, E]` and speech `[N]` in seconds up to now."""
        clusters = self._clusters
        speech_s = np.zeros(clusters.count, np.float32)
        speech_s[: len(self._speech_s)] = self._speech_s[: clusters.count]
        return Speech(clusters.centroids, speech_s)


@dataclass(frozen=True)
class NameRules:
    """When a voice is taken for a known one."""

    threshold: float
    """Least cosine for a name."""
    min_speech_s: float
    """A voice with less speech gets none, seconds."""

    @classmethod
    def from_manifest(cls, decoding: DecodingSpec) -> "NameRules":
        """The rules of a bundle."""
        return cls(decoding.voice_threshold, decoding.name_min_s)


class NameGiver:
    """Names for the voices of one stream: the most alike first, no name twice."""

    def __init__(self, voices: Voices, rules: NameRules) -> None:
        self._people = [voice.name for voice in voices.people]
        self._known = np.array([v.voiceprint.embedding for v in voices.people], np.float32)
        self._rules = rules
        self.names: dict[int, str] = {}
        """Row of `Speech` -> name, for those that have one."""

    def update(self, speech: Speech) -> None:
        """Give names to voices that are like enough to a person and have enough speech.

        No voice gets a second name, no name is given twice; the most alike pair comes first.
        """
        if not self._people or not len(speech.centroids):
            return
        scores = speech.centroids @ self._known.T
        scores[speech.speech_s < self._rules.min_speech_s] = -np.inf
        for voice, name in self.names.items():
            scores[voice] = scores[:, self._people.index(name)] = -np.inf
        while scores.max() >= self._rules.threshold:
            voice, person = (int(i) for i in np.unravel_index(scores.argmax(), scores.shape))
            self.names[voice] = self._people[person]
            scores[voice] = scores[:, person] = -np.inf
