"""Words to lines of text: one speaker's words that belong together, whole as soon as they can be.

Words come in any pieces. What is given out, joined, does not depend on the pieces, and is in order.
"""

import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from echo_edge.result import Turn, Word

T = TypeVar("T")
Key = tuple[Any, ...]
Continues = Callable[[Sequence[Word], Word], bool]

CUE_CHARACTERS = 84  # two subtitle lines
CUE_S = 6.0
PAUSE_S = 0.8
OVERLAP_S = 0.05  # words of one row may share a frame


@dataclass(frozen=True)
class Line:
    """Consecutive words of one speaker, or a turn without words; times in seconds."""

    start_s: float
    end_s: float
    speaker: str | None
    text: str


class Ordered(Generic[T]):
    """Items that wait until nothing can come before them; `key` begins with a time in seconds."""

    def __init__(self, key: Callable[[T], Key]) -> None:
        self._key = key
        self._heap: list[tuple[Key, int, T]] = []
        self._n_added = 0

    def add(self, items: Iterable[T]) -> None:
        """Items to wait; of equal ones the first stays first."""
        for item in items:
            heapq.heappush(self._heap, (self._key(item), self._n_added, item))
            self._n_added += 1

    def take(self, before_s: float) -> list[T]:
        """The items before `before_s`, in order; all of them before infinity."""
        taken = []
        while self._heap and (self._heap[0][0][0] < before_s or before_s == math.inf):
            taken.append(heapq.heappop(self._heap)[2])
        return taken

    @property
    def waiting(self) -> list[T]:
        """The items that wait, in order."""
        return [item for *_, item in sorted(self._heap, key=lambda entry: entry[:2])]

    @property
    def first_s(self) -> float:
        """Time of the first item that waits; infinity if none does."""
        return self._heap[0][0][0] if self._heap else math.inf


def follows(group: Sequence[Word], word: Word) -> bool:
    """True if `word` goes on the line of these words: one speaker, no pause."""
    last = group[-1]
    return word.speaker == last.speaker and word.start_s - last.end_s <= PAUSE_S


def continues(group: Sequence[Word], word: Word) -> bool:
    """True if `word` goes into the cue of these words: as `follows`, and not too long to read."""
    n_characters = sum(len(each.text) + 1 for each in group) + len(word.text)
    return (
        follows(group, word)
        and n_characters <= CUE_CHARACTERS
        and word.end_s - group[0].start_s <= CUE_S
    )


@dataclass(eq=False)
class _Group:
    number: int
    words: list[Word]


class Lines:
    """Groups words, in order of their start, into lines.

    A line ends where its speaker's next word does not belong to it, or where somebody else begins a
    line after it. Where two speak at once each has a line, whatever the other says meanwhile.
    """

    def __init__(self, belongs: Continues) -> None:
        self._belongs = belongs
        self._open: dict[str | None, _Group] = {}
        self._n_groups = 0
        self._done: Ordered[_Group] = Ordered(lambda group: (group.words[0].start_s, group.number))

    def push(self, words: Iterable[Word], until_s: float) -> list[Line]:
        """The lines that are whole, by start; no word to come starts before `until_s`."""
        for word in words:
            self._add(word)
        for speaker, group in list(self._open.items()):
            if not until_s - group.words[-1].end_s <= PAUSE_S:  # also true of NaN
                self._close(speaker)
        return [_line(group.words) for group in self._done.take(min(until_s, self._first_open_s))]

    @property
    def first_s(self) -> float:
        """Start of the first line that is not out yet; infinity if there is none."""
        return min(self._done.first_s, self._first_open_s)

    @property
    def open_words(self) -> list[Word]:
        """Words of lines that are not whole."""
        return [word for group in self._open.values() for word in group.words]

    @property
    def _first_open_s(self) -> float:
        return min((group.words[0].start_s for group in self._open.values()), default=math.inf)

    def _add(self, word: Word) -> None:
        own = self._open.get(word.speaker)
        if own is not None and self._belongs(own.words, word):
            own.words.append(word)
            return
        for speaker, group in list(self._open.items()):
            if group is own or group.words[-1].end_s - word.start_s <= OVERLAP_S:
                self._close(speaker)
        self._open[word.speaker] = _Group(self._n_groups, [word])
        self._n_groups += 1

    def _close(self, speaker: str | None) -> None:
        self._done.add([self._open.pop(speaker)])


def _line(words: Sequence[Word]) -> Line:
    end_s = max(word.end_s for word in words)
    text = " ".join(word.text for word in words)
    return Line(words[0].start_s, end_s, words[0].speaker, " ".join(text.split()))


def turn_line(turn: Turn, text: str) -> Line:
    """A turn with `text` in the place of words."""
    return Line(turn.start_s, turn.end_s, turn.speaker, text)
