"""Text forms of a result that grows: what is pushed comes out as soon as it is final.

What `push` and at last `finish` give, joined, is the text of the whole result, however it is cut
into parts: `formats.render` is one push and a finish. Where `names` of a later part differ, lines
that are out keep what was known then.
"""

import math
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Mapping
from operator import itemgetter

from echo_edge.result import END, Horizon, Result, Turn, Word
from echo_edge.writers.captions import Line, Lines, Ordered, continues, follows, turn_line

UNKNOWN_SPEAKER = "?"

Names = Mapping[str, str]


def by_start(item: Turn | Word) -> tuple[float, float, str]:
    """Order of turns and words."""
    return item.start_s, item.end_s, item.speaker if isinstance(item, Turn) else ""


class Text(ABC):
    """One text form of one result."""

    def __init__(self) -> None:
        self._names: Names = {}

    def push(self, part: Result) -> str:
        """The text that became final with `part`, which follows those before."""
        self._names = part.names
        return self._push(part, part.horizon)

    def finish(self) -> str:
        """The text that is left."""
        return self._push(Result(), END) + self._end()

    @property
    def waiting(self) -> list[Word]:
        """Words by start that are final, but whose line is not whole yet."""
        return []

    @abstractmethod
    def _push(self, part: Result, horizon: Horizon) -> str:
        """Take in turns and words; nothing to come lies before `horizon`."""

    def _end(self) -> str:
        """Text that can be written only once it is known that nothing comes."""
        return ""

    def _shown(self, speaker: str | None) -> str:
        """The speaker as people read it: the name or, where there is none, the label."""
        if speaker is None:
            return UNKNOWN_SPEAKER
        return " ".join(self._names.get(speaker, speaker).split())


class RttmText(Text):
    """NIST RTTM: one `SPEAKER` line per turn, by start."""

    def __init__(self, uri: str) -> None:
        super().__init__()
        self._uri = column(uri)
        self._turns: Ordered[Turn] = Ordered(by_start)

    def _push(self, part: Result, horizon: Horizon) -> str:
        self._turns.add(part.turns)
        return "".join(map(self._line, self._turns.take(horizon.turns_s)))

    def _line(self, turn: Turn) -> str:
        speaker = column(self._names.get(turn.speaker, turn.speaker))
        return f"SPEAKER {self._uri} 1 {_times(turn)} <NA> <NA> {speaker} <NA> <NA>\n"


class CtmText(Text):
    """NIST CTM: recording, channel, start, duration, word and confidence, one line per word."""

    def __init__(self, uri: str) -> None:
        super().__init__()
        self._uri = column(uri)
        self._words: Ordered[Word] = Ordered(by_start)

    def _push(self, part: Result, horizon: Horizon) -> str:
        self._words.add(part.words)
        return "".join(map(self._line, self._words.take(horizon.words_s)))

    def _line(self, word: Word) -> str:
        confidence = f"{milli(word.confidence) / 1000:.3f}"
        return f"{self._uri} 1 {_times(word)} {column(word.text)} {confidence}\n"


class PlainText(Text):
    """For people: a line per turn's words, and per turn in which nothing was transcribed.

    A line of words ends where the speaker changes or pauses, and stands where it starts; a turn
    without words stands where it ends.
    """

    def __init__(self) -> None:
        super().__init__()
        self._words: Ordered[Word] = Ordered(by_start)
        self._speaker_words: dict[str | None, list[Word]] = {}
        self._lines = Lines(follows)
        self._turns: Ordered[Turn] = Ordered(lambda turn: (turn.end_s, *by_start(turn)))
        self._out: Ordered[tuple[tuple[float, bool, float, str], Line]] = Ordered(itemgetter(0))
        self._empty = True

    @property
    def waiting(self) -> list[Word]:
        """See Text."""
        return _waiting(self._lines, self._words)

    def _push(self, part: Result, horizon: Horizon) -> str:
        self._words.add(part.words)
        self._turns.add(part.turns)
        words = self._words.take(horizon.words_s)
        for word in words:
            self._speaker_words.setdefault(word.speaker, []).append(word)
        lines = self._lines.push(words, horizon.words_s)
        self._out.add(((line.start_s, False, 0.0, ""), line) for line in lines)
        for turn in self._turns.take(horizon.words_s):
            if self._is_silent(turn):
                place = turn.end_s, True, turn.start_s, turn.speaker
                self._out.add([(place, turn_line(turn, "(no words)"))])
        until_s = min(horizon.words_s, horizon.turn_ends_s, self._lines.first_s)
        text = "".join(self._line(line) for _, line in self._out.take(until_s))
        self._empty = self._empty and not text
        return text

    def _end(self) -> str:
        return "(no speech found)\n" if self._empty else ""

    def _is_silent(self, turn: Turn) -> bool:
        """True if the speaker has no transcribed word in this turn."""
        words = self._speaker_words.get(turn.speaker, [])
        # Words of one speaker follow one another, so the last to begin before the turn ends tells.
        before_end = bisect_left(words, turn.end_s, key=lambda word: word.start_s)
        return not before_end or words[before_end - 1].end_s <= turn.start_s

    def _line(self, line: Line) -> str:
        start_ms, end_ms = span_ms(line)
        times = f"[{_tenths(start_ms)} - {_tenths(end_ms)}]"
        return f"{times} {self._shown(line.speaker)}: {line.text}\n"


class CaptionText(Text):
    """Subtitles: a cue per few words of a speaker; where there are no words at all, per turn."""

    def __init__(self) -> None:
        super().__init__()
        self._words: Ordered[Word] = Ordered(by_start)
        self._lines = Lines(continues)
        self._turns: list[Turn] = []
        self._n_cues = 0
        self._has_words = False

    @property
    def waiting(self) -> list[Word]:
        """See Text."""
        return _waiting(self._lines, self._words)

    def _push(self, part: Result, horizon: Horizon) -> str:
        self._words.add(part.words)
        words = self._words.take(horizon.words_s)
        self._has_words = self._has_words or bool(words)
        self._turns = [] if self._has_words else [*self._turns, *part.turns]
        return "".join(map(self._next, self._lines.push(words, horizon.words_s)))

    def _end(self) -> str:
        turns = [] if self._has_words else sorted(self._turns, key=by_start)
        return "".join(self._next(turn_line(turn, "[speech]")) for turn in turns)

    def _next(self, line: Line) -> str:
        self._n_cues += 1
        return self._cue(self._n_cues, line)

    @abstractmethod
    def _cue(self, number: int, line: Line) -> str:
        """One subtitle, the first has number 1."""


class SrtText(CaptionText):
    """SubRip subtitles, each cue prefixed with its speaker."""

    def _cue(self, number: int, line: Line) -> str:
        start_ms, end_ms = span_ms(line)
        text = line.text.replace("-->", "->")  # no escapes: readers take any such line for times
        times = f"{_clock(start_ms, ',')} --> {_clock(end_ms, ',')}"
        before = "\n" if number > 1 else ""
        return f"{before}{number}\n{times}\n{self._shown(line.speaker)}: {text}\n"


class VttText(CaptionText):
    """WebVTT subtitles, each cue in the voice (`<v ...>`) of its speaker."""

    def __init__(self) -> None:
        super().__init__()
        self._head = "WEBVTT\n"

    def _push(self, part: Result, horizon: Horizon) -> str:
        head, self._head = self._head, ""
        return head + super()._push(part, horizon)

    def _cue(self, number: int, line: Line) -> str:  # noqa: ARG002 - WebVTT needs no numbers
        start_ms, end_ms = span_ms(line)
        times = f"{_clock(start_ms, '.')} --> {_clock(end_ms, '.')}"
        return f"\n{times}\n<v {_escape(self._shown(line.speaker))}>{_escape(line.text)}\n"


def _waiting(lines: Lines, words: Ordered[Word]) -> list[Word]:
    return sorted([*lines.open_words, *words.waiting], key=by_start)


def milli(value: float) -> int:
    """`value`, seconds or a confidence, in thousandths; ValueError if it is not finite."""
    if not math.isfinite(value):
        raise ValueError(f"a result holds {value}, expected finite times and confidences")
    return max(0, round(value * 1000))


def span_ms(item: Turn | Word | Line) -> tuple[int, int]:
    """Start and end in milliseconds, the end after the start."""
    start_ms = milli(item.start_s)
    return start_ms, max(milli(item.end_s), start_ms + 1)


def column(text: str) -> str:
    """`text` as one column of a file whose columns are separated by blanks."""
    return "_".join(text.split()) or "<NA>"


def _times(item: Turn | Word) -> str:
    start_ms, end_ms = span_ms(item)
    return f"{start_ms / 1000:.3f} {(end_ms - start_ms) / 1000:.3f}"


def _clock(time_ms: int, mark: str) -> str:
    minutes, ms = divmod(time_ms, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{ms // 1000:02}{mark}{ms % 1000:03}"


def _tenths(time_ms: int) -> str:
    return _clock(round(time_ms, -2), ".")[:-2]


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
