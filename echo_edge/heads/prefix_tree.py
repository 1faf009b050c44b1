"""The tree of prefixes that a beam search grows: each node is its parent and one more phone.

Knows nothing of what makes a prefix likely.
"""

import math
from collections.abc import Iterator
from math import exp, log1p

NEVER = -math.inf

LmState = tuple[float, float, int, int, int, int]
"""A prefix as the language model sees it: log-probability of its words with the look-ahead to the
one begun, log-probability of those that are complete, the last of these, phones of the word begun,
and the range of the vocabulary that begins with them."""


class PrefixNode:
    """A prefix: one more phone, or the space that completes a word, than its parent.

    Log-probabilities in nats. `p_b` and `p_nb` of Hannun et al. (2014) are `blank` and `nonblank`.
    """

    __slots__ = (
        "best_path",
        "blank",
        "children",
        "committed",
        "completed",
        "completed_known",
        "end",
        "frame",
        "high",
        "in_beam",
        "incoming",
        "lm_score",
        "logprob",
        "low",
        "n_phones",
        "nonblank",
        "parent",
        "previous_word",
        "score",
        "token",
        "total",
    )

    def __init__(self, parent: "PrefixNode | None", token: int, state: LmState) -> None:
        self.parent = parent
        self.token = token
        self.children: dict[int, PrefixNode] = {}
        self.blank = self.nonblank = self.total = NEVER
        """Log-probability of all paths of this prefix that end in a blank, of those that end in its
        last phone, and of both."""
        self.score = NEVER
        """`total` and `lm_score`: by this the beam is ordered."""
        self.incoming = NEVER
        """Log-probability of the paths that come from its parent in this frame."""
        self.completed_known = False
        """True once `completed` was looked up."""
        self.completed: LmState | None = None
        """With its word complete; None if there is no such word."""
        self.in_beam = False
        self.best_path = NEVER
        """Log-probability of the likeliest path in so far, at `frame`, where the phone had
        `logprob`."""
        self.frame = self.end = 0
        """First frame of the last phone, and the frame after it."""
        self.logprob = 0.0
        (
            self.lm_score,
            self.committed,
            self.previous_word,
            self.n_phones,
            self.low,
            self.high,
        ) = state


def add_logs(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    if a < b:
        a, b = b, a
    return a if b == NEVER else a + log1p(exp(b - a))


def lineage(node: PrefixNode) -> list[PrefixNode]:
    """The phones of a prefix, first to last, without the root."""
    chain = []
    while node.parent is not None:
        chain.append(node)
        node = node.parent
    chain.reverse()
    return chain


def descends(node: PrefixNode | None, ancestor: PrefixNode) -> bool:
    """True if a prefix is `ancestor` or begins with it."""
    while node is not None and node is not ancestor:
        node = node.parent
    return node is ancestor


def take_apart(root: PrefixNode) -> None:
    """Cut all ties below `root`: parents and children hold each other, and would live on until the
    collector of cycles finds them, late and far apart in memory."""
    left = [root]
    while left:
        node = left.pop()
        left += node.children.values()
        node.children.clear()
        node.parent = None


def forget(node: PrefixNode) -> None:
    """Cut a prefix that left the beam off the tree, unless one in the beam descends from it."""
    while not node.in_beam and not node.children and node.parent is not None:
        node.parent.children.pop(node.token, None)
        node = node.parent


def words_of(last: PrefixNode, space: int) -> Iterator[tuple[list[PrefixNode], PrefixNode | None]]:
    """The phones of each word of a prefix and the space after it; None after the last one."""
    phones: list[PrefixNode] = []
    for node in lineage(last):
        if node.token != space:
            phones.append(node)
        else:
            yield phones, node
            phones = []
    if phones:
        yield phones, None
