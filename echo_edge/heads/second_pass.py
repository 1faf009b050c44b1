"""Words in two passes: CTC while people speak, an attention decoder when a stretch of speech ends
(U2, Zhang et al., 2020, arXiv 2012.05481).

The first pass is live text and clock; its words are tentative until the second has read the stretch
again. What the second writes is aligned to the first's posteriors, which date every word. A text
that these find far less likely than the first pass's own is not taken.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.decoding import DecodingSpec
from echo_edge.bundle.verify import Bundle
from echo_edge.engines.stateful import GraphStream
from echo_edge.frontend import Chunk
from echo_edge.heads.alignment import align
from echo_edge.heads.asr import AsrDecoder, open_asr
from echo_edge.heads.text_decoder import TextDecoder, TextWord
from echo_edge.result import Word

Array = NDArray[np.float32]


class Span(NamedTuple):
    """Steps of a stretch, end exclusive, and how many of the waiting words lie in it."""

    start: int
    end: int
    n_words: int


class SecondPass:
    """A transcriber around a transcriber: `push`, `peek` and `finish` as of `AsrDecoder`.

    A stretch without a word of the first pass is never read, so silence stays silent.
    """

    def __init__(
        self,
        first: AsrDecoder,
        decoder: TextDecoder,
        speech: Callable[[], tuple[int, Array]],
        tokens: Sequence[str],
        step_s: float,
        decoding: DecodingSpec,
    ) -> None:
        """`speech` gives the newest posteriors that somebody speaks, of some steps up to now, and
        the first of these steps; `tokens` are the characters of the asr graph."""
        self._first, self._decoder = first, decoder
        self._min_speech = decoding.second_pass_min_speech
        self._max_loss = decoding.second_pass_max_loss
        self._speech, self._step_s = speech, step_s
        self._characters = {text: i for i, text in enumerate(tokens)}
        self._pause = round(decoding.second_pass_pause_s / step_s)
        self._lead = round(decoding.second_pass_lead_s / step_s)
        self._tail = round(decoding.second_pass_tail_s / step_s)
        self._latents, self._logprobs = np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32)
        self._active = np.zeros(0, bool)
        """Whether somebody speaks at each step of `_latents` that is known."""
        self._origin = 0
        """Step of the first row of `_latents`."""
        self._words: list[Word] = []
        """Of the first pass, not yet read again."""
        self._end_s = 0.0
        """Of the last word given out."""

    def push(self, chunk: Chunk) -> list[Word]:
        """Words that are final with this chunk."""
        self._words += self._first.push(chunk)
        self._remember(chunk.latents[0], self._first.logprobs)
        found = self._read_all(self._origin + len(self._active) - self._pause)
        self._forget()
        return found

    @property
    def next_s(self) -> float:
        """No word that is still to come begins before this."""
        waiting_s = self._words[0].start_s if self._words else math.inf
        first = self._stretch(min(waiting_s, self._first.next_s)).start - self._lead
        return max(self._end_s, first * self._step_s)

    def peek(self) -> list[Word]:
        """The first pass's words that are not final."""
        return [*self._words, *self._first.peek()]

    def finish(self) -> list[Word]:
        """The words that are left when the audio ends."""
        self._words += self._first.finish()
        self._update_speech()
        return self._read_all(self._origin + len(self._latents), over=True)

    def _read_all(self, until: int, over: bool = False) -> list[Word]:
        """Read every stretch that ends before the step `until`, and what is too long to wait."""
        found: list[Word] = []
        while self._words:
            span = self._stretch(self._words[0].start_s)
            ended = span.end <= until and self._first.next_s >= span.end * self._step_s
            if span.end - span.start > self._max_steps:
                span = self._cut(span)
            elif not (ended or over):
                break
            found += self._read(span)
        return found

    def _stretch(self, at_s: float) -> Span:
        """The stretch of speech around a time, as far as it is known; words count as speech."""
        times = [(word.start_s, word.end_s) for word in self._words]
        if self._first.next_s < self._first.heard_s:  # a word that is not complete
            times.append((self._first.next_s, self._first.next_s + self._step_s))
        at = max(int(at_s / self._step_s) - self._origin, 0)
        n_steps = max(len(self._latents), at + 1)
        active = np.pad(self._active, (0, n_steps - len(self._active)))
        active[at] = True
        for start_s, end_s in times:
            first = max(int(start_s / self._step_s) - self._origin, 0)
            active[first : max(round(end_s / self._step_s) - self._origin, 0)] = True
        steps = np.flatnonzero(active)
        pauses = np.flatnonzero(np.diff(steps) > self._pause)
        index = int(np.searchsorted(steps[pauses], at))
        low = steps[pauses[index - 1] + 1] if index else steps[0]
        high = steps[pauses[index]] if index < len(pauses) else steps[-1]
        # However long somebody speaks, or something is taken for speech, memory is bounded.
        low = max(int(low), at - self._max_steps // 2)
        start, end = self._origin + low, self._origin + int(high) + 1
        n_words = sum(word.start_s < end * self._step_s for word in self._words)
        return Span(start, end, n_words)

    @property
    def _max_steps(self) -> int:
        return max(self._decoder.max_steps - self._lead - self._tail, 1)

    def _cut(self, span: Span) -> Span:
        """As much of a long stretch as can be read: up to the widest gap in its second half."""
        words = self._words[: span.n_words]
        starts = [round(word.start_s / self._step_s) for word in words]
        start = max(span.start, starts[0] - self._max_steps // 2)
        gaps = [
            (after.start_s - word.end_s, i, round(after.start_s / self._step_s))
            for i, (word, after) in enumerate(pairwise(words), 1)
            if start + self._max_steps // 2 <= starts[i] <= start + self._max_steps
        ]
        if gaps:
            _, n_words, end = max(gaps)
            return Span(start, end, n_words)
        n_words = sum(first < start + self._max_steps for first in starts)
        return Span(start, min(start + self._max_steps, span.end), max(n_words, 1))

    def _read(self, span: Span) -> list[Word]:
        """The words of a stretch, as the second pass reads them where it can."""
        words, self._words = self._words[: span.n_words], self._words[span.n_words :]
        first = max(span.start - self._lead, round(self._end_s / self._step_s), self._origin)
        last = min(span.end + self._tail, first + self._decoder.max_steps)
        if self._words:
            last = min(last, round(self._words[0].start_s / self._step_s))
        low, high = first - self._origin, last - self._origin
        per_step = len(self._logprobs) // max(1, len(self._latents))
        logprobs = self._logprobs[low * per_step : high * per_step]
        text = self._decoder.read(self._latents[low:high]) if len(logprobs) else None
        again = self._dated(text, words, logprobs, first) if text else None
        found = again or words
        self._end_s = max(self._end_s, found[-1].end_s)
        return found

    def _dated(
        self, text: list[TextWord], words: list[Word], logprobs: Array, first_step: int
    ) -> list[Word] | None:
        """The second text with the times of its characters; None if it is not to be taken."""
        space = self._characters[" "]
        word_tokens = [self._tokenize(word.text) for word in text]
        own_tokens = _joined([self._tokenize(word.text) for word in words], space)
        tokens = _joined(word_tokens, space)
        found, own = align(logprobs, tokens), align(logprobs, own_tokens)
        if found is None:
            return None
        lost = own.logprob - found.logprob if own else 0.0
        if lost > self._max_loss * max(len(tokens), len(own_tokens)):
            return None
        frame_s = self._step_s * len(self._latents) / len(self._logprobs)
        spans = _word_spans(word_tokens, found.spans, len(logprobs))
        start_s, end_s = first_step * self._step_s, self._first.end_s
        return [
            Word(
                min(start_s + first * frame_s, end_s), min(start_s + end * frame_s, end_s),
                word.text, None, word.confidence,
            )
            for word, (first, end) in zip(text, spans, strict=True)
        ]  # fmt: skip

    def _tokenize(self, text: str) -> list[int]:
        return [self._characters[c] for c in text.lower() if c in self._characters]

    def _remember(self, latents: Array, logprobs: Array) -> None:
        """Rows of one chunk behind those that are there."""
        if len(self._latents):
            latents = np.concatenate([self._latents, latents])
            logprobs = np.concatenate([self._logprobs, logprobs])
        self._latents, self._logprobs = latents, logprobs
        self._update_speech()

    def _update_speech(self) -> None:
        """Take over the newest posteriors, which may change what was known."""
        first, posteriors = self._speech()
        n_known = min(max(first + len(posteriors) - self._origin, 0), len(self._latents))
        active = np.pad(self._active, (0, max(0, n_known - len(self._active))))
        low = max(first - self._origin, 0)
        new = posteriors[low + self._origin - first :][: n_known - low]
        active[low : low + len(new)] = new >= self._min_speech
        self._active = active

    def _forget(self) -> None:
        """Drop the rows before the next word."""
        n_rows = min(int(self.next_s / self._step_s) - self._origin, len(self._latents) - 1)
        if n_rows > 0:
            per_step = len(self._logprobs) // len(self._latents)
            self._latents = self._latents[n_rows:]
            self._logprobs = self._logprobs[n_rows * per_step :]
            self._active = self._active[n_rows:]
            self._origin += n_rows


def _joined(words: Sequence[Sequence[int]], space: int) -> list[int]:
    """Characters of the words that have any, a space between them."""
    joined: list[int] = []
    for word in words:
        if word:
            joined += [space, *word] if joined else word
    return joined


def _word_spans(
    word_tokens: Sequence[Sequence[int]], spans: Sequence[tuple[int, int]], n_frames: int
) -> list[tuple[int, int]]:
    """First frame of each word and the one after its last. A word that has no letters, as a number,
    lies between its neighbours."""
    left, found = list(spans), []
    for characters in word_tokens:
        own, left = left[: len(characters)], left[len(characters) + 1 :] if characters else left
        found.append((own[0][0], own[-1][1] + 1) if own else None)
    ends = [0]
    for span in found:
        ends.append(span[1] if span else ends[-1])
    starts = [n_frames]
    for span in reversed(found):
        starts.append(span[0] if span else starts[-1])
    between = zip(ends[:-1], starts[-2::-1], strict=True)
    return [span or gap for span, gap in zip(found, between, strict=True)]


def open_words(
    bundle: Bundle,
    graph: Callable[[str], GraphStream],
    language_model: bool,
    speech: Callable[[], tuple[int, Array]],
) -> AsrDecoder | SecondPass:
    """The transcriber of a bundle, with a second pass if it has one; otherwise as `open_asr`."""
    first, manifest = open_asr(bundle, graph, language_model), bundle.manifest
    spec = manifest.asr.second_pass
    if spec is None:
        return first
    step_s = manifest.streaming.step_samples / manifest.audio.sample_rate
    decoder = TextDecoder(graph, manifest.graphs, spec, bundle.subwords)
    return SecondPass(first, decoder, speech, bundle.tokens, step_s, manifest.decoding)
