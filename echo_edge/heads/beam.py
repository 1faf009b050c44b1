"""CTC prefix beam search over the phones of a vocabulary: the likeliest words.

After Hannun et al., "First-pass large vocabulary continuous speech recognition using bi-directional
recurrent DNNs" (2014): one beam of prefixes; a prefix's score is what the phones say plus what
the language model says of its words. Pure Python over a few candidates per frame.
"""

import math
from collections.abc import Iterator, Sequence
from heapq import heapify, heapreplace
from math import exp, log1p
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.decoding import DecodingSpec
from echo_edge.bundle.language_model import SPACE, START, LanguageModel
from echo_edge.heads.beam_scores import LmScores
from echo_edge.heads.ctc import DecodedWord
from echo_edge.heads.prefix_tree import (
    NEVER,
    PrefixNode,
    add_logs,
    descends,
    forget,
    lineage,
    take_apart,
)

Array = NDArray[np.float32]
Phone = tuple[int, float]
"""Index and log-probability in a frame."""

_score = attrgetter("score")


class BeamSearch:
    """Frames of log-posteriors in, words out, each once and for ever.

    A word is final once all likely prefixes agree on it, silence follows, it is too old, or the end
    comes.
    """

    def __init__(self, language: LanguageModel, decoding: DecodingSpec, frame_s: float) -> None:
        """A frame is `frame_s` long, seconds."""
        self._language, self._decoding = language, decoding
        self._silence = round(decoding.word_silence_s / frame_s)
        self._lag = round(decoding.word_lag_s / frame_s)
        self._likely = math.log(decoding.frame_posterior)
        self._scores = LmScores(language, decoding)
        self._frame = self._n_silent = 0
        self._root = self._scores.root(START)
        self._beam = [self._root]

    @property
    def next_frame(self) -> int:
        """The earliest first phone of the prefixes; it may become later, never earlier."""
        firsts = (node.frame for node in self._root.children.values())
        return min(firsts, default=self._frame)

    def push(self, logprobs: Array) -> Iterator[DecodedWord]:
        """Words that became final with one more frame `[phones]`."""
        frame: list[float] = logprobs.tolist()
        self._extend(frame)
        self._frame += 1
        self._n_silent = self._n_silent + 1 if frame[0] > self._likely else 0
        if self._n_silent == self._silence:
            yield from self.finish()
        elif self._frame % self._decoding.commit_frames == 0:
            while (word := self._commit()) is not None:
                yield word

    def peek(self) -> list[DecodedWord]:
        """The words of the best prefix, as it looks now."""
        return self._scores.words(self._best())

    def finish(self) -> Iterator[DecodedWord]:
        """The words of the best prefix; the search starts anew after it."""
        best = self._best()
        yield from self._scores.words(best)
        last = self._scores.last_word(best)[0]
        take_apart(self._root)
        self._root = self._scores.root(best.previous_word if last == START else last)
        self._beam = [self._root]

    def _best(self) -> PrefixNode:
        """The likeliest prefix if the audio ended here."""
        return max(self._beam, key=self._scores.final)

    def _extend(self, logprobs: list[float]) -> None:
        """One frame: every prefix stays as it is or gains one of the frame's likely phones."""
        min_logprob = self._decoding.min_phone_logprob
        tokens = range(SPACE, len(logprobs))
        likely = [(token, logprobs[token]) for token in tokens if logprobs[token] > min_logprob]
        entered = self._enter(likely, logprobs) if likely else []
        self._stay(logprobs)
        for node in entered:
            node.blank, node.nonblank, node.total = NEVER, node.incoming, node.incoming
            node.score, node.incoming = node.total + node.lm_score, NEVER
        self._prune(entered)

    def _bounds(self, logprobs: list[float]) -> tuple[float, list[float]]:
        """Score below which no new prefix can stay in the beam, and the heap of the `width` best
        scores so far: those of the beam's prefixes if they stay as they are."""
        blank = logprobs[0]
        stay: list[float] = []
        for node in self._beam:
            silent, again = node.total + blank, node.nonblank + logprobs[node.token]
            stay.append((silent if silent >= again else again) + node.lm_score)
        floor = max(stay) - self._decoding.beam_margin
        stay += [NEVER] * (self._decoding.beam_width - len(stay))
        heapify(stay)
        return max(floor, stay[0]), stay

    def _enter(self, likely: Sequence[Phone], logprobs: list[float]) -> list[PrefixNode]:
        """Extend each prefix by each likely phone (Hannun 2014, inner loop).

        Returns the prefixes that are new to the beam.
        """
        frame, margin, bonus = self._frame, self._decoding.beam_margin, self._decoding.word_bonus
        weight, lookahead = self._decoding.language_weight, self._language.begin
        floor, best = self._bounds(logprobs)
        # One more phone adds a word's bonus at most; what cannot get far enough is not tried.
        hopeless = self._beam[0].score + logprobs[0] - margin - bonus
        entered = []
        for node in self._beam:
            total, lm_score, committed = node.total, node.lm_score, node.committed
            children = node.children
            for token, logprob in likely:
                # 1. Paths into the longer prefix; the same phone again counts only after a blank.
                incoming = (node.blank if token == node.token else total) + logprob
                if incoming + lm_score <= hopeless:
                    continue
                child = children.get(token)
                if child is None:
                    # 2. A phone narrows the range of words, a space completes one; neither enters
                    #    below the beam.
                    if token != SPACE:
                        if incoming + lm_score < floor:
                            continue
                        low, high, hope = lookahead(node.low, node.high, node.n_phones, token)
                        lm = committed + weight * hope
                        score = incoming + lm
                        if low == high or score < floor:
                            continue
                        state = (lm, committed, node.previous_word, node.n_phones + 1, low, high)
                    else:
                        fits = incoming + committed + bonus >= floor
                        completed = self._scores.complete(node) if fits else None
                        if completed is None or incoming + completed[0] < floor:
                            continue
                        state, score = completed, incoming + completed[0]
                    # 3. It takes a place of the beam, whose lowest score goes up.
                    heapreplace(best, score)
                    floor = max(floor, best[0], score - margin)
                    children[token] = child = PrefixNode(node, token, state)
                # 4. The likeliest path dates the phone.
                child.incoming = incoming
                if incoming > child.best_path:
                    child.best_path, child.logprob = incoming, logprob
                    child.frame, child.end = frame, frame + 1
                if not child.in_beam:
                    entered.append(child)
        return entered

    def _stay(self, logprobs: list[float]) -> None:
        """One more frame for the beam's prefixes, with a blank or their last phone again."""
        frame, blank, likely = self._frame, logprobs[0], self._likely
        for node in self._beam:
            # 1. Paths that end in the last phone: it goes on, or it comes from the parent.
            again = logprobs[node.token]
            nonblank = node.nonblank + again
            if node.incoming != NEVER:
                nonblank, node.incoming = add_logs(nonblank, node.incoming), NEVER
            if again > likely and node.end == frame:
                node.end += 1
            # 2. Paths that end in a blank.
            node.blank = silent = node.total + blank
            node.nonblank = nonblank
            # 3. Both: add_logs(silent, nonblank), written out: it is half of what staying takes.
            if silent >= nonblank:
                total = silent if nonblank == NEVER else silent + log1p(exp(nonblank - silent))
            else:
                total = nonblank if silent == NEVER else nonblank + log1p(exp(silent - nonblank))
            node.total = total
            node.score = total + node.lm_score

    def _prune(self, entered: list[PrefixNode]) -> None:
        """Take the best of the beam and of what was entered into the next frame."""
        nodes = [*reversed(entered), *reversed(self._beam)]
        nodes.sort(key=_score, reverse=True)  # of equals the last that was entered comes first
        min_score = nodes[0].score - self._decoding.beam_margin
        beam = [node for node in nodes[: self._decoding.beam_width] if node.score >= min_score]
        for node in entered:
            node.in_beam = True
        for node in nodes[len(beam) :]:
            node.in_beam = False
            forget(node)
        self._beam = beam

    def _commit(self) -> DecodedWord | None:
        """The first word, out of the tree, if all likely prefixes agree on it or if it is old."""
        # 1. The first word of the best prefix, up to its space.
        best = lineage(self._beam[0])
        end = next((i for i, node in enumerate(best) if node.token == SPACE), None)
        if end is None:
            return None
        # 2. No prefix within the margin may have another; those that do fall out of the beam.
        root, min_score = best[end], self._beam[0].score - self._decoding.stability_margin
        is_old = self._frame - best[0].frame > self._lag
        agreeing = []
        for node in self._beam:
            if descends(node, root):
                agreeing.append(node)
            elif node.score >= min_score and not is_old:
                return None
        self._beam = agreeing
        # 3. The space becomes the root: all before it is final.
        word = self._scores.decoded(best[:end], root.previous_word)
        best[end - 1].children.pop(SPACE)
        root.parent = None
        take_apart(self._root)
        self._root = root
        return word
