"""Records for people: the table they paste, and the facts that belong below it."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from echo_edge.bench.record import LiveRun, Overhead, Percentiles, Record
from echo_edge.board.info import Board

COLUMNS = (
    "recipe", "engine", "threads", "chunk ms", "RTF", "x GEMM", "p50/p90/p99 ms", "live p99",
    "late", "RSS MiB", "load/first ms", "DER/WER %", "test", "valid",
)  # fmt: skip
"""Together at most 160 characters wide, so that no terminal breaks a row."""

FLOAT32 = "float32"
"""The recipe that all others are measured against."""
FALLS_BEHIND_MS_PER_S = 10.0
"""A lag that grows faster, 36 s in an hour, is no jitter."""


def table(records: Sequence[Record]) -> str:
    """`rows` as a Markdown table."""
    return markdown(COLUMNS, rows(records))


def rows(records: Sequence[Record]) -> list[tuple[str, ...]]:
    """Cells in the order of COLUMNS: a row per record, and per bundle what the runtime costs
    without an engine."""
    found: list[tuple[str, ...]] = []
    for index, record in enumerate(records):
        found.append(_row(record))
        following = records[index + 1 : index + 2]
        if not following or following[0].bundle.sha256 != record.bundle.sha256:
            found.append(_null_row(record))
    return [tuple(map(cell, row)) for row in found]


def cell(text: str) -> str:
    """Text as a cell of a Markdown table: a bar becomes a slash."""
    return text.replace("|", "/")


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with cells padded to the width of their column."""
    cells = [[*map(cell, row)] for row in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(each.ljust(width) for each, width in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"


def _row(record: Record) -> tuple[str, ...]:
    bundle, live = record.bundle, record.live
    reference, accuracy = record.reference, record.accuracy
    return (
        bundle.recipe,
        bundle.engine,
        str(record.threads),
        f"{1000 * record.chunk_s:.0f}",
        f"{record.rtf:.4f}",
        f"{reference.rtf_ratio:.2f}" if reference else "-",
        _percentiles(record.latency_ms),
        f"{live.latency_ms.p99:.1f}" if live else "-",
        f"{live.deadline_misses}/{live.chunks}" if live else "-",
        f"{record.rss_mib.peak:.0f}",
        f"{record.load_ms.warm:.0f}/{record.first_result_ms:.0f}",
        f"{accuracy.der_percent:.1f}/{accuracy.wer_percent:.1f}" if accuracy else "-",
        "ok" if record.selftest.passed else "BAD",
        "yes" if record.valid else "INVALID",
    )


def _null_row(record: Record) -> tuple[str, ...]:
    overhead, chunk_s = record.overhead_ms, record.chunk_s
    rtf = f"{overhead.mean / 1000 / chunk_s:.4f}"
    times = (f"{1000 * chunk_s:.0f}", rtf, "-", _percentiles(overhead))
    return (record.bundle.recipe, "null", "-", *times, *"-------")


def _percentiles(latency_ms: Percentiles | Overhead) -> str:
    return f"{latency_ms.p50:.1f}/{latency_ms.p90:.1f}/{latency_ms.p99:.1f}"


def facts(records: Sequence[Record]) -> str:
    """Lines below the table: the machine, where the time goes, why rows do not count."""
    lines = list(dict.fromkeys(line for record in records for line in _machine_lines(record)))
    lines.append(
        "p50/p90/p99: ms that one push of one chunk through all heads takes, after warm-up; "
        "x GEMM: RTF against that of the reference work; live p99: ms from a chunk's arrival, at "
        "the pace below; late: chunks not done when the next has arrived; RSS: peak; load/first: "
        "warm load, first result after a cold one; test: the bundle's self-test; null: the same "
        "with engines that do nothing, and no language model"
    )
    bundles = {record.bundle.sha256: record.bundle for record in records}
    lines += [
        f"bundle: {bundle.name}, sha256 {bundle.sha256[:12]}, {bundle.size_mib:.1f} MiB, "
        f"{bundle.engine} {bundle.engine_version}"
        for bundle in bundles.values()
    ]
    everywhere = shared_reasons(records)
    for record in records:
        lines += [f"{setup(record)}:", *(f"  {line}" for line in _record_lines(record))]
        lines += [f"  INVALID: {why}" for why in record.why if why not in everywhere]
    lines += _against_float32(records)
    lines += [f"INVALID, every row: {why}" for why in everywhere]
    return "\n".join(lines) + "\n"


def shared_reasons(records: Sequence[Record]) -> list[str]:
    """Why none of the rows counts: what all of them say."""
    return [why for why in records[0].why if all(why in record.why for record in records)]


def _against_float32(records: Sequence[Record]) -> Iterator[str]:
    """How much faster each configuration is than float32 in the same engine, chunk and threads."""
    floats = {_kind(record): record for record in records if record.bundle.recipe == FLOAT32}
    for record in records:
        floating = floats.get(_kind(record))
        encoder_ms = record.phases_ms.encoder
        if floating and record.bundle.recipe != FLOAT32 and encoder_ms and record.rtf:
            yield (
                f"against float32 ({setup(record)}): encoder "
                f"{floating.phases_ms.encoder / encoder_ms:.2f} x, all "
                f"{floating.rtf / record.rtf:.2f} x as fast"
            )


def _kind(record: Record) -> tuple[object, ...]:
    return (
        board_line(record.board),
        record.bundle.engine,
        record.chunk_s,
        record.threads,
    )


def _machine_lines(record: Record) -> Iterator[str]:
    """Facts that all records of one run share."""
    commit = "no checkout" if record.commit is None else record.commit[:12]
    yield f"board: {board_line(record.board)}"
    changes = " with changes" if record.dirty else ""
    yield f"measured: {record.time}, commit {commit}{changes}"
    if reference := record.reference:
        yield (
            f"reference work ({reference.what}): {reference.ms:.2f} ms, "
            f"{reference.gflop_per_s:.1f} GFLOP/s"
        )
    if over_time := record.thermal.over_time:
        heat = [each.hottest_c for each in over_time if each.hottest_c is not None]
        if heat:
            yield f"hottest sensor: {heat[0]:.0f} to {max(heat):.0f} degrees Celsius"
    if record.energy is None:
        yield f"energy: not measured ({record.energy_why})"


def _record_lines(record: Record) -> Iterator[str]:
    """Facts of one configuration."""
    phases = (f"{name} {ms:.2f}" for name, ms in asdict(record.phases_ms).items() if ms)
    yield f"mean ms per chunk: {', '.join(phases)}"
    if live := record.live:
        yield (
            f"live: a chunk every {live.period_ms:.0f} ms "
            f"({live.pace:g} x real time), p50 {live.latency_ms.p50:.2f} ms, lag at most "
            f"{live.lag_ms.max:.2f} ms, growing {live.lag_growth_ms_per_s:.2f} ms per s: "
            f"{_verdict(live)}"
        )
    if tasks := {name: v for name, v in (record.tasks or {}).items() if v is not None}:
        values = ", ".join(f"{name} {value:.3f}" for name, value in tasks.items())
        yield f"decisions on the self-test's clip beside float's: {values}"
    if accuracy := record.accuracy:
        yield (
            f"accuracy on {accuracy.audio_s:.0f} s of synthetic conversation: DER "
            f"{accuracy.der_percent:.1f} % (collar 0, overlap scored, "
            f"{accuracy.speakers:.0f} of {accuracy.true_speakers:.0f} speakers), WER "
            f"{accuracy.wer_percent:.1f} % of {accuracy.words:.0f} words"
        )
    elif why := record.accuracy_why:
        yield f"accuracy: not measured ({why})"
    if energy := record.energy:
        yield (
            f"energy: {energy.watts:.2f} W, {energy.joules_per_audio_s:.3f} J per s of audio "
            f"({energy.sensor}: {energy.covers})"
        )


def _verdict(live: LiveRun) -> str:
    """Whether it keeps up; a single late chunk is no falling behind."""
    if live.lag_growth_ms_per_s > FALLS_BEHIND_MS_PER_S:
        return "FALLS BEHIND"
    late = live.deadline_misses
    return f"keeps up, {late} of {live.chunks} chunks late" if late else "keeps up"


def setup(record: Record) -> str:
    """One configuration in a few words."""
    return ", ".join(setup_parts(record))


def setup_parts(record: Record) -> tuple[str, str, str, str]:
    """Recipe, engine, chunk and threads in words."""
    bundle = record.bundle
    return _parts(bundle.recipe, bundle.engine, record.chunk_s, record.threads)


def setup_of(recipe: str, engine: str, chunk_s: float, threads: int) -> str:
    """The same for one that is not measured yet."""
    return ", ".join(_parts(recipe, engine, chunk_s, threads))


def _parts(recipe: str, engine: str, chunk_s: float, threads: int) -> tuple[str, str, str, str]:
    return recipe, engine, f"{1000 * chunk_s:.0f} ms", f"threads {threads}"


def labels(records: Sequence[Record]) -> list[str]:
    """Each record's configuration in fewer words: recipe, engine and what else differs."""
    setups = [setup_parts(record) for record in records]
    differs = [len(set(column)) > 1 for column in zip(*setups, strict=True)]
    shown = [n for n, each in enumerate(differs) if n < 2 or each]
    return [", ".join(parts[n] for n in shown) for parts in setups]


def board_line(board: Board) -> str:
    """The board in one line."""
    memory = "memory unknown" if board.memory_mib is None else f"{board.memory_mib} MiB"
    clock, mode = board.clock_mhz_max, board.power_mode
    parts = [
        *dict.fromkeys((board.model, board.cpu)),
        f"{board.cores or 'unknown number of'} cores ({' '.join(board.isa) or 'plain'})",
        *([f"at most {clock} MHz"] if clock else []),
        memory,
        f"governor {board.governor or 'unknown'}",
        *([f"power mode {mode}"] if mode else []),
        board.os,
        f"Linux {board.kernel}",
        *(["emulated"] if board.emulated else []),
    ]
    return ", ".join(parts)
