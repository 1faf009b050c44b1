"""The losses of one training step: latents, words, voices, turns and sources of a batch."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from echo_edge_export.model.echo import Echo, Latents
from training.objectives.heads import features_of, sources_loss, words_loss
from training.objectives.latents import LatentPredictor, hide
from training.objectives.losses import ArcFace, PhoneHead, turns_loss
from training.objectives.text import text_loss
from training.objectives.voices import SpeakerTeacher, crops_loss, voice_loss
from training.objectives.vq import VectorQuantizer
from training.simulation.batch import Batch
from training.stages.second_pass import TextLearner
from training.stages.teaching import fade

WINDOW_SHARE, READ_SHARE = 0.3, 0.1
"""Of the frames, hidden at most: where only latents are predicted, and where words are read too."""


QUIET_END = 12
"""Steps of 40 ms that a turn goes on after its last word, for the second pass."""


@dataclass(frozen=True)
class Weights:
    """Weight of each loss in the sum; a loss of weight 0 is not computed."""

    latents: float = 0.0
    words: float = 1.0
    phones: float = 1.0
    voices: float = 0.1
    """ArcFace is small beside the others: it starts at 8 nats and would steer the encoder alone."""
    likeness: float = 0.0
    """Cosine to a pretrained speaker encoder's embedding."""
    frames: float = 0.0
    """Of that encoder, before it pools them."""
    turns: float = 1.0
    sources: float = 0.5
    text: float = 0.0
    """Tokens of the second pass."""


@dataclass
class Learners:
    """All modules of a step; only the model is kept after training."""

    model: Echo
    arcface: ArcFace
    phone_head: PhoneHead
    predictor: LatentPredictor | None = None
    quantizer: VectorQuantizer | None = None
    text: TextLearner | None = None
    speaker_teacher: SpeakerTeacher | None = None
    """It does not learn."""

    def parts(self) -> dict[str, nn.Module]:
        """The modules that are there, by name."""
        return {name: part for name, part in vars(self).items() if isinstance(part, nn.Module)}


@dataclass(frozen=True)
class Progress:
    """Scheduled quantities of one step."""

    step: int
    margin: float = 0.2
    """Of ArcFace, in radians."""
    masked: bool = True
    """Whether spans and bands are hidden."""
    teaching: float = 1.0
    """Share of the heads' gradient that reaches the encoder."""


Losses = dict[str, Tensor]
Figures = dict[str, float]


def step_losses(
    learners: Learners, batch: Batch, weights: Weights, progress: Progress
) -> tuple[Losses, Figures]:
    """Weighted losses by name, whose sum is the step's loss, and figures to log."""
    generator = torch.Generator().manual_seed(progress.step)
    losses, read, figures = _read_losses(learners, batch, weights, progress, generator)
    if len(batch.windows):
        losses["latents"], cosine = _window_loss(learners, batch, progress, generator)
        losses["latents"] = weights.latents * losses["latents"]
        figures |= {"latents": losses["latents"].item() / weights.latents, "cos": cosine}
    mixed = None
    if len(batch.mixture):
        features = features_of(learners.model, batch.mixture)
        encoder = learners.model.encoder
        layers = encoder.layers(features, batch.chunk_steps, batch.left_steps)
        mixed = fade(encoder, layers, progress.teaching)
    losses["voices"], parts = _voices_losses(
        learners, batch, (read, mixed), weights, progress, generator
    )
    figures |= parts
    if mixed is not None:
        more, parts = _conversation_losses(learners.model, batch, mixed, weights, generator)
        losses, figures = losses | more, figures | parts
    return losses, figures


def _read_losses(
    learners: Learners,
    batch: Batch,
    weights: Weights,
    progress: Progress,
    generator: torch.Generator,
) -> tuple[Losses, Latents, Figures]:
    """Read speech: phones, CTC and, where a target encoder is known, its latents."""
    model, predictor = learners.model, learners.predictor
    features = features_of(model, batch.pcm)
    if progress.masked:
        share = READ_SHARE * float(torch.rand((), generator=generator))
        features = hide(features, share, generator)
    layers = model.encoder.layers(features, batch.chunk_steps, batch.left_steps)
    read = fade(model.encoder, layers, progress.teaching)
    losses: Losses = {}
    figures: Figures = {}
    if predictor is not None:
        near, _ = predictor(read.final, batch.latents, batch.latents_valid)
        losses["near"], figures["near"] = weights.latents * near, near.item()
    if learners.text is not None:
        losses["text"], figures["text"] = _text_loss(learners.text, batch, read, weights.text)
    words = read.asr
    if learners.quantizer is not None:
        words, commitment = learners.quantizer(words)
        losses["vq"], figures["vq"] = 0.25 * commitment, commitment.item()
    spoken, parts = words_loss(model, words, batch)
    losses["words"] = weights.words * spoken
    figures |= parts
    if weights.phones:
        phones, right = learners.phone_head(words, batch.phones)
        losses["phones"] = weights.phones * phones
        figures |= {"phones": phones.item(), "phones_right": right}
    return losses, read, figures


def _text_loss(
    learner: TextLearner, batch: Batch, read: Latents, weight: float
) -> tuple[Tensor, float]:
    """The second pass over the read items, each of which ends soon after its last word."""
    steps = torch.arange(batch.active.shape[1], device=batch.active.device)
    last = torch.where(batch.active > 0, steps, -1).amax(1, keepdim=True)
    valid = steps <= (last + QUIET_END).clamp(min=0)
    with torch.autocast(read.final.device.type, torch.bfloat16, enabled=learner.bf16):
        loss = text_loss(learner.decoder, learner.tokens, read.final, valid, batch.texts)
    return weight * loss, loss.item()


def _voices_losses(
    learners: Learners,
    batch: Batch,
    latents: tuple[Latents, Latents | None],
    weights: Weights,
    progress: Progress,
    generator: torch.Generator,
) -> tuple[Tensor, Figures]:
    """Voices of read speech and of conversations, and of crops where there is a teacher."""
    model, arcface, teacher = learners.model, learners.arcface, learners.speaker_teacher
    margin, likeness = voice_loss(
        model, arcface, batch, *latents, progress.margin, generator, taught=teacher is not None
    )
    loss = weights.voices * margin + weights.likeness * likeness
    figures = {"aam": margin.item(), "likeness": likeness.item()}
    if teacher is None or not len(batch.crops):
        return loss, figures
    features = features_of(model, batch.crops)
    layers = model.encoder.layers(features, batch.chunk_steps, batch.left_steps)
    speaker = fade(model.encoder, layers, progress.teaching).speaker
    margin, likeness, frames = crops_loss(
        model.speaker, teacher, arcface, speaker, batch, progress.margin
    )
    loss = loss + weights.voices * margin + weights.likeness * likeness + weights.frames * frames
    crops = {"crop_aam": margin, "crop_likeness": likeness, "crop_frames": frames}
    return loss, figures | {name: value.item() for name, value in crops.items()}


def _window_loss(
    learners: Learners, batch: Batch, progress: Progress, generator: torch.Generator
) -> tuple[Tensor, float]:
    """Latent prediction on speech without words; ValueError without a predictor."""
    if learners.predictor is None:
        raise ValueError("windows: found no predictor, expected one: give it a target encoder")
    features = features_of(learners.model, batch.windows)
    if progress.masked:
        share = WINDOW_SHARE * float(torch.rand((), generator=generator))
        features = hide(features, share, generator)
    layers = learners.model.encoder.layers(features, batch.chunk_steps, batch.left_steps)
    final = learners.model.encoder.norm(layers[-1])
    loss, cosine = learners.predictor(final, batch.windows_latents, batch.windows_valid)
    return loss, cosine.item()


def _conversation_losses(
    model: Echo, batch: Batch, mixed: Latents, weights: Weights, generator: torch.Generator
) -> tuple[Losses, Figures]:
    """Turns of all conversations, separation of the simulated ones."""
    turns, same = turns_loss(model.diarization, mixed.diarization, batch.mixture_active)
    chunk = min(batch.chunk_steps, mixed.final.shape[1])
    sources, parts = sources_loss(model, batch, mixed, chunk, batch.left_steps, generator)
    losses = {"turns": weights.turns * (turns + same), "sources": weights.sources * sources}
    figures = {"diar": turns.item(), "same": same.item()}
    return losses, figures | {name: parts[name] for name in ("snr", "presence")}
