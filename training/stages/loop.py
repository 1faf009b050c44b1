"""The training loop's machinery: schedule, resumable state, log. Knows nothing of the losses."""

import copy
import csv
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from training.simulation.batch import Batch


@dataclass(frozen=True)
class Schedule:
    """Warm-up, constant, linear decay to zero over the last share of `steps`."""

    peak: float
    steps: int
    warmup: int = 200
    decay: float = 0.3

    def rate(self, step: int) -> float:
        """Learning rate of one step."""
        rising = min(1.0, (step + 1) / self.warmup)
        falling = min(1.0, (self.steps - step) / (self.decay * self.steps))
        return self.peak * min(rising, max(falling, 0.0))


def adamw(
    modules: Iterable[nn.Module],
    rate: float,
    weight_decay: float = 0.05,
    slow: Iterable[nn.Module] = (),
    fast: float = 1.0,
) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only; all that is not in `slow` has `fast` times the
    rate."""
    slow_ids = {id(p) for m in slow for p in m.parameters()}
    trained = [p for m in modules for p in m.parameters() if p.requires_grad]
    groups = [
        {
            "params": [
                p for p in trained if (p.ndim >= 2) == matrix and (id(p) in slow_ids) == is_slow
            ],
            "weight_decay": weight_decay if matrix else 0.0,
            "scale": 1.0 if is_slow else fast,
        }
        for is_slow in (False, True)
        for matrix in (True, False)
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=rate, betas=(0.9, 0.98), fused=True
    )


class Average:
    """Exponential mean of modules' weights over the last `1 / (1 - decay)` steps, fewer at first:
    near to what a falling learning rate gives, at any step."""

    def __init__(self, modules: Mapping[str, nn.Module], decay: float = 0.999) -> None:
        self.modules = {name: copy.deepcopy(m) for name, m in modules.items()}
        for module in self.modules.values():
            module.requires_grad_(False)
        self.decay, self.n_steps = decay, 0

    @torch.no_grad()
    def follow(self, modules: Mapping[str, nn.Module]) -> None:
        """Move towards the modules, in place; integers are taken over."""
        decay = min(self.decay, (1 + self.n_steps) / (10 + self.n_steps))
        self.n_steps += 1
        for name, mean in self.modules.items():
            new = modules[name].state_dict()
            for key, value in mean.state_dict().items():
                if value.is_floating_point():
                    value.lerp_(new[key], 1.0 - decay)
                else:
                    value.copy_(new[key])

    def state_dict(self) -> dict[str, Any]:
        """The mean and how many steps are in it."""
        return {"n_steps": self.n_steps, **{n: m.state_dict() for n, m in self.modules.items()}}

    def load_state_dict(self, stored: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.n_steps = int(stored["n_steps"])
        for name, module in self.modules.items():
            module.load_state_dict(stored[name])


def use_bfloat16(blocks: Iterable[nn.Module], device: torch.device) -> None:
    """Products of the encoder's blocks in bfloat16, all between them and all sums in float32: 1.9
    times faster steps where the processor multiplies in it (AVX512-BF16, AMX), slower elsewhere."""
    for block in blocks:
        block.forward = torch.autocast(device.type, torch.bfloat16)(block.forward)


def choose_device(name: str) -> torch.device:
    """The device of that name; `cuda` under `torchrun` is the process's own GPU."""
    local = os.environ.get("LOCAL_RANK") if name == "cuda" else None
    return torch.device(name if local is None else f"cuda:{local}")


def join_group() -> tuple[int, int]:
    """Rank and number of the processes that `torchrun` started; (0, 1) without it."""
    if "WORLD_SIZE" not in os.environ:
        return 0, 1
    dist.init_process_group("gloo")
    return dist.get_rank(), dist.get_world_size()


def average_gradients(trained: list[nn.Parameter]) -> None:
    """The mean over all processes, so that every one of them takes the same step."""
    if not dist.is_initialized():
        return
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
    together = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(together)
    together /= dist.get_world_size()
    for p, part in zip(trained, together.split([p.numel() for p in trained]), strict=True):
        p.grad = part.view_as(p)


def save_state(path: Path, parts: Mapping[str, Any], step: int) -> None:
    """Write the state of every part (modules, optimizer) and the next step, atomically."""
    partial = path.with_name(path.name + ".partial")
    torch.save({"step": step, **{name: part.state_dict() for name, part in parts.items()}}, partial)
    partial.replace(path)


def load_state(path: Path, parts: Mapping[str, Any]) -> int:
    """Restore every part from `path` and return the next step; 0 if there is no such file."""
    if not path.exists():
        return 0
    stored = torch.load(path, map_location="cpu", weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(stored[name])
    return int(stored["step"])


class Log:
    """One CSV row and one printed line every `every` steps, with the mean of each figure."""

    def __init__(self, path: Path, every: int, total: int) -> None:
        self.path, self.every, self.total = path, every, total
        self.sums: dict[str, float] = {}
        self.count = 0
        self.started = time.monotonic()

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        """Collect one step's figures; write and print when due."""
        for name, value in figures.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1
        if (step + 1) % self.every:
            return
        elapsed = time.monotonic() - self.started
        means = {name: value / self.count for name, value in self.sums.items()}
        left_min = (self.total - step - 1) * elapsed / self.count / 60
        shown = "  ".join(f"{name} {value:.4g}" for name, value in means.items())
        print(f"step {step + 1}/{self.total}  {shown}  eta {left_min:.0f} min", flush=True)
        self.write({"step": step + 1, **means, "seconds": elapsed})
        self.sums, self.count, self.started = {}, 0, time.monotonic()

    def write(self, row: Mapping[str, float]) -> None:
        """Append one CSV row; the header is written once."""
        new = not self.path.exists()
        with self.path.open("a", newline="") as lines:
            writer = csv.DictWriter(lines, fieldnames=list(row))
            if new:
                writer.writeheader()
            writer.writerow({k: f"{v:.6g}" for k, v in row.items()})


def run(
    step_loss: Callable[[Batch, int], tuple[torch.Tensor, dict[str, float]]],
    batches: Iterable[Batch],
    first: int,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    log: Log,
    after_step: Callable[[int], None],
    heads: Iterable[nn.Module] = (),
) -> None:
    """One optimizer step per batch, on the parameters' device; a step whose gradient is not finite
    is skipped and counted. Gradients are clipped to a norm of 1, those of `heads` on their own."""
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    apart = {id(p) for head in heads for p in head.parameters()}
    clipped = [[p for p in trained if (id(p) in apart) == is_apart] for is_apart in (False, True)]
    device = trained[0].device
    for step, batch in enumerate(batches, start=first):
        rate = schedule.rate(step)
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)
        loss, figures = step_loss(batch.to(device), step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(trained)
        norms = [torch.nn.utils.clip_grad_norm_(some, 1.0) for some in clipped if some]
        finite = all(bool(torch.isfinite(norm)) for norm in norms)
        if finite:
            optimizer.step()
        grad = float(norms[0]) if finite else 0.0
        log.add(step, {**figures, "grad": grad, "skipped": 1.0 - finite})
        after_step(step + 1)
