"""What is said, and whose words they are.

Knows voices, no labels. Words wait until the activity under them is decided.
"""

import copy
import math
from collections.abc import Callable, Mapping
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.language_model import LanguageModel
from echo_edge.bundle.verify import Bundle
from echo_edge.engines.stateful import GraphStream
from echo_edge.heads.beam import LAG_S, BeamOptions, BeamSearch
from echo_edge.heads.ctc import SILENCE_S, AsrDecoder, BestPath, Search
from echo_edge.heads.diarization import Activity
from echo_edge.result import Word

Array = NDArray[np.float32]
VoicedWord = tuple[Word, int | None]


class WordVoices:
    """Words wait until the activity under them is decided, then get the voice heard most."""

    REACH_STEPS = 12
    """A word just outside a turn (0.5 s) still belongs to it."""
    KEEP_STEPS = 1500
    """Decided steps that are remembered: one minute, longer than any word waits."""

    def __init__(self, step_s: float, active: float) -> None:
        self._step_s, self._active = step_s, active
        self._waiting: list[Word] = []
        self._aside: list[Word] = []
        self._scores = np.zeros((0, 0), np.float32)
        self._end = 0

    def add(self, words: list[Word]) -> None:
        """Words that need a voice."""
        self._waiting += words

    @property
    def next_s(self) -> float:
        """Start of the first word that waits; infinity if none does."""
        return self._waiting[0].start_s if self._waiting else math.inf

    def decide(self, activity: Activity) -> None:
        """Remember decided steps, which follow those before or start anew."""
        old = [self._scores] if self._scores.size and activity.first_step == self._end else []
        self._scores = np.concatenate([*old, activity.scores])[-self.KEEP_STEPS :]
        self._end = activity.first_step + len(activity.scores)

    def take(self, everything: bool = False) -> list[tuple[Word, int | None]]:
        """Words whose steps, and some after, are decided (or all of them), each with its voice."""
        return [(word, self._voice(word)) for word in self._ready(everything)]

    def put_aside(self, everything: bool = False) -> None:
        """Keep the words that `take` would give until voices are others."""
        self._aside += self._ready(everything)

    def again(self) -> None:
        """Let those that were put aside wait once more."""
        self._waiting, self._aside = self._aside + self._waiting, []

    def peek(self, words: list[Word], undecided: Activity) -> list[tuple[Word, int | None]]:
        """Those that wait and `words`, with the voices they would get; nothing changes."""
        ahead = copy.copy(self)
        ahead.decide(undecided)
        return [(word, ahead._voice(word)) for word in [*self._waiting, *words]]

    def _ready(self, everything: bool) -> list[Word]:
        decided_s = (self._end - self.REACH_STEPS) * self._step_s
        ready = list(takewhile(lambda w: everything or w.end_s <= decided_s, self._waiting))
        self._waiting = self._waiting[len(ready) :]
        return ready

    def _voice(self, word: Word) -> int | None:
        origin = self._end - len(self._scores)
        first, last = round(word.start_s / self._step_s), round(word.end_s / self._step_s)
        for reach in (0, self.REACH_STEPS):
            low, high = max(first - reach - origin, 0), max(last + reach - origin, 0)
            total = self._scores[low:high].sum(0) if self._scores.size else np.zeros(0)
            if total.size and total.max() >= self._active:
                return int(total.argmax())
        return None


class MixtureWords:
    """Words of everybody at once; each belongs to the voice that is heard most."""

    def __init__(self, asr: AsrDecoder, voices: WordVoices) -> None:
        self._asr, self._voices = asr, voices

    def hear_mixture(self, latents: Array, end_s: float) -> None:
        """The next latents `[1, C, d]`; the end of the audio."""
        self._voices.add(self._asr.push(latents, end_s))

    def finish(self, end_s: float) -> None:
        """No more will be heard."""
        self._voices.add(self._asr.finish(end_s))

    def decide(self, activity: Activity) -> None:
        """Decided steps, which follow those before or start anew."""
        self._voices.decide(activity)

    def take(self, everything: bool = False) -> list[VoicedWord]:
        """Words whose steps, and some after, are decided (or all of them), each with its voice."""
        return self._voices.take(everything)

    def put_aside(self, everything: bool = False) -> None:
        """Keep the words that `take` would give."""
        self._voices.put_aside(everything)

    def again(self) -> None:
        """Let those that were put aside wait once more: voices are others now."""
        self._voices.again()

    def next_s(self, end_s: float) -> float:
        """No word that is still to come starts before this; the audio so far ends at `end_s`."""
        return min(self._voices.next_s, self._asr.next_s(end_s))

    def peek(self, undecided: Activity, end_s: float) -> list[VoicedWord]:
        """The words to come, as they look now; nothing changes."""
        return self._voices.peek(self._asr.peek(end_s), undecided)


def open_transcript(
    bundle: Bundle, graph: Callable[[str], GraphStream], language_model: bool
) -> MixtureWords:
    """A transcript of the mixture; `graph` gives a graph without state.

    `language_model`: whether to use that of the bundle, if it has one.
    """
    manifest = bundle.manifest
    step_s = manifest.streaming.step_samples / manifest.audio.sample_rate
    frame_s = step_s / manifest.asr.frames_per_step
    language = bundle.language if language_model else None
    output = "logprobs" if language is None else "phones"
    search = _search(bundle.tokens, language, manifest.decoding, frame_s)
    asr = AsrDecoder(graph("asr"), output, search, frame_s)
    return MixtureWords(asr, WordVoices(step_s, manifest.decoding["active_threshold"]))


def _search(
    tokens: tuple[str, ...],
    language: LanguageModel | None,
    decoding: Mapping[str, float],
    frame_s: float,
) -> Search:
    silence = round(SILENCE_S / frame_s)
    if language is None:
        return BestPath(tokens, silence)
    options = BeamOptions(decoding["language_weight"], decoding["word_bonus"])
    return BeamSearch(language, silence, round(LAG_S / frame_s), options)
