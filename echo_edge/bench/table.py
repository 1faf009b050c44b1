"""Records for people: the table they paste, and the facts that belong below it."""

from collections.abc import Iterator, Mapping, Sequence

from echo_edge.bench.record import Record

COLUMNS = (
    "recipe", "engine", "threads", "RTF", "x GEMM", "p50 ms", "p90 ms", "p99 ms", "live p99 ms",
    "misses", "chunk ms", "peak RSS MiB", "load warm/cold ms", "first result ms", "self-test",
    "valid",
)  # fmt: skip

FLOAT32 = "float32"
"""The recipe that all others are measured against."""
FALLS_BEHIND_MS_PER_S = 10.0
"""A lag that grows faster, 36 s in an hour, is no jitter."""


def table(records: Sequence[Record]) -> str:
    """One Markdown row per record, and per bundle what the runtime costs without an engine."""
    rows: list[tuple[str, ...]] = []
    for index, record in enumerate(records):
        rows.append(_row(record))
        following = records[index + 1 : index + 2]
        if not following or following[0]["bundle"]["sha256"] != record["bundle"]["sha256"]:
            rows.append(_null_row(record))
    return markdown(COLUMNS, rows)


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with cells padded to the width of their column; a bar in a cell becomes a slash."""
    cells = [[cell.replace("|", "/") for cell in row] for row in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"


def _row(record: Record) -> tuple[str, ...]:
    bundle, load, live = record["bundle"], record["load_ms"], record.get("live")
    reference = record.get("reference")
    return (
        bundle["recipe"],
        bundle["engine"],
        str(record["threads"]),
        f"{record['rtf']:.4f}",
        f"{reference['rtf_ratio']:.2f}" if reference else "-",
        *_percentiles(record["latency_ms"]),
        f"{live['latency_ms']['p99']:.2f}" if live else "-",
        f"{live['deadline_misses']} of {live['chunks']}" if live else "-",
        f"{1000 * record['chunk_s']:.0f}",
        f"{record['rss_mib']['peak']:.0f}",
        f"{load['warm']:.0f} / {load['cold']:.0f}",
        f"{record['first_result_ms']:.0f}",
        "passed" if record["selftest"]["passed"] else "FAILED",
        "yes" if record["valid"] else "INVALID",
    )


def _null_row(record: Record) -> tuple[str, ...]:
    overhead, chunk_s = record["overhead_ms"], record["chunk_s"]
    rtf = f"{overhead['mean'] / 1000 / chunk_s:.4f}"
    times = (rtf, "-", *_percentiles(overhead), "-", "-", f"{1000 * chunk_s:.0f}")
    return (record["bundle"]["recipe"], "null", "-", *times, *"-----")


def _percentiles(latency_ms: Mapping[str, float]) -> Iterator[str]:
    return (f"{latency_ms[name]:.2f}" for name in ("p50", "p90", "p99"))


def facts(records: Sequence[Record]) -> str:
    """What the table was measured on, where the time goes, why rows do not count: lines."""
    lines = list(dict.fromkeys(line for record in records for line in _machine_lines(record)))
    lines.append(
        "a sample is one push of one chunk through all heads, after warm-up; x GEMM: RTF against "
        "that of the reference work; live: chunks arrive at the pace below, a miss is one not done "
        "when the next has arrived; null: the same with engines that do nothing, "
        "and no language model"
    )
    bundles = {record["bundle"]["sha256"]: record["bundle"] for record in records}
    lines += [
        f"bundle: {bundle['name']}, sha256 {bundle['sha256'][:12]}, {bundle['size_mib']:.1f} MiB, "
        f"{bundle['engine']} {bundle['engine_version']}"
        for bundle in bundles.values()
    ]
    for record in records:
        lines += _record_lines(record)
    lines += _against_float32(records)
    for record in records:
        lines += [f"INVALID ({setup(record)}): {why}" for why in record["why"]]
    return "\n".join(lines) + "\n"


def _against_float32(records: Sequence[Record]) -> Iterator[str]:
    """How much faster each configuration is than float32 in the same engine, chunk and threads."""
    floats = {_kind(record): record for record in records if record["bundle"]["recipe"] == FLOAT32}
    for record in records:
        floating = floats.get(_kind(record))
        encoder_ms = record["phases_ms"]["encoder"]
        if floating and record["bundle"]["recipe"] != FLOAT32 and encoder_ms and record["rtf"]:
            yield (
                f"against float32 ({setup(record)}): encoder "
                f"{floating['phases_ms']['encoder'] / encoder_ms:.2f} x, all "
                f"{floating['rtf'] / record['rtf']:.2f} x as fast"
            )


def _kind(record: Record) -> tuple[object, ...]:
    return (
        board_line(record["board"]),
        record["bundle"]["engine"],
        record["chunk_s"],
        record["threads"],
    )


def _machine_lines(record: Record) -> Iterator[str]:
    """What all records of one run share."""
    commit = "no checkout" if record["commit"] is None else record["commit"][:12]
    yield f"board: {board_line(record['board'])}"
    changes = " with changes" if record["dirty"] else ""
    yield f"measured: {record['time']}, commit {commit}{changes}"
    if reference := record.get("reference"):
        yield (
            f"reference work ({reference['what']}): {reference['ms']:.2f} ms, "
            f"{reference['gflop_per_s']:.1f} GFLOP/s"
        )
    if over_time := record["thermal"].get("over_time"):
        heat = [look["hottest_c"] for look in over_time if look["hottest_c"] is not None]
        if heat:
            yield f"hottest sensor: {heat[0]:.0f} to {max(heat):.0f} degrees Celsius"
    if record["energy"] is None:
        yield f"energy: not measured ({record['energy_why']})"


def _record_lines(record: Record) -> Iterator[str]:
    phases = (f"{name} {ms:.2f}" for name, ms in record["phases_ms"].items())
    yield f"mean ms per chunk ({setup(record)}): {', '.join(phases)}"
    if live := record.get("live"):
        yield (
            f"live ({setup(record)}): a chunk every {live['period_ms']:.0f} ms "
            f"({live['pace']:g} x real time), p50 {live['latency_ms']['p50']:.2f} ms, lag at most "
            f"{live['lag_ms']['max']:.2f} ms, growing {live['lag_growth_ms_per_s']:.2f} ms per s: "
            f"{_verdict(live)}"
        )
    if tasks := {name: v for name, v in (record.get("tasks") or {}).items() if v is not None}:
        values = ", ".join(f"{name} {value:.3f}" for name, value in tasks.items())
        yield f"decisions on the self-test's clip beside float's ({setup(record)}): {values}"
    if energy := record["energy"]:
        yield (
            f"energy ({setup(record)}): {energy['watts']:.2f} W, "
            f"{energy['joules_per_audio_s']:.3f} J per s of audio "
            f"({energy['sensor']}: {energy['covers']})"
        )


def _verdict(live: Record) -> str:
    """Whether it keeps up; a single late chunk is no falling behind."""
    if live["lag_growth_ms_per_s"] > FALLS_BEHIND_MS_PER_S:
        return "FALLS BEHIND"
    late = live["deadline_misses"]
    return f"keeps up, {late} of {live['chunks']} chunks late" if late else "keeps up"


def setup(record: Record) -> str:
    """One configuration in a few words."""
    bundle = record["bundle"]
    return setup_of(bundle["recipe"], bundle["engine"], record["chunk_s"], record["threads"])


def setup_of(recipe: str, engine: str, chunk_s: float, threads: int) -> str:
    """The same for one that is not measured yet."""
    return f"{recipe}, {engine}, {1000 * chunk_s:.0f} ms, threads {threads}"


def board_line(board: Record) -> str:
    """The board in one line."""
    memory = "memory unknown" if board["memory_mib"] is None else f"{board['memory_mib']} MiB"
    clock, mode = board.get("clock_mhz_max"), board.get("power_mode")
    parts = [
        *dict.fromkeys((board["model"], board["cpu"])),
        f"{board['cores'] or 'unknown number of'} cores ({' '.join(board['isa']) or 'plain'})",
        *([f"at most {clock} MHz"] if clock else []),
        memory,
        f"governor {board['governor'] or 'unknown'}",
        *([f"power mode {mode}"] if mode else []),
        board["os"],
        f"Linux {board['kernel']}",
        *(["emulated"] if board["emulated"] else []),
    ]
    return ", ".join(parts)
