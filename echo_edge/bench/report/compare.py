"""Two sets of records side by side: what became worse by more than is allowed.

Records of different boards are compared by what does not depend on the board: time against the
reference work of the same run, and memory.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from echo_edge.bench.record import Record
from echo_edge.bench.report.table import markdown, setup
from echo_edge.errors import EchoError, UsageError


@dataclass(frozen=True)
class Metric:
    """A figure of which less is better."""

    name: str
    figure: Callable[[Record], float | None]
    """Its value in a record; None where it was not measured."""
    allowed_percent: float
    """How much more is not yet worse: what runs differ by without a reason."""
    on_any_board: bool = False
    """Whether records of different boards compare."""


METRICS = (
    Metric(
        "x_gemm", lambda r: r.reference.rtf_ratio if r.reference else None, 10, on_any_board=True
    ),
    Metric("rtf", lambda r: r.rtf, 10),
    Metric("p50_ms", lambda r: r.latency_ms.p50, 10),
    Metric("p90_ms", lambda r: r.latency_ms.p90, 10),
    Metric("p99_ms", lambda r: r.latency_ms.p99, 25),
    Metric("live_p99_ms", lambda r: r.live.latency_ms.p99 if r.live else None, 50),
    Metric("live_misses", lambda r: r.live.deadline_misses if r.live else None, 0),
    Metric("encoder_ms", lambda r: r.phases_ms.encoder, 10),
    Metric("decoding_ms", lambda r: r.phases_ms.decoding, 25),
    Metric("load_warm_ms", lambda r: r.load_ms.warm, 25),
    Metric("first_result_ms", lambda r: r.first_result_ms, 25),
    Metric("rss_peak_mib", lambda r: r.rss_mib.peak, 5, on_any_board=True),
    Metric(
        "der_percent",
        lambda r: r.accuracy.der_percent if r.accuracy else None,
        25,
        on_any_board=True,
    ),
    Metric(
        "wer_percent",
        lambda r: r.accuracy.wer_percent if r.accuracy else None,
        10,
        on_any_board=True,
    ),
    Metric("joules_per_audio_s", lambda r: r.energy.joules_per_audio_s if r.energy else None, 10),
)


@dataclass(frozen=True)
class Change:
    """One figure of the old and the new record."""

    metric: Metric
    old: float
    new: float
    allowed_percent: float
    judged: bool
    """False where the figure says nothing across boards."""

    @property
    def percent(self) -> float | None:
        """How much more than before; None where there was nothing before."""
        return 100 * (self.new / self.old - 1) if self.old > 0 else None

    @property
    def worse(self) -> bool:
        """Whether it is judged, and more than is allowed."""
        return self.judged and self.new > self.old * (1 + self.allowed_percent / 100) + 1e-9


@dataclass(frozen=True)
class Pair:
    """The old and the new record of one configuration."""

    old: Record
    new: Record
    changes: tuple[Change, ...]

    @property
    def same_board(self) -> bool:
        """Whether times compare as they are."""
        return _board(self.old) == _board(self.new)

    @property
    def invalid(self) -> list[str]:
        """Why the pair proves nothing, if so."""
        named = (("old", self.old), ("new", self.new))
        return [f"{name}: {why}" for name, record in named for why in record.why]


@dataclass(frozen=True)
class Comparison:
    """All configurations that both sides have."""

    pairs: tuple[Pair, ...]
    unmatched: tuple[Record, ...]
    """New records of which there is no old one."""
    allow_invalid: bool

    @property
    def problems(self) -> list[str]:
        """Reasons why the comparison does not pass, a line each."""
        lines = []
        for pair in self.pairs:
            if pair.invalid and not self.allow_invalid:
                lines.append(
                    f"{setup(pair.new)}: INVALID ({pair.invalid[0]}): measure again, or count it "
                    "with --allow-invalid"
                )
            lines += [
                f"{setup(pair.new)}: {change.metric.name} {change.old:.4g} -> {change.new:.4g}"
                f"{_signed(change)}, allowed {change.allowed_percent:+g} %"
                for change in pair.changes
                if change.worse
            ]
        return lines

    def text(self) -> str:
        """A table and the verdict."""
        rows = [row for pair in self.pairs for row in _rows(pair)]
        columns = ("configuration", "figure", "old", "new", "change", "allowed", "verdict")
        lines = [f"not compared ({setup(record)}): no old record" for record in self.unmatched]
        lines += [f"WORSE OR UNDECIDED: {problem}" for problem in self.problems]
        verdict = "FAILED" if self.problems else "passed"
        return f"{markdown(columns, rows)}" + "\n".join([*lines, f"comparison: {verdict}", ""])


def allowances(options: Sequence[str]) -> dict[str, float]:
    """`NAME=PERCENT` options over the defaults. UsageError for what is neither."""
    allowed = {metric.name: metric.allowed_percent for metric in METRICS}
    for option in options:
        name, _, text = option.partition("=")
        try:
            percent = float(text.removesuffix("%"))
        except ValueError:
            percent = -1.0
        if name not in allowed or not 0 <= percent < 1e6:
            raise UsageError(
                f"--allow: found {option!r}, expected NAME=PERCENT with a name of "
                f"{', '.join(allowed)}"
            )
        allowed[name] = percent
    return allowed


def compare(
    new: Sequence[Record],
    old: Sequence[Record],
    allowed: Mapping[str, float],
    allow_invalid: bool = False,
) -> Comparison:
    """Each new record beside the last old one of the same configuration, if possible same board.

    EchoError if no record has a counterpart.
    """
    check_comparable([setup(record) for record in new], old)
    pairs, unmatched = [], []
    for record in new:
        before = _counterpart(record, old)
        if before is None:
            unmatched.append(record)
        else:
            pairs.append(Pair(before, record, tuple(_changes(before, record, allowed))))
    return Comparison(tuple(pairs), tuple(unmatched), allow_invalid)


def check_comparable(setups: Sequence[str], old: Sequence[Record]) -> None:
    """EchoError unless one of these configurations is among the old records."""
    there = [setup(record) for record in old]
    if not set(setups) & set(there):
        raise EchoError(
            f"--compare: found records of {_listed(there)}, expected one of {_listed(setups)}: "
            "compare with a record of the same recipe, engine, chunk and threads"
        )


def _listed(setups: Sequence[str]) -> str:
    return " or ".join(dict.fromkeys(f"({each})" for each in setups))


def _counterpart(record: Record, old: Sequence[Record]) -> Record | None:
    alike = [each for each in old if setup(each) == setup(record)]
    here = [each for each in alike if _board(each) == _board(record)]
    return next(reversed(here or alike), None)


def _board(record: Record) -> tuple[object, ...]:
    board = record.board
    return board.model, board.cpu, board.memory_mib, board.emulated


def _changes(old: Record, new: Record, allowed: Mapping[str, float]) -> Iterator[Change]:
    same = _board(old) == _board(new)
    for metric in METRICS:
        before, now = metric.figure(old), metric.figure(new)
        if before is not None and now is not None:
            judged = same or metric.on_any_board
            yield Change(metric, before, now, allowed[metric.name], judged)


def _rows(pair: Pair) -> Iterator[tuple[str, ...]]:
    for change in pair.changes:
        verdict = "WORSE" if change.worse else "ok" if change.judged else "other board"
        yield (
            setup(pair.new),
            change.metric.name,
            f"{change.old:.4g}",
            f"{change.new:.4g}",
            _signed(change).strip(" ()") or "-",
            f"+{change.allowed_percent:g} %" if change.judged else "-",
            verdict,
        )


def _signed(change: Change) -> str:
    return "" if change.percent is None else f" ({change.percent:+.1f} %)"
