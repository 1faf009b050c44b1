"""What is said: words of the mixture, or of each separated voice on its own, and whose they are.

Knows voices, no labels. Words wait until the activity under them is decided.
"""

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.language_model import LanguageModel
from echo_edge.bundle.manifest import Manifest
from echo_edge.bundle.verify import Bundle
from echo_edge.engines.stateful import GraphStream
from echo_edge.heads.beam import LAG_S, BeamOptions, BeamSearch
from echo_edge.heads.clustering import NOBODY
from echo_edge.heads.ctc import SILENCE_S, AsrDecoder, BestPath, Search
from echo_edge.heads.diarization import Activity
from echo_edge.result import Word

Array = NDArray[np.float32]
Steps = NDArray[np.intp]
VoicedWord = tuple[Word, int | None]

QUIET = np.float32(1e-3)
"""A slot is silent in a chunk in which its power is 30 dB below the loudest ..."""
FADE = np.float32(0.99)
"""... of late; what remains of that per chunk: 3 dB are gone after half a minute."""


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

    def hear_sources(self, sources: Array, held: Sequence[int], end_s: float) -> None:
        """Nothing is done with these."""

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

    def join(self, groups: Sequence[int]) -> None:
        """Words that are put aside have no voice yet."""

    def next_s(self, end_s: float) -> float:
        """No word that is still to come starts before this; the audio so far ends at `end_s`."""
        return min(self._voices.next_s, self._asr.next_s(end_s))

    def peek(self, undecided: Activity, end_s: float) -> list[VoicedWord]:
        """The words to come, as they look now; nothing changes."""
        return self._voices.peek(self._asr.peek(end_s), undecided)


class Listener:
    """From a waveform to words, through graphs of its own; before it was silence."""

    def __init__(self, frontend: GraphStream, encoder: GraphStream, asr: AsrDecoder) -> None:
        self._frontend, self._encoder, self._asr = frontend, encoder, asr
        self.peek, self.finish, self.next_s = asr.peek, asr.finish, asr.next_s

    def push(self, pcm: Array, end_s: float) -> list[Word]:
        """Words completed by one more chunk `[samples]`; nothing ends after `end_s`."""
        features = self._frontend.run(pcm=pcm[None])["features"]
        return self._asr.push(self._encoder.run(features=features)["latents_asr"], end_s)


class Holders:
    """Whom a slot held when. Whom it held first was heard in it before being known."""

    def __init__(self) -> None:
        self._since: list[int] = []
        self._voices: list[int] = []

    def add(self, step: int, voice: int) -> None:
        """From `step` on the slot holds `voice`; if `NOBODY`, still whom it held before."""
        if voice != NOBODY and self._voices[-1:] != [voice]:
            self._since.append(step)
            self._voices.append(voice)

    def at(self, steps: Steps) -> Steps:
        """The voice at each of these steps, which ascend."""
        if not self._voices:
            return np.full(len(steps), NOBODY)
        rows = np.searchsorted(self._since, steps, side="right") - 1
        return np.array(self._voices)[np.maximum(rows, 0)]

    def forget(self, step: int) -> None:
        """What was before `step` will not be asked for."""
        n_gone = max(int(np.searchsorted(self._since, step, side="right")) - 1, 0)
        del self._since[:n_gone], self._voices[:n_gone]

    def join(self, groups: Sequence[int]) -> None:
        """Voices of one group are one voice, numbered as the group is."""
        self._voices = [groups[voice] for voice in self._voices]


class _Slot:
    """What one slot says, piece by piece of speech, and who can have said it."""

    def __init__(self, voices: WordVoices) -> None:
        self.voices, self.holders = voices, Holders()
        self._listener: Listener | None = None

    def hear(self, pcm: Array, end_s: float, begin: Callable[[], Listener] | None) -> None:
        """One chunk `[samples]`; `begin` makes a listener unless the chunk is silent."""
        if begin is not None:
            self._listener = self._listener or begin()
        if self._listener is None:
            return
        self.voices.add(self._listener.push(pcm, end_s))
        if begin is None:  # a transcriber lags: the silence after a word completes it
            self.finish(end_s)

    def finish(self, end_s: float) -> None:
        """The piece of speech is over."""
        if self._listener is not None:
            self.voices.add(self._listener.finish(end_s))
        self._listener = None

    def next_s(self, start_s: float, end_s: float) -> float:
        """No word that is still to come starts before this; the next chunk begins at `start_s`."""
        heard_s = start_s if self._listener is None else self._listener.next_s(end_s)
        return min(self.voices.next_s, heard_s)

    def peek(self, end_s: float) -> list[Word]:
        """Words that are not final."""
        return self._listener.peek(end_s) if self._listener is not None else []


class SourceWords:
    """Words of each separated voice on its own: of what is said at once, everybody's.

    A word that a slot says belongs to the voice which the slot held then, or to one that no slot
    held, whichever is heard more; if neither is active, it is dropped. Each piece of speech is
    listened to from silence on, and silence is not listened to: the cost depends on how many speak
    at once, not on how many slots there are, and memory on neither.
    """

    def __init__(
        self,
        manifest: Manifest,
        begin: Callable[[float], Listener],
        active: float,
        keep: bool,
    ) -> None:
        """`begin` makes a listener of audio from a time on, in seconds; a voice is `active` from
        that score on; who held a slot is forgotten unless it is to `keep`, for `again`."""
        audio, streaming = manifest.audio, manifest.streaming
        self._chunk, self._chunk_steps = audio.chunk_samples, streaming.chunk_steps
        self._chunk_s = audio.chunk_samples / audio.sample_rate
        self._step_s = streaming.step_samples / audio.sample_rate
        self._delay_s = manifest.separation.overlap_samples / audio.sample_rate
        self._begin, self._keep = begin, keep
        self._slots = [
            _Slot(WordVoices(self._step_s, active)) for _ in range(manifest.separation.max_sources)
        ]
        self._n_chunks = 0
        self._loudest = np.float32(0.0)

    def hear_mixture(self, latents: Array, end_s: float) -> None:
        """Nothing is done with these."""

    def hear_sources(self, sources: Array, held: Sequence[int], end_s: float) -> None:
        """The next separated waveforms `[K, samples]`, a chunk or, at first, less; the voice that
        each slot holds; the end of the audio."""
        sources = np.pad(sources, ((0, 0), (self._chunk - sources.shape[1], 0)))
        power = np.square(sources).mean(axis=1)
        self._loudest = max(FADE * self._loudest, power.max())
        start_s = self._n_chunks * self._chunk_s - self._delay_s
        for n, slot in enumerate(self._slots):
            slot.holders.add(self._n_chunks * self._chunk_steps, held[n])
            loud = power[n] > QUIET * self._loudest
            slot.hear(sources[n], end_s, partial(self._begin, start_s) if loud else None)
        self._n_chunks += 1

    def finish(self, end_s: float) -> None:
        """No more will be heard."""
        for slot in self._slots:
            slot.finish(end_s)

    def decide(self, activity: Activity) -> None:
        """Decided steps, which follow those before or start anew."""
        for slot, own in zip(self._slots, self._own(activity), strict=True):
            slot.voices.decide(own)
            if not self._keep:
                slot.holders.forget(activity.first_step + len(activity.scores))

    def take(self, everything: bool = False) -> list[VoicedWord]:
        """Words whose steps, and some after, are decided (or all of them), by start; each has a
        voice."""
        taken = [voiced for slot in self._slots for voiced in slot.voices.take(everything)]
        return _by_start((word, voice) for word, voice in taken if voice is not None)

    def put_aside(self, everything: bool = False) -> None:
        """Keep the words that `take` would give."""
        for slot in self._slots:
            slot.voices.put_aside(everything)

    def again(self) -> None:
        """Let those that were put aside wait once more: voices are others now."""
        for slot in self._slots:
            slot.voices.again()

    def join(self, groups: Sequence[int]) -> None:
        """Voices of one group are one voice, numbered as the group is."""
        for slot in self._slots:
            slot.holders.join(groups)

    def next_s(self, end_s: float) -> float:
        """No word that is still to come starts before this; the audio so far ends at `end_s`."""
        start_s = min(max(self._n_chunks * self._chunk_s - self._delay_s, 0.0), end_s)
        return min(slot.next_s(start_s, end_s) for slot in self._slots)

    def peek(self, undecided: Activity, end_s: float) -> list[VoicedWord]:
        """The words to come, as they look now, the latest without a voice; nothing changes."""
        ahead: list[VoicedWord] = []
        for slot, own in zip(self._slots, self._own(undecided), strict=True):
            ahead += slot.voices.peek(slot.peek(end_s), own)
        known_s = (undecided.first_step + len(undecided.scores)) * self._step_s
        return _by_start((w, voice) for w, voice in ahead if voice is not None or w.end_s > known_s)

    def _own(self, activity: Activity) -> list[Activity]:
        """For each slot, the activity of voices that it can hold: its own, and those in no slot."""
        first, scores = activity.first_step, activity.scores
        steps = np.arange(first, first + len(scores))
        holders = np.stack([slot.holders.at(steps) for slot in self._slots])
        held = holders[:, :, None] == np.arange(scores.shape[1])
        return [Activity(first, scores * own) for own in held | ~held.any(axis=0)]


def _by_start(words: Iterable[VoicedWord]) -> list[VoicedWord]:
    return sorted(words, key=lambda voiced: voiced[0].start_s)


def open_transcript(
    bundle: Bundle,
    graph: Callable[[str], GraphStream],
    language_model: bool,
    of_sources: bool,
    keep: bool,
) -> MixtureWords | SourceWords:
    """A transcript of the mixture or of each of its sources; `graph` gives a graph without state.

    `language_model`: whether to use that of the bundle, if it has one; `keep`: whether words are to
    be put aside and voices to be joined.
    """
    manifest = bundle.manifest
    step_s = manifest.streaming.step_samples / manifest.audio.sample_rate
    frame_s = step_s / manifest.asr.frames_per_step
    language = bundle.language if language_model else None
    output = "logprobs" if language is None else "phones"
    active = manifest.decoding["active_threshold"]

    def asr(start_s: float = 0.0) -> AsrDecoder:
        search = _search(bundle.tokens, language, manifest.decoding, frame_s)
        return AsrDecoder(graph("asr"), output, search, frame_s, start_s)

    def listener(start_s: float) -> Listener:
        return Listener(graph("frontend"), graph("encoder"), asr(start_s))

    if of_sources:
        return SourceWords(manifest, listener, active, keep)
    return MixtureWords(asr(), WordVoices(step_s, active))


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
