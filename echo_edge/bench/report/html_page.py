"""Records as one HTML page with plots: no script, no link, nothing to load from anywhere."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from html import escape

from echo_edge.bench.measurement import percentile
from echo_edge.bench.record import Record
from echo_edge.bench.report.compare import Comparison, Pair
from echo_edge.bench.report.svg import N_COLOURS, Axis, Series, lines, ratios, stacked_bars
from echo_edge.bench.report.table import (
    COLUMNS,
    board_line,
    facts,
    labels,
    rows,
    setup,
    setup_parts,
    shared_reasons,
)
from echo_edge.version import __version__

CHUNK, THREADS = 2, 3
"""Parts of a configuration's name: places in `setup_parts`."""
MAX_RATIO = 10.0
"""Where a dot is drawn that would be further out: the others stay apart."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5c6776; --rule: #dfe3e8; --paper: #fff;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #cc79a7; --c4: #b8860b; --c5: #56b4e9;
  --c6: #7a5195; --c7: #6b7280; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #9aa5b4; --rule: #333b47;
  --paper: #161a20; --c0: #3d8fd6; --c1: #f28a3c; --c2: #3cc79c; --c4: #dfb23c;
  --c5: #a8e3f7; --c6: #b48ad0; --c7: #9aa3b0; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 1320px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.05rem; margin: 0 0 .3rem; }
p { margin: .2rem 0; } .soft, figcaption { color: var(--soft); font-size: .87rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .87rem; }
th, td { padding: .28rem .5rem; text-align: right; border-bottom: 1px solid var(--rule);
  font-variant-numeric: tabular-nums; vertical-align: bottom; } td { white-space: nowrap; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; } th { color: var(--soft); }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 540px), 1fr));
  gap: 1.6rem; margin: 1.6rem 0; } figure { margin: 0; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--soft); font-size: 12px; }
.line { fill: none; stroke-width: 2; } .grid { stroke: var(--rule); } .dot { stroke: none; }
.one { stroke: var(--soft); } .limit { stroke: var(--soft); stroke-width: 2; }
.ok { fill: var(--c2); } .worse { fill: var(--c1); } .unjudged { fill: var(--c7); }
.key { display: flex; flex-wrap: wrap; gap: .1rem 1rem; font-size: .82rem; padding: 0;
  margin: .3rem 0 0; list-style: none; color: var(--soft); }
.key i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; border-radius: 2px; }
.bad { color: var(--c1); font-weight: 600; } pre { white-space: pre-wrap; font-size: .82rem; }
.scroll pre { white-space: pre; }
"""
STYLE += "".join(
    f"polyline.c{n} {{ stroke: var(--c{n}) }} circle.c{n}, rect.c{n} {{ fill: var(--c{n}) }} "
    f"i.c{n} {{ background: var(--c{n}) }}\n"
    for n in range(N_COLOURS)
)


def page(records: Sequence[Record], comparison: Comparison | None = None) -> str:
    """The whole page."""
    title = f"echo-edge bench: {records[0].board.model}"
    figures = [*_figures(records)]
    if comparison:
        figures += [_ratios(pair) for pair in comparison.pairs]
    body = [
        f"<h1>{escape(title)}</h1>",
        *(f"<p class=soft>{escape(line)}</p>" for line in _about(records)),
        _verdict(records),
        f"<div class=scroll>{_html_table(rows(records))}</div>",
        f"<div class=plots>{''.join(figures)}</div>",
    ]
    if comparison:
        body += [
            "<h2>Comparison</h2>",
            f"<div class=scroll><pre>{escape(comparison.text())}</pre></div>",
        ]
    body.append(f"<h2>What was measured</h2><pre>{escape(facts(records))}</pre>")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _about(records: Sequence[Record]) -> list[str]:
    boards = dict.fromkeys(board_line(record.board) for record in records)
    times = sorted(record.time for record in records)
    when = times[0] if times[0] == times[-1] else f"{times[0]} to {times[-1]}"
    return [*boards, f"measured {when}, page written by echo-edge {__version__}"]


def _verdict(records: Sequence[Record]) -> str:
    invalid = [record for record in records if not record.valid]
    if not invalid:
        return ""
    shared = shared_reasons(invalid)
    reasons = "; ".join([*shared, *["see below"] * any(set(r.why) - {*shared} for r in invalid)])
    text = f"{len(invalid)} of {len(records)} rows do not count: {reasons}"
    return f"<p class=bad>{escape(text)}</p>"


def _html_table(table_rows: Sequence[Sequence[str]]) -> str:
    """The rows of the table that the terminal shows."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in COLUMNS)
    body = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in table_rows)
    return (
        f"<table><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(f'<tr>{row}</tr>' for row in body)}</tbody></table>"
    )


def _figures(records: Sequence[Record]) -> Iterator[str]:
    yield _latency(records)
    yield _phases(records)
    n_threads = [record.threads for record in records]
    if len({*n_threads}) > 1:
        axis = Axis("engine threads", 0, max(n_threads) + 1, min_step=1)
        yield _rtf_by(records, THREADS, n_threads, "threads", axis)
    chunks_s = [record.chunk_s for record in records]
    if len({*chunks_s}) > 1:
        axis = Axis("seconds of audio per chunk")
        yield _rtf_by(records, CHUNK, chunks_s, "length of a chunk", axis)
    if any(record.rss_mib_over_time for record in records):
        yield _memory(records)
    yield from _heat(records[0])


def _latency(records: Sequence[Record]) -> str:
    """Cumulative distributions: percentiles are read off, tails are seen."""
    series = []
    for colour, (name, record) in enumerate(zip(labels(records), records, strict=True)):
        named = [(name, record.samples_ms, False)]
        if live := record.live:
            named.append((f"{name}, live", live.samples_ms, True))
        series += [
            Series(label, _cumulative(samples), dashed, colour=colour)
            for label, samples, dashed in named
        ]
    plot = lines(series, Axis("milliseconds per chunk"), Axis("% of chunks", 0, 100))
    return _figure(
        "Latency per chunk",
        plot,
        "Share of chunks done within a time; dashed: live, from the arrival of a chunk.",
        [(each.label, each.colour) for each in series if not each.dashed],
    )


def _cumulative(samples: Sequence[float]) -> list[tuple[float, float]]:
    """The time within which each per mille of the chunks was done, and below 100 % their share."""
    shares = [0.1, *range(1, 100), 99.5, 100]
    return [(percentile(samples, share), share) for share in shares]


def _phases(records: Sequence[Record]) -> str:
    phases = [asdict(record.phases_ms) for record in records]
    names = [name for name in phases[0] if any(each[name] for each in phases)]
    parts = [[(name, each[name]) for name in names] for each in phases]
    bars = [*zip(labels(records), parts, strict=True)]
    return _figure(
        "Where the time goes",
        stacked_bars(bars, "ms"),
        "Mean milliseconds per chunk in each graph's engine; decoding is all of Python outside.",
        [(name, colour) for colour, name in enumerate(names)],
    )


def _rtf_by(
    records: Sequence[Record], part: int, values: Sequence[float], title: str, axis: Axis
) -> str:
    """RTF over the `values` of one part of the configuration, a line for each of the rest of it."""
    kinds: dict[str, list[tuple[float, float]]] = {}
    for record, value in zip(records, values, strict=True):
        parts = [*setup_parts(record)]
        del parts[part]
        kinds.setdefault(", ".join(parts), []).append((float(value), record.rtf))
    series = [
        Series(label, sorted(points), markers=True, colour=colour)
        for colour, (label, points) in enumerate(kinds.items())
    ]
    return _figure(
        f"Real-time factor by {title}",
        lines(series, axis, Axis("RTF (below 1 keeps up)")),
        "Processing time / audio time, as fast as possible, all heads on.",
        [(each.label, each.colour) for each in series],
    )


def _memory(records: Sequence[Record]) -> str:
    series = [
        Series(
            name,
            [(n * record.chunk_s, mib) for n, mib in enumerate(record.rss_mib_over_time, 1)],
            colour=colour,
        )
        for colour, (name, record) in enumerate(zip(labels(records), records, strict=True))
        if record.rss_mib_over_time
    ]
    plot = lines(series, Axis("seconds of audio"), Axis("RSS, MiB"))
    return _figure(
        "Memory over time",
        plot,
        "Resident memory of a fresh process after each chunk, Python and engine included.",
        [(each.label, each.colour) for each in series],
    )


def _heat(record: Record) -> Iterator[str]:
    samples = record.thermal.over_time
    hottest = [(each.t_s, each.hottest_c) for each in samples]
    clocks = [(each.t_s, each.clock_mhz) for each in samples]
    yield from _over_time(hottest, "Temperature", "degrees Celsius", "Hottest sensor")
    yield from _over_time(clocks, "Clock", "MHz", "Fastest core")


def _over_time(
    samples: Sequence[tuple[float, float | None]], title: str, unit: str, about: str
) -> Iterator[str]:
    points = [(t_s, value) for t_s, value in samples if value is not None]
    if len(points) > 1:
        series = [Series(title, points, markers=len(points) < 30)]
        low = min(value for _, value in points)
        plot = lines(series, Axis("seconds"), Axis(unit, low, low + 1))
        yield _figure(title, plot, f"{about} while the first row's run was measured.", [])


def _ratios(pair: Pair) -> str:
    dots = [
        (
            change.metric.name,
            min(change.new / change.old, MAX_RATIO),
            1 + change.allowed_percent / 100,
            "worse" if change.worse else "ok" if change.judged else "unjudged",
        )
        for change in pair.changes
        if change.old > 0
    ]
    note = "" if pair.same_board else " Grey: says nothing, the boards differ."
    return _figure(
        f"New / old: {setup(pair.new)}",
        ratios(dots),
        f"Left of 1 is better; the short line is what is allowed.{note}",
        [],
    )


def _figure(title: str, plot: str, caption: str, key: Sequence[tuple[str, int]]) -> str:
    items = "".join(f'<li><i class="c{n % N_COLOURS}"></i>{escape(label)}</li>' for label, n in key)
    legend = f"<ul class=key>{items}</ul>" if items else ""
    return (
        f"<figure><h2>{escape(title)}</h2>{plot}{legend}"
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
