"""One checkpoint to one bundle: export the graphs, measure parity, write the manifest, all or
nothing. Same checkpoint, recipe and tool versions, same bytes.
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

from echo_edge.bench import accuracy
from echo_edge.bundle import manifest as m
from echo_edge.bundle.language_model import load_language_model
from echo_edge.errors import EchoError, OutputError
from echo_edge.selftest import AUDIO, EXPECTED
from echo_edge.session import load
from echo_edge.version import __version__
from echo_edge_export.checkpoint import Checkpoint
from echo_edge_export.convert.table import Exporter, find_exporter
from echo_edge_export.model.config import POWERSET, TOKENS
from echo_edge_export.model.streaming import graph_inputs, graph_modules, graph_outputs
from echo_edge_export.parity import COMPARED, Parity, measure, reference
from echo_edge_export.quantize.recipes import Recipe

Array = NDArray[np.float32]

BOARDS = ("aarch64", "x86-64")
LANGUAGE = "language.npz"
LABELLED = {
    name: Path(__file__).with_name(Path(name).name) for name in (accuracy.AUDIO, accuracy.TRUTH)
}
"""What `echo-edge bench` scores: demo/'s conversation, whose voices training never hears."""

DECODING = {
    "active_threshold": 0.5,
    "gap_s": 0.4,
    "group_threshold": 0.38,
    "language_weight": 1.1,
    "new_voice_s": 1.0,
    "shortest_turn_s": 0.2,
    "slot_threshold": 0.25,
    "stretch_threshold": 0.37,
    "voice_threshold": 0.65,
    "word_bonus": -2.0,
}
"""Decoder thresholds, tuned on development recordings by `python -m training.tune`."""

CHUNK_STEPS = 12
"""Steps of 40 ms per chunk that a bundle's name need not say."""

SELFTEST_MARGIN_DB = 6.0
"""A board may be this much noisier than the exporting machine: other kernels, other rounding."""


@dataclass(frozen=True)
class BundlePlan:
    """What to write and where."""

    engine: str
    recipe: Recipe
    chunk_steps: int
    out: Path
    version: str = __version__
    build: int = 1
    allow_over_budget: bool = False
    language_model: Path | None = None

    @property
    def name(self) -> str:
        """What the bundle is called, and its folder if nobody says otherwise."""
        name = f"echo-25m-v{self.version}-{self.recipe.name}-{self.engine}"
        return name if self.chunk_steps == CHUNK_STEPS else f"{name}-{40 * self.chunk_steps}ms"


def write_bundle(checkpoint: Checkpoint, plan: BundlePlan, clip: Array) -> Parity:
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
        parity = _fill(partial, checkpoint, exporter, plan, clip)
        partial.rename(plan.out)
    except OSError as error:
        raise OutputError(f"{plan.out}: cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return parity


def _fill(
    folder: Path,
    checkpoint: Checkpoint,
    exporter: Exporter,
    plan: BundlePlan,
    clip: Array,
) -> Parity:
    model, export = checkpoint.model, exporter.load()
    modules = graph_modules(model, plan.chunk_steps)
    inputs, outputs = graph_inputs(model.config, plan.chunk_steps), graph_outputs(model.config)
    graphs = {
        name: export(
            module,
            name,
            inputs[name],
            outputs[name],
            plan.recipe,
            checkpoint.calibration,
            folder / f"{name}{exporter.suffix}",
        )
        for name, module in modules.items()
    }
    (folder / "tokens.txt").write_text("\n".join(TOKENS) + "\n", encoding="utf-8")
    if plan.language_model is not None:
        load_language_model(plan.language_model)
        shutil.copyfile(plan.language_model, folder / LANGUAGE)
    if checkpoint.calibration is not None:
        text = checkpoint.calibration.to_json() + "\n"
        (folder / "calibration.json").write_text(text, encoding="utf-8")
    expected = reference(model, clip, plan.chunk_steps)
    _write_clip(folder / AUDIO, clip)
    for name, source in LABELLED.items():
        shutil.copyfile(source, folder / name)
    manifest = _manifest(checkpoint, exporter, plan, graphs)

    # Measured through the very loader that a board uses, so the manifest is written twice: first
    # so that the graphs can be loaded, then with what was measured.
    _write_expected(folder, expected, dict.fromkeys(COMPARED, -100.0))
    _seal(folder, manifest)
    with load(folder) as session:
        parity = measure(session, expected, clip, plan.recipe.name)
    if parity.misses and not plan.allow_over_budget:
        raise EchoError(
            f"{plan.out.name}: parity budget missed, nothing written: {'; '.join(parity.misses)} "
            f"(--allow-over-budget writes it and marks it)\n{parity.table()}"
        )
    promised = {n: min(parity.sqnr_db[n] - SELFTEST_MARGIN_DB, 90.0) for n in parity.least_db}
    _write_expected(folder, expected, promised)
    figures = {f"{name}.sqnr_db": round(value, 2) for name, value in parity.sqnr_db.items()}
    figures["over_budget"] = float(bool(parity.misses))
    _seal(folder, replace(manifest, parity=figures))
    return parity


def _write_clip(path: Path, clip: Array) -> None:
    data = io.BytesIO()
    with wave.open(data, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(np.rint(clip * 32768.0).clip(-32768, 32767).astype("<i2").tobytes())
    path.write_bytes(data.getvalue())


def _write_expected(folder: Path, expected: dict[str, Array], least_db: dict[str, float]) -> None:
    """What the self-test compares: half precision is far finer than any limit but float32's."""
    entries = {}
    for name, least in sorted(least_db.items()):
        np.save(folder / "selftest" / f"{name}.npy", expected[name].astype(np.float16))
        entries[name] = {"file": f"{name}.npy", "least_db": round(min(least, 50.0), 1)}
    text = json.dumps(entries, indent=1, sort_keys=True) + "\n"
    (folder / EXPECTED).write_text(text, encoding="utf-8")


def _seal(folder: Path, manifest: m.Manifest) -> None:
    """List and hash every file, then write the manifest."""
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in m.UNLISTED_FILES:
            data = path.read_bytes()
            files[name] = m.FileSpec(hashlib.sha256(data).hexdigest(), len(data))
    (folder / "manifest.json").write_bytes(m.dump(replace(manifest, files=files)))


def _manifest(
    checkpoint: Checkpoint,
    exporter: Exporter,
    plan: BundlePlan,
    graphs: dict[str, m.GraphSpec],
) -> m.Manifest:
    config = checkpoint.model.config
    step = config.step_samples
    placeholder = m.FileSpec("0" * 64, 0)
    language = LANGUAGE if plan.language_model else ""
    names = [*(spec.file for spec in graphs.values()), "tokens.txt", *filter(None, [language])]
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
        decoding=dict(DECODING),
        asr=m.AsrSpec("tokens.txt", 0, config.asr_frames_per_step, language),
        separation=m.SeparationSpec(config.max_sources, config.overlap_samples),
        graphs=graphs,
        files=dict.fromkeys(names, placeholder),
        source=m.SourceSpec(
            checkpoint.sha256, checkpoint.step, {tool: version(tool) for tool in exporter.tools}
        ),
        parity={},
        metrics={},
        boards=BOARDS,
    )
