"""One stage of training: steps, resumable state, looks at development data."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from echo_edge_export.checkpoint import save_checkpoint, write_tensors
from echo_edge_export.model.echo import Echo
from training.objectives.latents import LatentPredictor
from training.objectives.qat import fake_quantize
from training.simulation.batch import Batch
from training.simulation.batches import Batches, loader
from training.stages.loop import (
    Average,
    Log,
    Schedule,
    adamw,
    choose_device,
    load_state,
    run,
    save_state,
    use_bfloat16,
)
from training.stages.second_pass import TextLearner, save_text
from training.stages.step import Learners, Progress, Weights, step_losses
from training.stages.teaching import FadeIn, gradient_norms

Evaluate = Callable[[dict[str, nn.Module]], dict[str, float]]
"""Development figures of the averaged modules (`model`, and `predictor` where there is one)."""

TAKEN_OVER = slice(1, 7)
"""Blocks that are a pretrained encoder's layers where there is a predictor: they learn slower."""


@dataclass(frozen=True)
class Plan:
    """A stage's schedule, and where it runs."""

    out: Path
    steps: int
    peak: float
    weights: Weights
    decay: float = 0.3
    warmup: int = 200
    fast: float = 1.0
    """Rate of what is new beside taken-over blocks."""
    weight_decay: float = 0.05
    fading: FadeIn = field(default_factory=FadeIn)
    masked_from: int = 0
    qat: float = 0.0
    """Last share of the steps that sees int8 rounding."""
    bf16: bool = False
    device: str = "cpu"
    workers: int = 1
    look_every: int = 400
    save_every: int = 100
    rank: int = 0
    world: int = 1

    def progress(self, step: int) -> Progress:
        """All schedules but the rate's: the margin grows from 20 to 50 % of the way."""
        ramp = min(1.0, max(0.0, (step / self.steps - 0.2) / 0.3))
        return Progress(step, 0.2 * ramp, step >= self.masked_from, self.fading.share(step))


class Stage:
    """Trains `learners` as planned; stopped anywhere, it goes on exactly where it was."""

    def __init__(
        self, learners: Learners, batches: Batches, plan: Plan, evaluate: Evaluate
    ) -> None:
        self.learners, self.batches, self.plan, self.evaluate = learners, batches, plan, evaluate
        device = choose_device(plan.device)
        for part in learners.parts().values():
            part.to(device)
        averaged = {
            "model": learners.model, "predictor": learners.predictor, "text": learners.text,
        }  # fmt: skip
        self.averaged: dict[str, nn.Module] = {n: m for n, m in averaged.items() if m is not None}
        self.average = Average(self.averaged)
        mean = self.average.modules["model"]
        assert isinstance(mean, Echo)  # noqa: S101
        self.mean = mean
        blocks = learners.model.encoder.blocks
        if plan.bf16:
            for some in (blocks, mean.encoder.blocks):
                use_bfloat16(some, device)
        self.optimizer = adamw(
            learners.parts().values(), plan.peak, plan.weight_decay,
            slow=self._taken_over(), fast=plan.fast,
        )  # fmt: skip
        self.parts = {
            **learners.parts(), "optimizer": self.optimizer, "average": self.average,
        }  # fmt: skip
        self.norms: dict[str, float] = {}

    def train(self) -> None:
        """All steps that are left."""
        plan = self.plan
        first = load_state(plan.out / "state.pt", self.parts)
        self.rounding_from = round((1.0 - plan.qat) * plan.steps)
        if plan.qat and first >= self.rounding_from:
            fake_quantize(self.learners.model)
        schedule = Schedule(plan.peak, plan.steps, plan.warmup, plan.decay)
        log = Log(plan.out / f"log{plan.rank or ''}.csv", 20, plan.steps)
        started = time.monotonic()
        ahead = loader(self.batches, first, plan.steps, plan.rank, plan.world, plan.workers)
        model = self.learners.model
        encoder = {model.encoder, self.learners.predictor}
        heads = [
            m for m in (*model.children(), *self.learners.parts().values()) if m not in encoder
        ]
        heads.remove(model)
        run(self._loss, ahead, first, self.optimizer, schedule, log, self._after, heads)
        print(f"{plan.steps - first} steps in {(time.monotonic() - started) / 60:.1f} min")

    def _taken_over(self) -> list[nn.Module]:
        """What a teacher made, which learns at the plain rate."""
        if self.learners.predictor is None:
            return []
        blocks: list[nn.Module] = list(self.learners.model.encoder.blocks)[TAKEN_OVER]
        return [*blocks, self.learners.text] if self.learners.text is not None else blocks

    def _loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        losses, figures = step_losses(
            self.learners, batch, self.plan.weights, self.plan.progress(step)
        )
        if self._evaluates(step + 1):
            self.norms = gradient_norms(losses, self.learners.model.encoder.blocks[-1])
        return torch.stack(list(losses.values())).sum(), figures

    def _evaluates(self, done: int) -> bool:
        return done % self.plan.look_every == 0 or done == self.plan.steps

    def _after(self, done: int) -> None:
        plan = self.plan
        self.average.follow(self.averaged)
        if plan.qat and done == self.rounding_from:
            rounded = fake_quantize(self.learners.model)
            print(f"step {done}  {rounded} linears see int8 rounding", flush=True)
        if plan.rank:  # the first process speaks for all
            return
        if done % plan.save_every == 0 or done == plan.steps:
            save_state(plan.out / "state.pt", self.parts, done)
        if self._evaluates(done):
            modules = self.average.modules
            save_checkpoint(plan.out / "model.safetensors", self.mean, done)
            save_predictor(plan.out / "predictor.safetensors", modules.get("predictor"))
            text = modules.get("text")
            if isinstance(text, TextLearner):
                save_text(plan.out / "text_decoder.safetensors", text)
            figures = self.evaluate(modules) | self.norms
            shown = "  ".join(f"{name} {value:.3g}" for name, value in figures.items())
            print(f"step {done}  {shown}", flush=True)
            Log(plan.out / "look.csv", 1, plan.steps).write({"step": done, **figures})


def save_predictor(path: Path, predictor: nn.Module | None) -> None:
    """The predictor beside a checkpoint: `predictor.*`, `latent.mean`, `latent.std`."""
    if not isinstance(predictor, LatentPredictor):
        return
    tensors = {
        "predictor.weight": predictor.out.weight, "predictor.bias": predictor.out.bias,
        "latent.mean": predictor.mean, "latent.std": predictor.std,
    }  # fmt: skip
    write_tensors(path, {name: value.detach().cpu() for name, value in tensors.items()}, {})
