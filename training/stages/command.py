"""Options and inputs that the training commands share."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from echo_edge_export.model.echo import Echo
from training.corpora.alignment import load_alignment
from training.corpora.data import Corpus, load_splits
from training.objectives.latents import LatentPredictor
from training.objectives.vq import VectorQuantizer
from training.scoring.latents import latent_figures
from training.scoring.quick import quick_figures
from training.scoring.second_pass import second_pass_figures
from training.simulation.batches import Batches, BatchSpec, Teachers, default_rooms
from training.simulation.meetings import load_meetings, load_timing
from training.simulation.voice_crops import VoiceSource
from training.simulation.windows import LatentSource
from training.stages.second_pass import TextLearner


def shared_options() -> argparse.ArgumentParser:
    """A parent parser: data, teachers, schedule, machine."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and dev/")
    parser.add_argument("--more", type=Path, nargs="*", default=[], help="further training corpora")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--out", type=Path, help="folder of the run")
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--start", type=Path, help="go on from this checkpoint")
    parser.add_argument("--peak", type=float, default=8e-4, help="peak learning rate")
    parser.add_argument("--decay", type=float, default=0.3, help="last share of steps that decays")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--full-context", type=float, default=0.4, help="share without chunks")
    parser.add_argument("--read-items", type=int, default=5, help="read utterances per step")
    parser.add_argument(
        "--roughness", type=float, default=1.0, help="share of the augmentation of read speech"
    )
    parser.add_argument("--latents", type=Path, help="target encoder's latents of training speech")
    parser.add_argument("--dev-latents", type=Path, help="and of development speech")
    parser.add_argument("--voices", type=Path, help="a speaker encoder's frames of training speech")
    parser.add_argument(
        "--crops", type=float, default=40.0, help="seconds of single voices per step"
    )
    parser.add_argument("--windows", type=int, default=4, help="windows without words per step")
    parser.add_argument(
        "--read-only", type=int, default=0, help="steps in which heads do not teach the encoder"
    )
    parser.add_argument("--fade", type=int, default=0, help="steps until they teach in full")
    parser.add_argument("--bf16", action="store_true", help="blocks multiply in bfloat16")
    parser.add_argument("--device", default="cpu", help="where to train: cpu, cuda, ...")
    parser.add_argument("--workers", type=int, default=1, help="processes that make batches")
    parser.add_argument("--look-every", type=int, default=400, help="steps between quick looks")
    parser.add_argument("--save-every", type=int, default=100)
    return parser


@dataclass(frozen=True)
class Inputs:
    """Batches to train on, and what development figures are taken from."""

    batches: Batches
    dev: Corpus
    dev_latents: LatentSource | None

    def evaluate(self, modules: dict[str, nn.Module]) -> dict[str, float]:
        """Development figures of `model` and, where it is there, `predictor`."""
        model, predictor = modules["model"], modules.get("predictor")
        quantizer = modules.get("quantizer")
        assert isinstance(model, Echo)  # noqa: S101
        coded = quantizer if isinstance(quantizer, VectorQuantizer) else None
        figures = quick_figures(model, self.dev, coded)
        if self.dev_latents is not None and isinstance(predictor, LatentPredictor):
            figures |= latent_figures(model, predictor, self.dev_latents)
        text = modules.get("text")
        if isinstance(text, TextLearner):
            figures |= second_pass_figures(model, text.decoder, text.tokens, self.dev)
        return figures


def load_inputs(args: argparse.Namespace, spec: BatchSpec, easy_start: bool = False) -> Inputs:
    """Loads the inputs that the shared options name."""
    corpus, dev = load_splits(args.data, args.cache, args.more)
    latents, dev_latents = _latents(args.latents, corpus), _latents(args.dev_latents, dev)
    batches = Batches(
        corpus, default_rooms(args.cache), spec, args.seed,
        load_alignment(args.cache / "phones.npz"),
        easy_start=easy_start, roughness=args.roughness,
        meetings=load_meetings(corpus, args.data / "train/rttm"),
        timing=load_timing(args.data / "timing/ami_dev.rttm"),
        teachers=Teachers(latents, _voices(args.voices, corpus)),
    )  # fmt: skip
    return Inputs(batches, dev, dev_latents)


def _voices(folder: Path | None, corpus: Corpus) -> VoiceSource | None:
    if folder is None:
        return None
    from training.teachers.voices import VoiceStore

    return VoiceStore(folder, corpus)


def _latents(folder: Path | None, corpus: Corpus) -> LatentSource | None:
    if folder is None:
        return None
    from training.teachers.latents import LatentStore

    return LatentStore(folder, corpus)
