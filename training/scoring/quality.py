"""Turns and words of bundles, latency by latency, on dialogues and real excerpts: the figures that
`training.quality` and `training.signals` print.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echo_edge.bench.report.table import markdown
from echo_edge.heads.clustering import GroupRules, group_clusters
from echo_edge.result import Result, Turn, Word
from echo_edge.session import Session
from echo_edge.writers.formats import to_rttm
from training.corpora.data import SAMPLE_RATE, Corpus
from training.scoring.diarization import Der, real_recordings, turns_of
from training.scoring.separation import separation_figures
from training.scoring.voices import embed, latents, voices
from training.scoring.words import by_speaker, dialogues, words_of
from training.simulation.mixtures import STEP_SAMPLES, Mixture

Array = NDArray[np.float32]
Row = dict[str, float | str]

LATENCIES_S = (0.5, 1.0, 2.0, 5.0, float("inf"))
COLUMNS = ("der", "missed", "false", "confusion", "jer", "count_right", "wer", "cpwer")
CHANGES = ("der", "wer", "cpwer")
PER_BUNDLE = {
    "eer": "eer",
    "pit": "separation.pit_accuracy",
    "si_sdri_db": "separation.si_sdri_db",
    "si_sdri_live_db": "separation.si_sdri_db_streamed",
}
"""Column -> its name in `training.evaluate`."""
SHORTEST_STEPS = 5
"""A true turn must be so long (0.2 s) for its voice to be told."""


@dataclass(frozen=True)
class Scene:
    """One recording and the truth about it."""

    name: str
    pcm: Array
    turns: list[tuple[float, float, str]]
    said: list[tuple[str, str]]
    """(speaker, words) by start; empty where nobody wrote them down."""


def conversations(corpus: Corpus, n: int) -> list[Scene]:
    """The dialogues of `training.evaluate`, of 2 and of 3 unseen readers."""
    return [
        Scene(f"dialogue{i:02d}", mixture.pcm, turns_of(mixture.active), said)
        for i, (mixture, said) in enumerate(dialogues(corpus, n))
    ]


def excerpts(data: Path) -> list[Scene]:
    """The real recordings of the development set: half a minute each."""
    return [Scene(name, pcm, turns, []) for name, (pcm, turns) in real_recordings(data).items()]


def measure(scenes: Sequence[Scene], results: Sequence[Result]) -> dict[str, float]:
    """All figures of one way to do it, in per cent."""
    import jiwer
    from meeteval.wer import combine_error_rates, cp_word_error_rate

    der, transcribed = Der(), []
    for scene, result in zip(scenes, results, strict=True):
        der.add(scene.turns, result)
        if scene.said and result.words:
            transcribed.append((scene, result))
    figures = {name.removeprefix("x."): value for name, value in der.figures("x").items()}
    if transcribed:
        truth = [" ".join(text for _, text in scene.said) for scene, _ in transcribed]
        found = [" ".join(word.text for word in by_start(result)) for _, result in transcribed]
        figures["wer"] = 100.0 * jiwer.wer(truth, found)
        rates = [
            cp_word_error_rate(
                by_speaker(s.said), words_of(r), reference_sort=False, hypothesis_sort=False
            )
            for s, r in transcribed
        ]
        figures["cpwer"] = 100.0 * combine_error_rates(*rates).error_rate
    return {name: round(figures[name], 2) for name in COLUMNS if name in figures}


def by_start(result: Result) -> list[Word]:
    """Words in the order in which they were begun."""
    return sorted(result.words, key=lambda word: word.start_s)


def one_speaker(scene: Scene) -> Result:
    """Somebody speaks all the time."""
    duration_s = len(scene.pcm) / SAMPLE_RATE
    return Result((Turn(0.0, duration_s, "speaker_1", 1.0),), duration_s=duration_s)


def true_turns(session: Session, scene: Scene) -> Result:
    """Every true turn by a voice of its own, then those joined that sound alike: what is left is
    the fault of the embedding and of the clustering."""
    spoken = latents(session, scene.pcm)["latents_speaker"]
    decoding, step_s = session.bundle.manifest.decoding, STEP_SAMPLES / SAMPLE_RATE
    turns, voices, weights = [], [], []
    for start_s, end_s, _ in scene.turns:
        steps = spoken[round(start_s / step_s) : round(end_s / step_s)]
        if len(steps) >= SHORTEST_STEPS:
            turns.append((start_s, end_s))
            voices.append(embed(session, steps))
            weights.append(len(steps))
    rules = replace(GroupRules.from_manifest(decoding), brief_s=0.0)
    grouping = group_clusters(np.stack(voices), np.array(weights, np.float32), rules, 1, 20)
    return Result(
        tuple(
            Turn(start_s, end_s, f"speaker_{group + 1}", 1.0)
            for (start_s, end_s), group in zip(turns, grouping.groups, strict=True)
        ),
        duration_s=len(scene.pcm) / SAMPLE_RATE,
    )


def rows(
    session: Session,
    name: str,
    sets: dict[str, list[Scene]],
    latencies_s: Sequence[float],
    out: Path,
) -> Iterator[Row]:
    """Scores of a bundle for every set at every latency. The turns of all sets go to
    OUT/NAME_LATENCY.rttm."""
    turns: dict[float, list[str]] = {latency_s: [] for latency_s in latencies_s}
    for kind, scenes in sets.items():
        for latency_s in latencies_s:
            results = [session.process(scene.pcm, latency_s) for scene in scenes]
            named = zip(scenes, results, strict=True)
            turns[latency_s] += [to_rttm(result, scene.name) for scene, result in named]
            yield {"set": kind, "way": name, "latency_s": f"{latency_s:g}"} | measure(
                scenes, results
            )
    out.mkdir(parents=True, exist_ok=True)
    for latency_s, texts in turns.items():
        (out / f"{name}_{latency_s:g}.rttm").write_text("".join(texts))


def per_bundle(session: Session, corpus: Corpus, mixtures: Sequence[Mixture]) -> Row:
    """EER and PIT accuracy in per cent, SI-SDRi in dB: what takes no waiting."""
    with tempfile.TemporaryDirectory() as trials:
        figures = voices(session, corpus, Path(trials)) | separation_figures(session, mixtures)
    return {column: round(figures[name], 2) for column, name in PER_BUNDLE.items()}


def report(found: Sequence[Row]) -> str:
    """Turns and words, then what each bundle is worth beside float32."""
    columns = ("set", "way", "latency_s", *COLUMNS)
    cells = [
        [f"{row[c]:.1f}" if isinstance(row.get(c), float) else str(row.get(c, "")) for c in columns]
        for row in found
        if "der" in row
    ]
    about = (
        "Per bundle: EER and PIT separation accuracy in per cent, SI-SDRi in dB, heard twice "
        "and live; in brackets how much more than float32; least and greatest difference in DER, "
        "WER and cpWER on the dialogues, over all latencies."
    )
    worth = markdown(
        ("way", *PER_BUNDLE, *(f"{name} - float32's" for name in CHANGES)), beside_float(found)
    )
    return f"{markdown(columns, cells)}\n\n{about}\n\n{worth}"


def beside_float(found: Sequence[Row]) -> list[list[str]]:
    """One row of cells per bundle: its figures, and how they differ from those of the float32
    bundle of its engine, or else of the first one."""
    figures = {str(row["way"]): row for row in found if "eer" in row}
    by_setting = {
        (row["way"], row["latency_s"]): row
        for row in found
        if row["set"] == "dialogues" and "der" in row
    }
    cells = []
    for way, row in figures.items():
        floats = [name for name in figures if name.endswith("_float32")]
        floats.sort(key=lambda name: name.split("_")[0] != way.split("_")[0])
        if not floats or way in floats:
            plain = [f"{row[key]:.2f}" for key in PER_BUNDLE]
            cells.append([way, *plain, *[""] * len(CHANGES)])
            continue
        base = figures[floats[0]]
        differences = [
            f"{row[key]:.2f} ({float(row[key]) - float(base[key]):+.2f})" for key in PER_BUNDLE
        ]
        cells.append([way, *differences, *(_range(by_setting, way, floats[0], c) for c in CHANGES)])
    return cells


def _range(by_setting: dict[tuple[Any, Any], Row], way: str, base: str, key: str) -> str:
    differences = [
        float(row[key]) - float(by_setting[base, latency_s][key])
        for (name, latency_s), row in by_setting.items()
        if name == way and key in row and key in by_setting[base, latency_s]
    ]
    return f"{min(differences):+.1f} to {max(differences):+.1f}" if differences else ""
