"""Attribution at the end of a recording: activity and words are logged, voices are clustered once,
then everything is replayed into a `LiveAttribution`."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from echo_edge.attribution.given_count import has_brief, join_brief
from echo_edge.attribution.live import LiveAttribution
from echo_edge.attribution.words import WordRules
from echo_edge.bundle.decoding import DecodingSpec
from echo_edge.heads.clustering import Grouping, GroupRules
from echo_edge.heads.diarization import Activity, DiarizationDecoder
from echo_edge.heads.separation import VoiceSlots
from echo_edge.result import Horizon, Result, Tentative, Word
from echo_edge.voices import Voiceprint

BLOCK_STEPS = 250
"""Steps of the log that are replayed at a time; results do not depend on it."""


class ActivityLog:
    """Decided activity of all voices, 6 bytes for each score of at least `min_score`: some 9 bytes
    per step, 6 MB for eight hours of speech.

    At most 256 voices; scores are stored to 1/255.
    """

    def __init__(self, min_score: float) -> None:
        self._min_score = min_score
        self._steps, self._voices, self._scores = array("I"), array("B"), array("B")
        self.n_steps = 0
        """Steps logged so far."""

    def add(self, activity: Activity) -> None:
        """Log steps that follow those logged before."""
        scores = np.rint(255.0 * activity.scores).astype(np.uint8)
        steps, voices = (activity.scores >= self._min_score).nonzero()
        self._steps.frombytes((steps + activity.first_step).astype(np.uintc).tobytes())
        self._voices.frombytes(voices.astype(np.uint8).tobytes())
        self._scores.frombytes(scores[steps, voices].tobytes())
        self.n_steps = activity.first_step + len(scores)

    def join(self, groups: Sequence[int]) -> None:
        """Merge voices: voice `v` becomes `groups[v]`."""
        voices = np.frombuffer(self._voices, np.uint8)
        voices[:] = np.array([*groups, 0], np.uint8)[voices]

    def blocks(self, n_voices: int) -> Iterator[Activity]:
        """The whole log in order, `[steps, n_voices]` at a time."""
        steps = np.frombuffer(self._steps, np.uintc)
        for first in range(0, self.n_steps, BLOCK_STEPS):
            n_steps = min(BLOCK_STEPS, self.n_steps - first)
            low, high = np.searchsorted(steps, (first, first + n_steps)).tolist()
            scores = np.zeros((n_steps, n_voices), np.float32)
            at = (steps[low:high] - first, np.frombuffer(self._voices, np.uint8)[low:high])
            np.add.at(scores, at, np.frombuffer(self._scores, np.uint8)[low:high])
            yield Activity(first, np.minimum(scores / np.float32(255.0), np.float32(1.0)))


@dataclass(frozen=True)
class JoinRules:
    """When voices are one speaker: the constants of a bundle, for so many speakers."""

    decoding: DecodingSpec
    min_speakers: int
    max_speakers: int


class DeferredAttribution:
    """Nothing is final before the end of the recording, when all evidence is there.

    Until then a speaker may be many voices. When half of the places for them are taken, the most
    alike are joined until a quarter are. Words wait without a voice.
    """

    def __init__(
        self,
        live: LiveAttribution,
        diarization: DiarizationDecoder,
        slots: VoiceSlots,
        rules: JoinRules,
        step_s: float,
    ) -> None:
        """`live` takes the replay. Voices are renumbered in `diarization` and `slots` too."""
        self._live, self._diarization, self._slots, self._rules = live, diarization, slots, rules
        self._word_rules = WordRules.from_manifest(rules.decoding, step_s)
        self._groups = GroupRules.from_manifest(rules.decoding)
        self._log = ActivityLog(rules.decoding.min_logged_score)
        self._words: list[Word] = []
        self._n_decided = 0
        """Words, from the first on, that only wait for the end."""
        self._finished = False

    def add(self, decided: Iterable[Activity], words: Sequence[Word]) -> None:
        """Log decided steps, which follow those before, and words that are complete, by start."""
        self._words += words
        for activity in decided:
            self._log.add(activity)
        waiting = self._words[self._n_decided :]
        self._n_decided += self._word_rules.count_decided(waiting, self._log.n_steps)
        clusters = self._diarization.clusters
        n_places = len(clusters.speech_s)
        if clusters.count > n_places // 2:
            groups = replace(self._groups, threshold=1.0, brief_s=0.0)
            self._join(clusters.group(groups, 1, n_places // 4).groups)

    def finish(self, decided: Iterable[Activity], words: Sequence[Word]) -> None:
        """The last steps and words: voices become speakers, and everything becomes final."""
        self.add(decided, words)
        clusters, min_speakers = self._diarization.clusters, self._rules.min_speakers
        grouping, share = self._group(), self._rules.decoding.given_count_share
        if min_speakers > 1 and has_brief(grouping.groups, clusters.speech_s, share):
            self._join(join_brief(clusters.means, clusters.speech_s, min_speakers, share))
            grouping = self._group()
        self._join(grouping.groups)
        blocks = self._log.blocks(clusters.count)
        self._live.replay(blocks, self._words, grouping.confidence)
        self._finished = True

    def _group(self) -> Grouping:
        rules = self._rules
        return self._diarization.clusters.group(
            self._groups, rules.min_speakers, rules.max_speakers
        )

    def take(self, duration_s: float) -> Result:
        """The result that became final since the last call: after `finish` all, before it none."""
        return self._live.take(duration_s) if self._finished else Result(duration_s=duration_s)

    def tentative(self, _: Activity, words: Sequence[Word], _duration_s: float) -> Tentative:
        """The latest words and `words`; nobody has a label yet."""
        return Tentative(words=(*self._words[self._n_decided :], *words))

    def horizon(self, _next_word_s: float) -> Horizon:
        """Nothing is complete before the end."""
        return Horizon()

    def voiceprint(self, speaker: str, checkpoint_sha256: str) -> Voiceprint:
        """As of `LiveAttribution`, which has no labels before the end."""
        return self._live.voiceprint(speaker, checkpoint_sha256)

    def _join(self, groups: Sequence[int]) -> None:
        """Merge voices wherever they are numbered: voice `v` becomes `groups[v]`."""
        self._diarization.join(groups)
        self._log.join(groups)
        self._slots.join(groups)
