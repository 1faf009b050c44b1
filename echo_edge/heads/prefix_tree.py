"""The tree of spellings that a beam search grows: each node is its parent and one more sound.

Knows nothing of what makes a spelling likely.
"""

import math
from collections.abc import Iterator
from math import exp, log1p

NEVER = -math.inf

Reading = tuple[float, float, int, int, int, int]
"""What a spelling is to the language model: score of its words, score of those that are complete,
the last of these, phones of the word begun, and the range of the vocabulary that begins like it.
"""


class Spelling:
    """A node of the tree of spellings: one more sound than its parent."""

    __slots__ = (
        "asked",
        "blank",
        "children",
        "depth",
        "end",
        "entered",
        "frame",
        "high",
        "kept",
        "language",
        "logprob",
        "low",
        "parent",
        "previous_word",
        "score",
        "settled",
        "sound",
        "token",
        "total",
        "weight",
        "whole",
    )

    def __init__(self, parent: "Spelling | None", token: int, reading: Reading) -> None:
        self.parent = parent
        self.token = token
        self.children: dict[int, Spelling] = {}
        self.blank = self.sound = self.total = NEVER
        """Log-probability of all paths of this spelling that end in a blank, of those that end in
        its last sound, and of both."""
        self.score = NEVER
        """Of both, with what the language model says of its words."""
        self.entered = NEVER
        """Log-probability of the paths that come from its parent in this frame."""
        self.asked = False
        """Whether `whole` is known."""
        self.whole: Reading | None = None
        """With its word complete; None if there is no such word."""
        self.kept = False
        """Whether it is one of the beam's."""
        self.weight = NEVER
        """The likeliest way in so far, at `frame`, where the sound had `logprob`."""
        self.frame = self.end = 0
        self.logprob = 0.0
        (
            self.language,
            self.settled,
            self.previous_word,
            self.depth,
            self.low,
            self.high,
        ) = reading


def add_logs(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    if a < b:
        a, b = b, a
    return a if b == NEVER else a + log1p(exp(b - a))


def lineage(node: Spelling) -> list[Spelling]:
    """The sounds of a spelling, first to last, without the root."""
    chain = []
    while node.parent is not None:
        chain.append(node)
        node = node.parent
    chain.reverse()
    return chain


def descends(node: Spelling | None, ancestor: Spelling) -> bool:
    """Whether a spelling is, or goes on from, another."""
    while node is not None and node is not ancestor:
        node = node.parent
    return node is ancestor


def take_apart(root: Spelling) -> None:
    """Cut all ties below `root`: parents and children hold each other, and would live on until the
    collector of cycles finds them, late and far apart in memory."""
    left = [root]
    while left:
        node = left.pop()
        left += node.children.values()
        node.children.clear()
        node.parent = None


def forget(node: Spelling) -> None:
    """Cut a spelling that is not kept off the tree, unless a kept one descends from it."""
    while not node.kept and not node.children and node.parent is not None:
        node.parent.children.pop(node.token, None)
        node = node.parent


def words_of(last: Spelling, space: int) -> Iterator[tuple[list[Spelling], Spelling | None]]:
    """The sounds of each word of a spelling and the space after it; None after the last one."""
    sounds: list[Spelling] = []
    for node in lineage(last):
        if node.token != space:
            sounds.append(node)
        else:
            yield sounds, node
            sounds = []
    if sounds:
        yield sounds, None
