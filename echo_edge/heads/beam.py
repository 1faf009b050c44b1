"""CTC prefix beam search over the sounds of a vocabulary: the likeliest words.

After Hannun et al., "First-pass large vocabulary continuous speech recognition using bi-directional
recurrent DNNs" (2014): one beam of spellings; a spelling's score is what the sounds say plus what
the language model says of its words. Pure Python over a few candidates per frame.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from math import exp, log1p
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.language_model import BLANK, SPACE, START, LanguageModel
from echo_edge.heads.ctc import Spelled
from echo_edge.heads.prefix_tree import (
    NEVER,
    Reading,
    Spelling,
    add_logs,
    descends,
    forget,
    lineage,
    take_apart,
    words_of,
)

Array = NDArray[np.float32]

HALF = math.log(0.5)

_score = attrgetter("score")

UNFINISHED = -20.0
"""Log-probability of the word that the end cuts off; nothing is written of it."""
SETTLE_FRAMES = 10
"""How often to look for words on which the spellings agree."""
LAG_S = 4.0
"""Older words become final whether or not they agree."""


@dataclass(frozen=True)
class BeamOptions:
    """How wide to search and how much to believe the language model."""

    weight: float = 1.1
    """Of the language model's log-probabilities beside those of the sounds."""
    word_bonus: float = -2.0
    """Nats per word: where sounds are rewarded (`training.priors`), words must be dear."""
    width: int = 64
    """Spellings kept per frame."""
    least_logprob: float = -6.0
    """Phones below this are not tried in a frame."""
    margin: float = 12.0
    """Spellings this many nats below the best are dropped."""
    doubt: float = 3.0
    """A word is final once no spelling within so many nats of the best has another."""


class BeamSearch:
    """Frames of log-posteriors in, words out, each once and for ever.

    A word is final once all likely spellings agree on it, `silence` frames without a sound
    follow, it is `lag` frames old, or the end comes.
    """

    def __init__(
        self,
        language: LanguageModel,
        silence: int,
        lag: int,
        options: BeamOptions | None = None,
    ) -> None:
        self._language = language
        self._silence, self._lag = silence, lag
        self._options = options or BeamOptions()
        self._frame = self._silent = 0
        self._root = self._empty(START)
        self._beam = [self._root]

    def _empty(self, previous_word: int) -> Spelling:
        """Nothing is spelled after `previous_word`."""
        text = (0.0, 0.0, previous_word, 0, 0, self._language.size)
        root = Spelling(None, 0, text)
        root.blank = root.total = root.score = 0.0
        root.kept = True
        return root

    @property
    def next_frame(self) -> int:
        """The earliest first sound of the spellings; it may become later, never earlier."""
        firsts = (node.frame for node in self._root.children.values())
        return min(firsts, default=self._frame)

    def push(self, logprobs: Array) -> Iterator[Spelled]:
        """Words that became final with one more frame `[phones]`."""
        said: list[float] = logprobs.tolist()
        self._extend(said)
        self._frame += 1
        self._silent = self._silent + 1 if said[0] > HALF else 0
        if self._silent == self._silence:
            yield from self.finish()
        elif self._frame % SETTLE_FRAMES == 0:
            while (word := self._settled()) is not None:
                yield word

    def _extend(self, said: list[float]) -> None:
        """Every spelling stays as it is or gains one of the frame's likely sounds."""
        least = self._options.least_logprob
        likely = [(token, said[token]) for token in range(SPACE, len(said)) if said[token] > least]
        entered = self._enter(likely, said) if likely else []
        self._stay(said)
        for node in entered:
            node.blank, node.sound, node.total = NEVER, node.entered, node.entered
            node.score, node.entered = node.total + node.language, NEVER
        self._prune(entered)

    def _enter(self, likely: Sequence[tuple[int, float]], said: list[float]) -> list[Spelling]:
        """Every way from a spelling of the beam into one with one more of the `likely` sounds;
        those of these that are not in the beam.
        """
        frame, bonus = self._frame, self._options.word_bonus
        blank, margin = said[0], self._options.margin
        # One more sound adds a word's bonus at most; what cannot get far enough is not tried.
        hopeless = self._beam[0].score + blank - margin - bonus
        # Nor is a spelling made below the `least` for which the frame's best leave room. `best` are
        # the scores of these so far, the least first; at first of spellings that stay as they are.
        best = []
        for node in self._beam:
            silent, again = node.total + blank, node.sound + said[node.token]
            best.append((silent if silent >= again else again) + node.language)
        least = max(best) - margin
        best += [NEVER] * (self._options.width - len(best))
        heapify(best)
        least = max(least, best[0])
        entered = []
        begin, weight = self._language.begin, self._options.weight
        for node in self._beam:
            total, language, children = node.total, node.language, node.children
            for token, logprob in likely:
                way = (node.blank if token == node.token else total) + logprob
                if way + language <= hopeless:
                    continue
                child = children.get(token)
                if child is None:
                    if token != SPACE:
                        if way + language < least:
                            continue
                        low, high, hope = begin(node.low, node.high, node.depth, token)
                        read = node.settled + weight * hope
                        score = way + read
                        if low == high or score < least:
                            continue
                        reading = (
                            read, node.settled, node.previous_word, node.depth + 1, low, high,
                        )  # fmt: skip
                    else:
                        whole = self._read(node) if way + node.settled + bonus >= least else None
                        if whole is None or way + whole[0] < least:
                            continue
                        reading, score = whole, way + whole[0]
                    heapreplace(best, score)
                    least = max(least, best[0], score - margin)
                    children[token] = child = Spelling(node, token, reading)
                child.entered = way
                if way > child.weight:
                    child.weight, child.logprob = way, logprob
                    child.frame, child.end = frame, frame + 1
                if not child.kept:
                    entered.append(child)
        return entered

    def _stay(self, said: list[float]) -> None:
        """One more frame for the beam's spellings, with a blank or their last sound."""
        frame, blank = self._frame, said[0]
        for node in self._beam:
            again = said[node.token]
            sound = node.sound + again
            if node.entered != NEVER:
                sound, node.entered = add_logs(sound, node.entered), NEVER
            if again > HALF and node.end == frame:
                node.end += 1
            node.blank = silent = node.total + blank
            node.sound = sound
            # add_logs(silent, sound), written out: it is half of what staying takes.
            if silent >= sound:
                total = silent if sound == NEVER else silent + log1p(exp(sound - silent))
            else:
                total = sound if silent == NEVER else sound + log1p(exp(silent - sound))
            node.total = total
            node.score = total + node.language

    def _prune(self, entered: list[Spelling]) -> None:
        """Take the step to the next frame with the best of the beam and of what was entered."""
        nodes = [*reversed(entered), *reversed(self._beam)]
        nodes.sort(key=_score, reverse=True)  # of equals the last that was entered comes first
        least = nodes[0].score - self._options.margin
        kept = [node for node in nodes[: self._options.width] if node.score >= least]
        for node in entered:
            node.kept = True
        for node in nodes[len(kept) :]:
            node.kept = False
            forget(node)
        self._beam = kept

    def _read(self, node: Spelling) -> Reading | None:
        """A spelling whose word ends here, as the language model reads it; None if no word is
        spelled so."""
        if not node.asked:
            node.asked = True
            word, score = self._score_word(node)
            settled = node.settled + self._options.weight * score + self._options.word_bonus
            if word != START:
                node.whole = settled, settled, word, 0, 0, self._language.size
        return node.whole

    def _score_word(self, node: Spelling) -> tuple[int, float]:
        """Index and log-probability of the likeliest word that sounds as what `node` ends; START
        if there is none."""
        if node.depth == 0:
            return START, 0.0
        low, high = self._language.narrow(node.low, node.high, node.depth, BLANK)
        if low == high:
            return START, UNFINISHED
        score = self._language.score
        word = max(range(low, high), key=lambda word: score(node.previous_word, word))
        return word, score(node.previous_word, word)

    def _settled(self) -> Spelled | None:
        """The first word, if all likely spellings agree on it or if it is old."""
        best = lineage(self._beam[0])
        end = next((i for i, node in enumerate(best) if node.token == SPACE), None)
        if end is None:
            return None
        root, least = best[end], self._beam[0].score - self._options.doubt
        is_old = self._frame - best[0].frame > self._lag
        agreeing = []
        for node in self._beam:
            if descends(node, root):
                agreeing.append(node)
            elif node.score >= least and not is_old:
                return None
        self._beam = agreeing
        word = self._spelled(best[:end], root.previous_word)
        best[end - 1].children.pop(SPACE)
        root.parent = None
        take_apart(self._root)
        self._root = root
        return word

    def peek(self) -> list[Spelled]:
        """The rest of the best spelling, as it looks now."""
        return self._words(self._best())

    def finish(self) -> Iterator[Spelled]:
        """The rest of the best spelling; the search starts anew after it."""
        best = self._best()
        yield from self._words(best)
        last = self._score_word(best)[0]
        take_apart(self._root)
        self._root = self._empty(best.previous_word if last == START else last)
        self._beam = [self._root]

    def _words(self, last: Spelling) -> list[Spelled]:
        """The words of a spelling that ends here; one that is cut off is left out."""
        found = []
        for letters, space in words_of(last, SPACE):
            word = space.previous_word if space else self._score_word(last)[0]
            if word != START:
                found.append(self._spelled(letters, word))
        return found

    def _best(self) -> Spelling:
        """The likeliest spelling if all ended here."""
        return max(self._beam, key=self._final_score)

    def _final_score(self, node: Spelling) -> float:
        """Score of a spelling that ends here, its last word complete."""
        return node.total + node.settled + self._options.weight * self._score_word(node)[1]

    def _spelled(self, letters: list[Spelling], word: int) -> Spelled:
        text = self._language.spelling(word)
        confidence = math.exp(sum(node.logprob for node in letters) / len(letters))
        return Spelled(text, letters[0].frame, letters[-1].end, confidence)
