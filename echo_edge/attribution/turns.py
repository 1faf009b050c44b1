"""Decided activity to turns of voices: hysteresis over gaps and short bursts, before labels."""

from dataclasses import dataclass, replace

from echo_edge.heads.diarization import Activity, TurnRules


@dataclass(frozen=True)
class VoiceTurn:
    """A turn of a voice that has no label yet; steps, end exclusive."""

    voice: int
    start: int
    end: int
    confidence: float


@dataclass
class _Open:
    start: int
    last: int
    total: float
    n_steps: int


class TurnBuilder:
    """Closes a turn once its voice has been silent for longer than `min_off_steps`."""

    def __init__(self, rules: TurnRules) -> None:
        self._rules = rules
        self._open: dict[int, _Open] = {}

    def push(self, activity: Activity) -> list[VoiceTurn]:
        """Turns that ended within these steps, by end time."""
        done: list[VoiceTurn] = []
        active = activity.scores >= self._rules.onset
        for offset, row in enumerate(activity.scores):
            step = activity.first_step + offset
            for voice in active[offset].nonzero()[0].tolist():
                score = float(row[voice])
                _extend(self._open.setdefault(voice, _Open(step, step, 0.0, 0)), step, score)
            late = step - self._rules.min_off_steps
            for voice in [v for v, turn in self._open.items() if turn.last < late]:
                self._close(voice, done)
        return done

    def next_start(self, decided: int) -> int:
        """No turn to come starts before this step; so many steps are decided."""
        return min((turn.start for turn in self._open.values()), default=decided)

    def next_end(self, decided: int) -> int:
        """No turn to come ends before this step; so many steps are decided."""
        return min((turn.last + 1 for turn in self._open.values()), default=decided)

    def peek(self, undecided: Activity) -> list[VoiceTurn]:
        """The turns that would follow if this were decided and the last; nothing changes."""
        ahead = TurnBuilder(self._rules)
        ahead._open = {voice: replace(turn) for voice, turn in self._open.items()}
        return ahead.push(undecided) + ahead.finish()

    def finish(self) -> list[VoiceTurn]:
        """The turns still open at the end."""
        done: list[VoiceTurn] = []
        for voice in sorted(self._open, key=lambda v: self._open[v].last):
            self._close(voice, done)
        return done

    def _close(self, voice: int, done: list[VoiceTurn]) -> None:
        turn = self._open.pop(voice)
        if turn.last + 1 - turn.start >= self._rules.min_on_steps:
            confidence = turn.total / turn.n_steps
            done.append(VoiceTurn(voice, turn.start, turn.last + 1, confidence))


class ExclusiveTurnBuilder:
    """Turns of which no two overlap: a step belongs to the voice with the highest score, and
    another voice takes the floor once it has had the steps for `min_on_steps`."""

    def __init__(self, rules: TurnRules) -> None:
        self._rules = rules
        self._now: tuple[int, _Open] | None = None
        """The voice that has the floor, and its turn."""
        self._next: tuple[int, _Open] | None = None
        """The voice with the steps since then, for too short a time to take the floor."""

    def push(self, activity: Activity) -> list[VoiceTurn]:
        """Turns that ended within these steps."""
        done: list[VoiceTurn] = []
        for offset, row in enumerate(activity.scores):
            step = activity.first_step + offset
            if row.size and row.max() >= self._rules.onset:
                self._add_step(int(row.argmax()), step, float(row.max()), done)
            while self._now is not None and self._now[1].last < step - self._rules.min_off_steps:
                self._pass_on(done)
        return done

    def next_start(self, decided: int) -> int:
        """No turn to come starts before this step; so many steps are decided."""
        return decided if self._now is None else self._now[1].start

    def finish(self) -> list[VoiceTurn]:
        """The turn still open at the end."""
        done: list[VoiceTurn] = []
        while self._now is not None:
            self._pass_on(done)
        return done

    def _add_step(self, voice: int, step: int, score: float, done: list[VoiceTurn]) -> None:
        if self._now is None or self._now[0] == voice:
            self._now, self._next = self._now or (voice, _Open(step, step, 0.0, 0)), None
            _extend(self._now[1], step, score)
            return
        if self._next is None or self._next[0] != voice:
            self._next = (voice, _Open(step, step, 0.0, 0))
        _extend(self._next[1], step, score)
        if step + 1 - self._next[1].start >= self._rules.min_on_steps:
            self._pass_on(done)

    def _pass_on(self, done: list[VoiceTurn]) -> None:
        assert self._now is not None  # noqa: S101 - whoever calls has looked
        voice, turn = self._now
        if turn.last + 1 - turn.start >= self._rules.min_on_steps:
            done.append(VoiceTurn(voice, turn.start, turn.last + 1, turn.total / turn.n_steps))
        self._now, self._next = self._next, None


def _extend(turn: _Open, step: int, score: float) -> None:
    turn.last = step
    turn.total += score
    turn.n_steps += 1
