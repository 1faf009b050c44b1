"""Start of training: the statistics of a new frontend, classes of voices, a stored start."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from echo_edge_export.checkpoint import FORMAT
from echo_edge_export.model.config import EchoConfig
from echo_edge_export.model.echo import Echo
from training.corpora.data import SAMPLE_RATE
from training.objectives.heads import features_of
from training.objectives.latents import LatentPredictor
from training.objectives.losses import ArcFace
from training.objectives.voices import SpeakerTeacher
from training.scoring.quick import encode
from training.simulation.augment import SPEEDS, change_speed
from training.simulation.batches import Batches
from training.simulation.mixtures import STEP_SAMPLES

CENTRE_NOISE = 0.02
"""Deviation per dimension between the classes of one voice at its three speeds."""


@dataclass(frozen=True)
class Start:
    """An encoder with heads and the predictor that learned beside them."""

    model: Echo
    predictor: LatentPredictor | None
    second: Mapping[str, Tensor] | None = None
    """Cross-attention of a text decoder that has learned (`second.*`)."""


def read_start(path: Path) -> Start:
    """A checkpoint, also one whose matrices are int8 rows with their float32 scales
    (`NAME` and `NAME.scale`: `w = int8 * scale[row]`), and the predictor in it (`predictor.*`,
    `latent.mean`, `latent.std`), if there is one there or in `predictor.safetensors` beside it.
    ValueError if it is no checkpoint."""
    with safe_open(path, framework="pt") as stored:
        metadata = stored.metadata() or {}
        raw = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path}: found {metadata.get('format')}, expected {FORMAT}")
    beside = path.with_name("predictor.safetensors")
    if "latent.mean" not in raw and beside.exists():
        raw |= load_file(beside)
    tensors = _dequantize(raw)
    model = Echo(EchoConfig(**json.loads(metadata["config"])))
    kept = model.state_dict()
    model.load_state_dict({name: tensors[name].view_as(kept[name]) for name in kept})
    if "latent.mean" not in tensors:
        return Start(model, None)
    predictor = LatentPredictor(model.config.d_model, tensors["latent.mean"], tensors["latent.std"])
    with torch.no_grad():
        predictor.out.weight.copy_(tensors["predictor.weight"])
        predictor.out.bias.copy_(tensors["predictor.bias"])
    second = {name: value for name, value in tensors.items() if name.startswith("second.")}
    if "second.positions" in second:  # their int8 values were written column by column
        wide, scale = raw["second.positions"], raw["second.positions.scale"]
        by_row = wide.flatten().view(wide.shape[1], -1).T
        second["second.positions"] = by_row.float() * scale[:, None]
    return Start(model, predictor, second or None)


def _dequantize(raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Float32 tensors; a scale belongs to the first dimension."""
    tensors = {}
    for name, value in raw.items():
        if name.endswith(".scale") and name.removesuffix(".scale") in raw:
            continue
        scale = raw.get(f"{name}.scale")
        wide = value.float()
        tensors[name] = wide if scale is None else wide * scale.view(-1, *[1] * (wide.ndim - 1))
    return tensors


def set_statistics(model: Echo, batches: Batches, n_batches: int = 40) -> None:
    """Mean and deviation of every mel band over the first training batches."""
    frames = torch.cat([features_of(model, batches[i].pcm).flatten(0, 1) for i in range(n_batches)])
    model.frontend.mean.copy_(frames.mean(0))
    model.frontend.std.copy_(frames.std(0))


@torch.no_grad()
def set_centres(arcface: ArcFace, batches: Batches) -> None:
    """Every class of ArcFace whose voice has a voiceprint starts there, at each speed with a little
    noise, so that the head's embeddings and the pretrained encoder's share one space."""
    known = batches.teachers.voices.centroids if batches.teachers.voices else {}
    generator = torch.Generator().manual_seed(0)
    for name, index in batches.classes.items():
        if name not in known:
            continue
        for variant in range(index * len(SPEEDS), (index + 1) * len(SPEEDS)):
            noise = torch.randn(arcface.weight.shape[1], generator=generator) * CENTRE_NOISE
            arcface.weight[variant] = torch.from_numpy(known[name]) + noise


@torch.no_grad()
def set_voices(model: Echo, arcface: ArcFace, batches: Batches, seconds: float = 4.0) -> None:
    """Every class of ArcFace starts as what the model says of some seconds of that voice, so that a
    trained encoder is not pulled towards random directions."""
    model.eval()
    n_samples = int(seconds * SAMPLE_RATE)
    for name, pool in batches.voices.items():
        index = batches.classes[name]
        pieces = [batches.corpus.pcm(u) for u in pool[:12]]
        voice = np.concatenate(pieces)[: int(n_samples * max(SPEEDS))]
        for variant, speed in enumerate(SPEEDS, start=index * len(SPEEDS)):
            pcm = change_speed(voice, speed)[:n_samples]
            pcm = pcm[: len(pcm) // STEP_SAMPLES * STEP_SAMPLES]
            latents = encode(model, torch.from_numpy(pcm)[None])[2]
            arcface.weight[variant] = model.speaker(latents, torch.ones(1, 1, latents.shape[1]))[
                0, 0
            ]
    model.train()


def start_voices(
    model: Echo, arcface: ArcFace, batches: Batches, hand_over: bool
) -> SpeakerTeacher | None:
    """The speaker encoder that the batches know, if any: classes begin at its centroids and, with
    `hand_over`, the speaker head as its end."""
    source = batches.teachers.voices
    if source is None:
        return None
    teacher = SpeakerTeacher(source.pooling, source.mean, source.std)
    set_centres(arcface, batches)
    if hand_over:
        teacher.hand_over(model.speaker)
    return teacher
