"""CTC prefix beam search with a language model: the likeliest words, not the likeliest sounds.

After Hannun et al., "First-pass large vocabulary continuous speech recognition using bi-directional
recurrent DNNs" (2014): one beam of spellings; a spelling's score is what the sounds say plus what
the language model says of its words. Pure Python over a few candidates per frame.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echo_edge.heads.asr import Spelled
from echo_edge.language import START, LanguageModel, unknown

Array = NDArray[np.float32]

NEVER = -math.inf
HALF = math.log(0.5)

SETTLE_FRAMES = 10
"""How often to look for words on which the spellings agree."""
LAG_S = 4.0
"""Older words become final whether or not they agree."""


@dataclass(frozen=True)
class BeamOptions:
    """How wide to search and how much to believe the language model."""

    weight: float = 0.6
    """Of the language model's log-probabilities beside those of the sounds."""
    word_bonus: float = 0.3
    """Nats per word, against the model's liking for few long words."""
    width: int = 16
    """Spellings kept per frame."""
    least_logprob: float = -4.0
    """Characters below this are not tried in a frame."""
    margin: float = 7.0
    """Spellings this many nats below the best are dropped."""
    doubt: float = 3.0
    """A word is final once no spelling within so many nats of the best has another."""


class Spelling:
    """A node of the tree of spellings: one more character than its parent."""

    __slots__ = (
        "blank",
        "children",
        "depth",
        "end",
        "frame",
        "high",
        "language",
        "logprob",
        "low",
        "next_blank",
        "next_sound",
        "parent",
        "previous_word",
        "settled",
        "sound",
        "token",
        "weight",
    )

    def __init__(self, parent: "Spelling | None", token: int) -> None:
        self.parent = parent
        self.token = token
        self.children: dict[int, Spelling] = {}
        self.blank = self.next_blank = NEVER
        """Log-probability of all paths of this spelling that end in a blank."""
        self.sound = self.next_sound = NEVER
        """And of those that end in its last character."""
        self.weight = NEVER
        """The likeliest way in so far, at `frame`, where the character had `logprob`."""
        self.frame = self.end = 0
        self.logprob = 0.0
        self.low = self.high = self.depth = 0
        """The word begun: the vocabulary's words that begin like it, its letters so far."""
        self.previous_word = START
        self.settled = self.language = 0.0
        """Score of the complete words; with that of the word begun."""

    def enter(self, entered: float, frame: int, logprob: float) -> None:
        """One more way in, of log-probability `entered`; the likeliest gives the time."""
        self.next_sound = _add(self.next_sound, entered)
        if entered > self.weight:
            self.weight, self.frame, self.end, self.logprob = entered, frame, frame + 1, logprob

    def total(self) -> float:
        """Log-probability of all paths of this spelling."""
        return _add(self.blank, self.sound)

    def score(self) -> float:
        """What sounds and words say together."""
        return self.total() + self.language


def _add(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    if a < b:
        a, b = b, a
    return a if b == NEVER else a + math.log1p(math.exp(b - a))


class BeamSearch:
    """Frames of log-posteriors in, words out, each once and for ever.

    A word is final once all likely spellings agree on it, `silence` frames without a character
    follow, it is `lag` frames old, or the end comes.
    """

    def __init__(
        self,
        language: LanguageModel,
        tokens: tuple[str, ...],
        silence: int,
        lag: int,
        options: BeamOptions | None = None,
    ) -> None:
        self._language = language
        self._tokens = tokens
        self._space = tokens.index(" ")
        self._silence, self._lag = silence, lag
        self._options = options or BeamOptions()
        self._frame = self._silent = 0
        self._root = Spelling(None, 0)
        self._restart(START)

    def _restart(self, previous_word: int) -> None:
        """One empty spelling after `previous_word`."""
        _take_apart(self._root)
        self._root = root = Spelling(None, 0)
        root.high, root.previous_word, root.blank = self._language.size, previous_word, 0.0
        self._beam = [root]

    def push(self, logprobs: Array) -> Iterator[Spelled]:
        """Words that became final with one more frame `[tokens]`."""
        self._extend(logprobs)
        self._frame += 1
        self._silent = self._silent + 1 if logprobs[0] > HALF else 0
        if self._silent == self._silence:
            yield from self.finish()
        elif self._frame % SETTLE_FRAMES == 0:
            while (word := self._settled()) is not None:
                yield word

    def _extend(self, logprobs: Array) -> None:
        """Every spelling stays as it is or gains one of the frame's likely characters."""
        blank = float(logprobs[0])
        likely = np.flatnonzero(logprobs > self._options.least_logprob)
        candidates = [(int(token), float(logprobs[token])) for token in likely if token]
        touched = {id(node): node for node in self._beam}
        # One more character adds a word's bonus at most; what cannot get far enough is not tried.
        hopeless = self._beam[0].score() + blank - self._options.margin - self._options.word_bonus
        for node in self._beam:
            total = node.total()
            node.next_blank = _add(node.next_blank, total + blank)
            if node.token:
                again = float(logprobs[node.token])
                node.next_sound = _add(node.next_sound, node.sound + again)
                if again > HALF and node.end == self._frame:
                    node.end += 1
            for token, logprob in candidates:
                entered = (node.blank if token == node.token else total) + logprob
                promising = entered + node.language > hopeless
                child = self._child(node, token) if promising else None
                if child is not None:
                    touched[id(child)] = child
                    child.enter(entered, self._frame, logprob)
        self._prune(list(touched.values()))

    def _prune(self, nodes: list[Spelling]) -> None:
        """Take the step to the next frame with the best of all spellings that were touched."""
        for node in nodes:
            node.blank, node.next_blank = node.next_blank, NEVER
            node.sound, node.next_sound = node.next_sound, NEVER
        scored = sorted(((node.score(), i) for i, node in enumerate(nodes)), reverse=True)
        least = scored[0][0] - self._options.margin
        kept = [nodes[i] for score, i in scored[: self._options.width] if score >= least]
        alive = {id(node) for node in kept}
        for _, i in scored[len(kept) :]:
            _forget(nodes[i], alive)
        self._beam = kept

    def _child(self, node: Spelling, token: int) -> Spelling | None:
        """The spelling with one more character; None for a space where no word has begun."""
        child = node.children.get(token)
        if child is None and not (token == self._space and node.depth == 0):
            child = Spelling(node, token)
            if token == self._space:
                self._end_word(child, node)
            else:
                self._spell(child, node)
            node.children[token] = child
        return child

    def _spell(self, child: Spelling, node: Spelling) -> None:
        language, letter = self._language, ord(self._tokens[child.token])
        child.previous_word, child.settled = node.previous_word, node.settled
        child.depth = node.depth + 1
        child.low, child.high = language.narrow(node.low, node.high, node.depth, letter)
        hope = unknown(child.depth)
        if child.low < child.high:
            hope = max(hope, language.likeliest(child.low, child.high))
        child.language = child.settled + self._options.weight * hope

    def _end_word(self, child: Spelling, node: Spelling) -> None:
        word, score = self._score_word(node)
        child.previous_word, child.high = word, self._language.size
        child.settled = node.settled + self._options.weight * score + self._options.word_bonus
        child.language = child.settled

    def _score_word(self, node: Spelling) -> tuple[int, float]:
        """Index (START if unknown) and log-probability of the word that ends with `node`."""
        low, high = self._language.narrow(node.low, node.high, node.depth, 0)
        if low < high:
            return low, self._language.score(node.previous_word, low)
        return START, unknown(node.depth)

    def _settled(self) -> Spelled | None:
        """The first word, if all likely spellings agree on it or if it is old."""
        chains = [list(_lineage(node)) for node in self._beam]
        best = chains[0]
        end = next((i for i, node in enumerate(best) if node.token == self._space), None)
        if end is None:
            return None
        root = best[end]
        agrees = [len(chain) > end and chain[end] is root for chain in chains]
        least = self._beam[0].score() - self._options.doubt
        likely = [node.score() >= least for node in self._beam]
        doubted = any(not yes for yes, counts in zip(agrees, likely, strict=True) if counts)
        if doubted and self._frame - best[0].frame <= self._lag:
            return None
        self._beam = [node for node, yes in zip(self._beam, agrees, strict=True) if yes]
        word = self._spelled(best[:end])
        best[end - 1].children.pop(self._space)
        root.parent = None
        _take_apart(self._root)
        self._root = root
        return word

    def peek(self) -> list[Spelled]:
        """The rest of the best spelling, as it looks now."""
        return self._words(self._best())

    def finish(self) -> Iterator[Spelled]:
        """The rest of the best spelling; the search starts anew after it."""
        best = self._best()
        yield from self._words(best)
        self._restart(self._score_word(best)[0] if best.depth else best.previous_word)

    def _best(self) -> Spelling:
        """The likeliest spelling if all ended here."""
        return max(self._beam, key=self._final_score)

    def _words(self, last: Spelling) -> list[Spelled]:
        """The words of a spelling."""
        words: list[list[Spelling]] = [[]]
        for node in _lineage(last):
            if node.token == self._space:
                words.append([])
            else:
                words[-1].append(node)
        return [self._spelled(word) for word in words if word]

    def _final_score(self, node: Spelling) -> float:
        """Score of a spelling that ends here, its last word complete."""
        if node.depth == 0:
            return node.score()
        return node.total() + node.settled + self._options.weight * self._score_word(node)[1]

    def _spelled(self, letters: list[Spelling]) -> Spelled:
        text = "".join(self._tokens[node.token] for node in letters)
        confidence = math.exp(sum(node.logprob for node in letters) / len(letters))
        return Spelled(text, letters[0].frame, letters[-1].end, confidence)


def _lineage(node: Spelling) -> Iterator[Spelling]:
    """The characters of a spelling, first to last, without the root."""
    chain = []
    while node.parent is not None:
        chain.append(node)
        node = node.parent
    return reversed(chain)


def _take_apart(root: Spelling) -> None:
    """Cut all ties below `root`: parents and children hold each other, and would live on until the
    collector of cycles finds them, late and far apart in memory."""
    left = [root]
    while left:
        node = left.pop()
        left += node.children.values()
        node.children.clear()
        node.parent = None


def _forget(node: Spelling, alive: set[int]) -> None:
    """Cut a dropped spelling off the tree, unless a kept one descends from it."""
    while id(node) not in alive and not node.children and node.parent is not None:
        node.parent.children.pop(node.token, None)
        node = node.parent
