"""One checkpoint to one bundle: export the graphs, measure parity of outputs and tasks, write the
manifest, sign, all or nothing. Same checkpoint, recipe and tool versions, same bytes.
"""

import hashlib
import io
import json
import shutil
import wave
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import echo_edge
from echo_edge.bench import accuracy
from echo_edge.bundle import manifest as m
from echo_edge.bundle.decoding import DecodingSpec
from echo_edge.bundle.language_model import load_language_model
from echo_edge.bundle.tokens import WORD_START, read_subwords, read_tokens
from echo_edge.bundle.verify import Bundle, open_bundle
from echo_edge.cli.bundle import sign_bundle
from echo_edge.errors import EchoError, OutputError
from echo_edge.selftest import AUDIO, EXPECTED
from echo_edge.session import load_bundle
from echo_edge.version import __version__
from echo_edge_export.checkpoint import Checkpoint, SecondPassCheckpoint
from echo_edge_export.convert.table import Exporter, find_exporter
from echo_edge_export.model.config import POWERSET, TOKENS
from echo_edge_export.model.second_pass import second_pass_jobs
from echo_edge_export.model.streaming import graph_jobs
from echo_edge_export.parity import Parity, measure, reference
from echo_edge_export.quantize.recipes import Recipe, second_pass_recipe
from echo_edge_export.task_parity import Tasks, measure_tasks

Array = NDArray[np.float32]

BOARDS = ("aarch64", "x86-64")
LANGUAGE = "language.npz"
SUBWORDS = "subwords.txt"
SHIPPED = Path(echo_edge.__file__).with_name("default_bundle")
LABELLED = {name: SHIPPED / name for name in (accuracy.AUDIO, accuracy.TRUTH)}
"""The shipped bundle's labelled recording, which `echo-edge bench` scores: demo/'s conversation,
whose voices training never hears."""

DECODING = DecodingSpec(
    active_threshold=0.5,
    gap_s=0.4,
    group_threshold=0.38,
    language_weight=1.1,
    new_voice_s=1.0,
    shortest_turn_s=0.2,
    slot_threshold=0.25,
    stretch_threshold=0.37,
    voice_threshold=0.65,
    word_bonus=-2.0,
)
"""Thresholds tuned on development recordings by `python -m training.tune` and its like; the other
constants of the decoders are defaults."""

CHUNK_STEPS = 12
"""Steps of 40 ms per chunk that a bundle's name need not say."""

SELFTEST_MARGIN_DB = 6.0
"""A board may be this much noisier than the exporting machine: other kernels, other rounding."""


@dataclass(frozen=True)
class BundlePlan:
    """A bundle to be written, and its place."""

    engine: str
    recipe: Recipe
    chunk_steps: int
    out: Path
    version: str = __version__
    build: int = 1
    allow_over_budget: bool = False
    language_model: Path | None = None
    second_pass: SecondPassCheckpoint | None = None
    """Text decoder that reads a stretch of speech again when it ends."""
    key: Path | None = None
    """Private key to sign with, `NAME.key` of `echo-edge bundle keygen`."""
    score: bool = True
    """Whether DER and WER on the labelled recording are measured, by both models."""

    @property
    def name(self) -> str:
        """The bundle's name, after which its folder is named by default."""
        name = f"echo-25m-v{self.version}-{self.recipe.name}-{self.engine}"
        return name if self.chunk_steps == CHUNK_STEPS else f"{name}-{40 * self.chunk_steps}ms"


@dataclass(frozen=True)
class Measured:
    """Parity of a bundle with the float model."""

    parity: Parity
    tasks: Tasks
    """Without figures if nothing was scored."""


def write_bundle(checkpoint: Checkpoint, plan: BundlePlan, clip: Array) -> Measured:
    """Export `checkpoint` to the new folder `plan.out`; nothing is left there on failure.

    `clip` (float32, 16 kHz, at least one diarization window long) becomes the self-test. Raises
    EchoError when the parity budget is missed and `plan.allow_over_budget` is not set.
    """
    exporter = find_exporter(plan.engine)
    if plan.out.exists():
        raise OutputError(f"{plan.out}: exists already, expected a new folder: choose another name")
    partial = plan.out.with_name(plan.out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        (partial / "selftest").mkdir(parents=True)
        measured = _fill(partial, checkpoint, exporter, plan, clip)
        partial.rename(plan.out)
    except OSError as error:
        raise OutputError(f"{plan.out}: cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return measured


def _fill(
    folder: Path, checkpoint: Checkpoint, exporter: Exporter, plan: BundlePlan, clip: Array
) -> Measured:
    """Write all files, measure what they do, and write the manifest last."""
    model, convert = checkpoint.model, exporter.load()
    graphs = {
        name: convert(job, plan.recipe, checkpoint.calibration, folder / f"{name}{exporter.suffix}")
        for name, job in graph_jobs(model, plan.chunk_steps).items()
    }
    if plan.second_pass is not None:
        jobs = second_pass_jobs(plan.second_pass.decoder, plan.chunk_steps)
        recipe = second_pass_recipe(plan.recipe)
        graphs |= {
            name: convert(job, recipe, None, folder / f"{name}{exporter.suffix}")
            for name, job in jobs.items()
        }
    _write_data(folder, checkpoint, plan)
    _write_clip(folder / AUDIO, clip)
    expected = reference(model, clip, plan.chunk_steps)
    draft = _manifest(checkpoint, exporter, plan, graphs)
    with load_bundle(_unsealed(folder, draft)) as session:
        parity = measure(session, expected, clip, plan.recipe.name)
        if parity.misses and not plan.allow_over_budget:
            raise EchoError(
                f"{plan.out.name}: parity budget missed, nothing written: "
                f"{'; '.join(parity.misses)} (--allow-over-budget writes it and marks it)\n"
                f"{parity.table()}"
            )
        tasks = measure_tasks(session, model) if plan.score else Tasks({}, {})
    promised = {n: min(parity.sqnr_db[n] - SELFTEST_MARGIN_DB, 90.0) for n in parity.min_db}
    _write_expected(folder, expected, promised)
    figures = {f"{name}.sqnr_db": round(value, 2) for name, value in parity.sqnr_db.items()}
    figures["over_budget"] = float(bool(parity.misses))
    manifest = replace(
        draft, files=_listing(folder), parity=figures | tasks.parity, metrics=tasks.metrics
    )
    (folder / "manifest.json").write_bytes(m.dump(manifest))
    if plan.key is None:
        open_bundle(folder)  # every rule holds, or the bundle is not written
    else:
        sign_bundle(folder, plan.key)
    return Measured(parity, tasks)


def _write_data(folder: Path, checkpoint: Checkpoint, plan: BundlePlan) -> None:
    """All files but graphs and the self-test's."""
    (folder / "tokens.txt").write_text("\n".join(TOKENS) + "\n", encoding="utf-8")
    if plan.language_model is not None:
        load_language_model(plan.language_model)
        shutil.copyfile(plan.language_model, folder / LANGUAGE)
    if plan.second_pass is not None:
        lines = [text.replace(" ", WORD_START) for text in plan.second_pass.subwords]
        (folder / SUBWORDS).write_text("\n".join(lines) + "\n", encoding="utf-8")
    if checkpoint.calibration is not None:
        text = checkpoint.calibration.to_json() + "\n"
        (folder / "calibration.json").write_text(text, encoding="utf-8")
    for name, source in LABELLED.items():
        if not source.is_file():
            raise EchoError(
                f"{source}: found nothing, expected the shipped bundle's labelled recording: "
                "install echo-edge again, or git checkout echo_edge/default_bundle"
            )
        shutil.copyfile(source, folder / name)


def _unsealed(folder: Path, draft: m.Manifest) -> Bundle:
    """The bundle as far as it is written, so that the runtime itself can be asked what it does."""
    manifest = replace(draft, files=_listing(folder))
    tokens = read_tokens((folder / manifest.asr.tokens).read_bytes(), manifest)
    name = manifest.asr.language_model
    language = load_language_model(folder / name) if name else None
    second = manifest.asr.second_pass
    subwords = read_subwords((folder / second.subwords).read_bytes(), manifest) if second else ()
    return Bundle(folder.resolve(), manifest, "", tokens, language, subwords=subwords)


def _write_clip(path: Path, clip: Array) -> None:
    data = io.BytesIO()
    with wave.open(data, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(np.rint(clip * 32768.0).clip(-32768, 32767).astype("<i2").tobytes())
    path.write_bytes(data.getvalue())


def _write_expected(folder: Path, expected: dict[str, Array], min_db: dict[str, float]) -> None:
    """Outputs that the self-test compares with, in half precision: far finer than any limit but
    float32's."""
    entries = {}
    for name, floor in sorted(min_db.items()):
        np.save(folder / "selftest" / f"{name}.npy", expected[name].astype(np.float16))
        entries[name] = {"file": f"{name}.npy", "least_db": round(min(floor, 50.0), 1)}
    text = json.dumps(entries, indent=1, sort_keys=True) + "\n"
    (folder / EXPECTED).write_text(text, encoding="utf-8")


def _listing(folder: Path) -> dict[str, m.FileSpec]:
    """Hash and size of every file that a manifest lists, by name."""
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in m.UNLISTED_FILES:
            data = path.read_bytes()
            files[name] = m.FileSpec(hashlib.sha256(data).hexdigest(), len(data))
    return files


def _manifest(
    checkpoint: Checkpoint,
    exporter: Exporter,
    plan: BundlePlan,
    graphs: dict[str, m.GraphSpec],
) -> m.Manifest:
    """The manifest without measurements and without the list of files."""
    config = checkpoint.model.config
    step = config.step_samples
    language, second = LANGUAGE if plan.language_model else "", plan.second_pass
    return m.Manifest(
        schema=m.BUNDLE_SCHEMA,
        name=plan.name,
        version=plan.version,
        build=plan.build,
        minimum_runtime=__version__,
        engine=m.EngineSpec(plan.engine, exporter.minimum_engine),
        recipe=plan.recipe.name,
        audio=m.AudioSpec(config.sample_rate, plan.chunk_steps * step, config.hop_length),
        streaming=m.StreamingSpec(plan.chunk_steps, step, config.left_context_steps),
        diarization=m.DiarizationSpec(config.window_steps, 25, POWERSET, config.embedding_dim),
        decoding=DECODING,
        asr=m.AsrSpec(
            "tokens.txt",
            0,
            config.asr_frames_per_step,
            language,
            m.SecondPassSpec(SUBWORDS, second.prompt, second.end) if second else None,
        ),
        separation=m.SeparationSpec(config.max_sources, config.overlap_samples),
        graphs=graphs,
        files={},
        source=m.SourceSpec(
            checkpoint.sha256, checkpoint.step, {tool: version(tool) for tool in exporter.tools}
        ),
        parity={},
        metrics={},
        boards=BOARDS,
    )
