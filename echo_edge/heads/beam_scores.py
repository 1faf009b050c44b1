"""Prefixes of a beam search as the language model reads them: scores, and the words they spell."""

import math
from dataclasses import dataclass

from echo_edge.bundle.decoding import DecodingSpec
from echo_edge.bundle.language_model import BLANK, SPACE, START, LanguageModel
from echo_edge.heads.ctc import DecodedWord
from echo_edge.heads.prefix_tree import LmState, PrefixNode, words_of


@dataclass(frozen=True)
class LmScores:
    """Scores in nats: the language model's weighted log-probabilities, and a bonus per word."""

    language: LanguageModel
    decoding: DecodingSpec

    def root(self, previous_word: int) -> PrefixNode:
        """The empty prefix after `previous_word`, an index or START."""
        root = PrefixNode(None, 0, (0.0, 0.0, previous_word, 0, 0, self.language.size))
        root.blank = root.total = root.score = 0.0
        root.in_beam = True
        return root

    def complete(self, node: PrefixNode) -> LmState | None:
        """The state of a prefix whose word ends here; None if no word has these phones."""
        if not node.completed_known:
            node.completed_known = True
            word, logprob = self.last_word(node)
            committed = node.committed + self.decoding.language_weight * logprob
            committed += self.decoding.word_bonus
            if word != START:
                node.completed = committed, committed, word, 0, 0, self.language.size
        return node.completed

    def last_word(self, node: PrefixNode) -> tuple[int, float]:
        """Index and log-probability of the likeliest word of the phones at the end of a prefix;
        START if there is none."""
        if node.n_phones == 0:
            return START, 0.0
        low, high = self.language.narrow(node.low, node.high, node.n_phones, BLANK)
        if low == high:
            return START, self.decoding.unfinished_logprob
        score = self.language.score
        word = max(range(low, high), key=lambda word: score(node.previous_word, word))
        return word, score(node.previous_word, word)

    def final(self, node: PrefixNode) -> float:
        """Score of a prefix at which the audio ends, its last word complete."""
        weight = self.decoding.language_weight
        return node.total + node.committed + weight * self.last_word(node)[1]

    def words(self, last: PrefixNode) -> list[DecodedWord]:
        """The words of a prefix that ends here; one that is cut off is left out."""
        found = []
        for phones, space in words_of(last, SPACE):
            word = space.previous_word if space else self.last_word(last)[0]
            if word != START:
                found.append(self.decoded(phones, word))
        return found

    def decoded(self, phones: list[PrefixNode], word: int) -> DecodedWord:
        """A word of the vocabulary with the times and the confidence of its phones."""
        confidence = math.exp(sum(node.logprob for node in phones) / len(phones))
        text = self.language.spelling(word)
        return DecodedWord(text, phones[0].frame, phones[-1].end, confidence)
