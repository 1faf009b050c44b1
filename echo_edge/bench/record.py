"""The record `echo-edge.bench/1`: one measured configuration, as it is written and read.

Keys are added, never changed: those that came later have a default, and keys that are not known do
not matter. Measures nothing. docs/bench.md says what every key means.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from echo_edge.board.heat import Throttling
from echo_edge.board.info import Board
from echo_edge.errors import EchoError, JsonError
from echo_edge.strict_json import Rule, between, convert, one_of

SCHEMA = "echo-edge.bench/1"
MAX_FIGURE = 1e15
"""No figure of a record comes near; what a plot can do with larger ones is nothing."""
CURE = "measure again: echo-edge bench --json FILE"

Figure = Annotated[
    float,
    Rule(
        "a number",
        lambda value: abs(value) < MAX_FIGURE,
        {"exclusiveMinimum": -MAX_FIGURE, "exclusiveMaximum": MAX_FIGURE},
    ),
]
Seconds = Annotated[
    float,
    Rule(
        "seconds above 0",
        lambda value: 0 < value < MAX_FIGURE,
        {"exclusiveMinimum": 0, "exclusiveMaximum": MAX_FIGURE},
    ),
]
Count = Annotated[int, between(1, 2**53)]
Samples = Annotated[
    tuple[Figure, ...],
    Rule("one number or more", lambda samples: len(samples) > 0, {"minItems": 1}),
]


@dataclass(frozen=True)
class BundleFacts:
    """The bundle that was measured."""

    name: str
    version: str
    engine: str
    engine_version: str
    recipe: str
    sha256: str
    size_mib: Figure


@dataclass(frozen=True)
class Percentiles:
    """Percentiles of samples in milliseconds, nearest rank."""

    p50: Figure
    p90: Figure
    p95: Figure
    p99: Figure
    max: Figure


@dataclass(frozen=True)
class Overhead:
    """Mean and percentiles of the runtime with engines that do nothing, milliseconds a chunk."""

    mean: Figure
    p50: Figure
    p90: Figure
    p95: Figure
    p99: Figure
    max: Figure


@dataclass(frozen=True)
class ReferenceWork:
    """The fixed piece of work of the same run."""

    what: str
    ms: Figure
    gflop_per_s: Figure
    rtf_ratio: Figure
    """How many times its RTF the configuration takes: "x GEMM"."""


@dataclass(frozen=True)
class Lag:
    """How late the work on a chunk began, milliseconds."""

    max: Figure
    last: Figure


@dataclass(frozen=True)
class LiveRun:
    """The scenario in which chunks arrive at a steady pace."""

    pace: Figure
    period_ms: Figure
    chunks: Count
    deadline_misses: int
    latency_ms: Percentiles
    lag_ms: Lag
    lag_growth_ms_per_s: Figure
    samples_ms: Samples


@dataclass(frozen=True)
class Phases:
    """Mean milliseconds per chunk in each graph's engine; `decoding` is all Python outside."""

    frontend: Figure
    encoder: Figure
    diarization: Figure
    speaker: Figure
    asr: Figure
    separation: Figure
    decoding: Figure
    second_pass: Figure = 0.0
    """Of both graphs of the second pass of words; 0 without one."""


@dataclass(frozen=True)
class LoadTimes:
    """Milliseconds to load a bundle, the first time in a process and again."""

    cold: Figure
    warm: Figure


@dataclass(frozen=True)
class ResidentMemory:
    """Resident memory of a fresh process, MiB, and what made it grow."""

    before_load: Figure
    after_load: Figure
    peak: Figure
    engine: Figure | None = None
    """By the import of the engine."""
    weights: Figure | None = None
    """By loading the bundle."""
    working_set: Figure | None = None
    """By streaming."""


@dataclass(frozen=True)
class SelfTestFacts:
    """Whether the bundle is itself on this device."""

    passed: bool
    sqnr_db: Mapping[str, Figure | None] = field(default_factory=dict)
    """Per output against float; None where the output is not finite."""


@dataclass(frozen=True)
class AccuracyFacts:
    """How right turns and words of the bundle's labelled recording are."""

    der_percent: Figure
    wer_percent: Figure
    speakers: int
    true_speakers: int
    words: int
    audio_s: Figure


@dataclass(frozen=True)
class MachineState:
    """Temperatures by sensor, and what slowed the machine down."""

    temperature_c: Mapping[str, Figure] = field(default_factory=dict)
    throttling: Throttling | None = None


@dataclass(frozen=True)
class ThermalSample:
    """Hottest sensor and fastest core at one time of the run."""

    t_s: Figure
    hottest_c: Figure | None
    clock_mhz: Figure | None


@dataclass(frozen=True)
class Thermal:
    """Heat and clocks before, after and during a run."""

    before: MachineState | None = None
    after: MachineState | None = None
    over_time: tuple[ThermalSample, ...] = ()


@dataclass(frozen=True)
class EnergyFacts:
    """Energy that the sensor measured while chunks were pushed offline."""

    sensor: str
    covers: str
    joules: Figure
    window_s: Figure
    watts: Figure
    joules_per_audio_s: Figure


@dataclass(frozen=True, kw_only=True)
class Record:
    """One configuration: bundle, chunk size and thread count on one board."""

    schema: Annotated[str, one_of(SCHEMA)]
    commit: str | None
    dirty: bool | None
    time: str
    board: Board
    bundle: BundleFacts
    threads: Count
    chunk_s: Seconds
    rtf: Figure
    latency_ms: Percentiles
    samples_ms: Samples
    reference: ReferenceWork | None = None
    live: LiveRun | None = None
    phases_ms: Phases
    load_ms: LoadTimes
    first_result_ms: Figure
    rss_mib: ResidentMemory
    pss_mib: Figure | None = None
    anonymous_mib: Figure | None = None
    rss_mib_over_time: Samples | None = None
    overhead_ms: Overhead
    selftest: SelfTestFacts
    tasks: Mapping[str, Figure | None] | None = None
    """Decisions that differ from float's, on the self-test's clip."""
    accuracy: AccuracyFacts | None = None
    accuracy_why: str | None = None
    """Why there is no `accuracy`."""
    thermal: Thermal
    load_average: tuple[Figure | None, ...] = ()
    background_processors: Figure | None = None
    energy: EnergyFacts | None
    energy_why: str | None
    """Why there is no `energy`."""
    valid: bool
    why: tuple[str, ...]
    """Why it does not count."""


def to_json(record: Record) -> str:
    """The record as one line of JSON."""
    return json.dumps(asdict(record), allow_nan=False)


def from_document(document: Any, where: str) -> Record:
    """The record that JSON gave as `document`. EchoError, which names the key, if it is none."""
    found = document.get("schema") if isinstance(document, dict) else None
    if found != SCHEMA:
        short = "nothing" if found is None else json.dumps(found)[:40]
        raise EchoError(f"{where}: found {short} as its schema, expected {SCHEMA}: {CURE}")
    try:
        record: Record = convert(document, Record, f"{where}: ", lenient=True)
    except JsonError as error:
        raise EchoError(f"{error}: {CURE}") from error
    return record
