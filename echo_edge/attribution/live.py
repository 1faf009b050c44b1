"""Attribution while the audio flows: decided activity and words to labelled turns and words.

The C library has this half, and only this one.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from echo_edge.attribution.labels import Labels
from echo_edge.attribution.names import NameGiver, VoiceSpeech
from echo_edge.attribution.turns import ExclusiveTurnBuilder, TurnBuilder, VoiceTurn
from echo_edge.attribution.words import VoicedWord, WordRules, WordVoices
from echo_edge.bundle.decoding import DecodingSpec
from echo_edge.errors import UsageError
from echo_edge.heads.clustering import OnlineClusters
from echo_edge.heads.diarization import Activity, TurnRules
from echo_edge.result import Horizon, Result, Tentative, Word
from echo_edge.voices import Voiceprint


class _Voiced(NamedTuple):
    """Final turns and words of voices, before labels."""

    turns: list[VoiceTurn]
    exclusive: list[VoiceTurn]
    words: list[VoicedWord]


class LiveAttribution:
    """Gives out every turn and word once, as soon as the activity under it is decided, with a label
    that never changes. Memory does not grow with the audio."""

    def __init__(
        self, clusters: OnlineClusters, decoding: DecodingSpec, step_s: float, names: NameGiver
    ) -> None:
        """`clusters` has the centroid of every voice; a step is `step_s` long."""
        self._step_s = step_s
        rules = TurnRules.from_manifest(decoding, step_s)
        self._turns, self._exclusive = TurnBuilder(rules), ExclusiveTurnBuilder(rules)
        self._words = WordVoices(WordRules.from_manifest(decoding, step_s))
        self._speech = VoiceSpeech(clusters, step_s, rules.onset)
        self._names, self._labels = names, Labels(step_s, decoding.count_confidence)
        self._n_steps = 0

    def add(self, decided: Iterable[Activity], words: Sequence[Word]) -> None:
        """Decided steps, which follow those before, and words that are complete, by start."""
        self._words.add(words)
        for activity in decided:
            self._label(self._decide(activity))

    def finish(self, decided: Iterable[Activity], words: Sequence[Word]) -> None:
        """The last steps and words: everything becomes final."""
        self.add(decided, words)
        self._label(self._rest())

    def replay(self, decided: Iterable[Activity], words: Sequence[Word], confidence: float) -> None:
        """A whole recording of voices that are final, in place of `add` and `finish`: labels go by
        the start of turns. `confidence` is how sure the number of speakers is, 0 to 1."""
        self._words.add(words)
        parts = [*map(self._decide, decided), self._rest()]
        self._labels.add_recording(
            [turn for part in parts for turn in part.turns],
            [turn for part in parts for turn in part.exclusive],
            [word for part in parts for word in part.words],
        )
        self._labels.set_count_confidence(confidence)
        self._give_names()

    def take(self, duration_s: float) -> Result:
        """The result that became final since the last call; `duration_s` is the audio so far."""
        return self._labels.flush(duration_s)

    def tentative(self, undecided: Activity, words: Sequence[Word], duration_s: float) -> Tentative:
        """Turns and words as if the audio ended here with these; the state does not change."""
        turns, voiced = self._turns.peek(undecided), self._words.peek(words, undecided)
        return self._labels.tentative(turns, voiced, duration_s)

    def horizon(self, next_word_s: float) -> Horizon:
        """How far the result is complete; no word that `add` will bring starts before
        `next_word_s`."""
        n_steps = self._n_steps
        exclusive = self._labels.next_exclusive(self._exclusive.next_start(n_steps))
        return Horizon(
            min(self._words.next_s, next_word_s),
            self._turns.next_start(n_steps) * self._step_s,
            self._turns.next_end(n_steps) * self._step_s,
            exclusive * self._step_s,
        )

    def voiceprint(self, speaker: str, checkpoint_sha256: str) -> Voiceprint:
        """The voice behind a label, as the model of that checkpoint hears it; UsageError if no
        result had the label."""
        voice = self._labels.voice_of(speaker)
        if voice is None:
            raise UsageError(
                f"voiceprint: found no speaker {speaker[:60]!r} in what is final, expected a label "
                "such as speaker_1"
            )
        speech = self._speech.snapshot()
        return Voiceprint.from_vector(
            speech.centroids[voice], speech.speech_s[voice], checkpoint_sha256
        )

    def _decide(self, activity: Activity) -> _Voiced:
        self._n_steps = activity.first_step + len(activity.scores)
        self._speech.add(activity)
        self._words.decide(activity)
        return _Voiced(
            self._turns.push(activity), self._exclusive.push(activity), self._words.take()
        )

    def _rest(self) -> _Voiced:
        return _Voiced(
            self._turns.finish(), self._exclusive.finish(), self._words.take(everything=True)
        )

    def _label(self, voiced: _Voiced) -> None:
        self._labels.add_turns(voiced.turns)
        self._labels.add_exclusive(voiced.exclusive)
        self._labels.add_words(voiced.words)
        self._give_names()

    def _give_names(self) -> None:
        self._names.update(self._speech.snapshot())
        self._labels.set_names(self._names.names)
