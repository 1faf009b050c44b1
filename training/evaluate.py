"""What a bundle is worth, through the runtime that ships: DER, WER, EER on unseen speakers.

Also, from the float checkpoint, the paper's separation figures. Every figure prints with its
protocol; hypotheses are stored beside the figures.

    python -m training.evaluate --data DATA --bundle echo_edge/default_bundle \
        --checkpoint models/echo-25m.safetensors --out runs/evaluation
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from echo_edge.audio import read_blocks
from echo_edge.formats import to_rttm
from echo_edge.results import Result
from echo_edge.session import Session, load
from echo_edge_export.checkpoint import load_checkpoint

from .data import Corpus, Pcm, load_corpus
from .layouts import read_rttm
from .metrics import equal_error_rate, error_rates
from .mixtures import STEP_SAMPLES, Mixture, conversation
from .separation_metrics import separation_figures

LATENCIES_S = (1.0, 2.0, 5.0, float("inf"))


class Der:
    """Diarization error rate over several recordings: collar 0, overlap scored, count unknown."""

    def __init__(self) -> None:
        from pyannote.metrics.diarization import DiarizationErrorRate, JaccardErrorRate

        self.der = DiarizationErrorRate(collar=0.0, skip_overlap=False)
        self.jer = JaccardErrorRate(collar=0.0, skip_overlap=False)
        self.counts: list[bool] = []

    def add(self, reference: list[tuple[float, float, str]], result: Result) -> None:
        """Score one recording; reference turns as (start_s, end_s, speaker)."""
        from pyannote.core import Annotation, Segment, Timeline

        truth, guess = Annotation(), Annotation()
        for i, (start, end, speaker) in enumerate(reference):
            truth[Segment(start, end), i] = speaker
        for i, turn in enumerate(result.turns):
            guess[Segment(turn.start_s, turn.end_s), i] = turn.speaker
        whole = Timeline([Segment(0.0, result.duration_s)])
        self.der(truth, guess, uem=whole)
        self.jer(truth, guess, uem=whole)
        self.counts.append(len(truth.labels()) == len(guess.labels()))

    def figures(self, name: str) -> dict[str, float]:
        """DER with its three parts, JER, share of right speaker counts, in per cent."""
        detail: Any = self.der[:]  # type: ignore[index]  # the library's own way to ask for parts
        total = max(detail["total"], 1e-9)
        parts = ("missed detection", "false alarm", "confusion")
        return {
            f"{name}.der": 100.0 * abs(self.der),
            **{f"{name}.{p.split()[0]}": 100.0 * detail[p] / total for p in parts},
            f"{name}.jer": 100.0 * abs(self.jer),
            f"{name}.count_right": 100.0 * float(np.mean(self.counts)),
        }


def turns_of(active: NDArray[np.bool_]) -> list[tuple[float, float, str]]:
    """Active steps `[K, S]` as reference turns."""
    turns = []
    for k, row in enumerate(active):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
        step_s = STEP_SAMPLES / 16_000
        turns += [(a * step_s, b * step_s, f"s{k}") for a, b in edges.reshape(-1, 2).tolist()]
    return turns


def simulated(corpus: Corpus, n: int, seconds: float, seed: int = 77) -> list[Mixture]:
    """Seeded conversations of 2 or 3 unseen voices, rooms left out, noise as in training. Tuning
    uses another seed than evaluation."""
    voices = {name: pool for name, pool in corpus.by_speaker().items() if len(pool) >= 8}
    return [
        conversation(corpus, voices, None, seconds, 2 + i % 2, np.random.default_rng((seed, i)))
        for i in range(n)
    ]


def diarization(session: Session, data: Path, corpus: Corpus, out: Path) -> dict[str, float]:
    """DER on simulated and on real recordings, per latency for the simulated ones."""
    figures: dict[str, float] = {}
    mixtures = simulated(corpus, 16, 60.0)
    for latency_s in LATENCIES_S:
        score = Der()
        for i, mixture in enumerate(mixtures):
            result = session.process(mixture.pcm, latency_s)
            score.add(turns_of(mixture.active), result)
            (out / f"simulated_{latency_s:g}").mkdir(exist_ok=True, parents=True)
            path = out / f"simulated_{latency_s:g}" / f"{i:02d}.rttm"
            path.write_text(to_rttm(result, f"{i:02d}"))
        figures |= score.figures(f"simulated.latency_{latency_s:g}")
    real = [data / "dev/ami_pyannote/dev00.flac", data / "dev/ami_pyannote/dev01.flac"]
    real.append(data / "dev/pyannote_sample/sample.flac")
    for path in real:
        score = Der()
        result = session.process(np.concatenate(list(read_blocks(path))))
        score.add(read_rttm(data / "dev/rttm" / f"{path.stem}.rttm"), result)
        (out / f"{path.stem}.rttm").write_text(to_rttm(result, path.stem))
        figures |= score.figures(f"real.{path.stem}")
    return figures


def transcription(session: Session, corpus: Corpus, out: Path) -> dict[str, float]:
    """WER and CER on unseen readers: LibriSpeech and non-native English, one stream each."""
    figures: dict[str, float] = {}
    for name, source in (("libri", "librispeech_dev-clean_mp3"), ("so762", "speechocean762")):
        pool = [u for u in corpus.utterances if u.source == source and u.text]
        references, hypotheses = [], []
        for u in pool[:: max(1, len(pool) // 150)]:
            pcm = np.pad(corpus.pcm(u), (1600, 8000))
            words = session.process(pcm).words
            references.append(u.text)
            hypotheses.append(" ".join(word.text for word in words))
        rows = [f"{r}\t{h}" for r, h in zip(references, hypotheses, strict=True)]
        (out / f"words_{name}.tsv").write_text("\n".join(rows) + "\n")
        figures |= {f"{name}.{k}": v for k, v in error_rates(references, hypotheses).items()}
    return figures


def embed(session: Session, pcm: Pcm) -> NDArray[np.float32]:
    """Speaker embedding of one excerpt through the bundle's graphs."""
    from echo_edge.graph import GraphStream

    graphs = session.bundle.manifest.graphs
    frontend = GraphStream(session.engines["frontend"], graphs["frontend"])
    encoder = GraphStream(session.engines["encoder"], graphs["encoder"])
    size = session.bundle.manifest.audio.chunk_samples
    window = session.bundle.manifest.diarization.window_steps
    pcm = pcm[: len(pcm) // size * size]
    rows = []
    for start in range(0, len(pcm), size):
        front = frontend.run(pcm=pcm[None, start : start + size])
        rows.append(encoder.run(features=front["features"])["latents_speaker"])
    latents = np.concatenate(rows, axis=1)[:, -window:]
    pad = window - latents.shape[1]
    weights = np.zeros((1, 3, window), np.float32)
    weights[0, 0, pad:] = 1.0
    padded = np.pad(latents, ((0, 0), (pad, 0), (0, 0)))
    return session.engines["speaker"].run({"latents": padded, "weights": weights})["embeddings"][
        0, 0
    ]


def verification(session: Session, corpus: Corpus, seconds: float = 3.4) -> dict[str, float]:
    """EER of all pairs of excerpts, four per unseen voice, about 3 s each, different utterances."""
    embeddings, names = [], []
    for name, pool in sorted(corpus.by_speaker().items()):
        quarter = len(pool) // 4
        for part in [pool[i * quarter : (i + 1) * quarter] for i in range(4 if quarter else 0)]:
            pcm = np.concatenate([corpus.pcm(u) for u in part])[: int(seconds * 16_000)]
            if len(pcm) >= 2 * 16_000:
                embeddings.append(embed(session, pcm))
                names.append(name)
    table, labels = np.stack(embeddings), np.array(names)
    left, right = np.triu_indices(len(labels), 1)
    scores = (table @ table.T)[left, right].astype(np.float64)
    same = labels[left] == labels[right]
    return {"eer": equal_error_rate(scores, same), "eer.trials": float(len(same))}


def report(figures: dict[str, float]) -> str:
    """One line per figure."""
    return "\n".join(f"{name:<40} {value:8.2f}" for name, value in figures.items())


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with dev/")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, help="for the separation figures")
    parser.add_argument("--out", type=Path, default=Path("runs/evaluation"))
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    corpus = load_corpus([args.data / "dev"], args.cache / "dev")
    with load(args.bundle) as session:
        figures = transcription(session, corpus, args.out)
        figures |= verification(session, corpus)
        figures |= diarization(session, args.data, corpus, args.out)
        if args.checkpoint:
            torch.set_grad_enabled(False)
            model = load_checkpoint(args.checkpoint).model
            figures |= separation_figures(model, session, simulated(corpus, 16, 19.2))
    print(report(figures))
    (args.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
