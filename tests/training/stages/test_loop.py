"""Several processes train as one."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as mp
from torch import nn

from training.stages.loop import Log, Schedule, adamw, join_group, run

STEPS = 5


def batch(index: int) -> torch.Tensor:
    return torch.randn(4, 3, generator=torch.Generator().manual_seed(index))


def train(indices: Callable[[int], list[int]], out: Path) -> None:
    """Fit a line; step `s` sees the batches `indices(s)`."""
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    batches: list[Any] = [torch.cat([batch(i) for i in indices(s)]) for s in range(STEPS)]

    def loss(x: Any, _: int) -> tuple[torch.Tensor, dict[str, float]]:
        error = (model(x) - x.sum(1, keepdim=True)).square().mean()
        return error, {"error": error.item()}

    schedule = Schedule(1e-2, STEPS, warmup=1)
    log = Log(out.with_suffix(".csv"), STEPS, STEPS)
    run(loss, batches, 0, adamw([model], 1e-2), schedule, log, lambda _: None)
    torch.save(model.state_dict(), out)


def process(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29517"}
    assert join_group() == (rank, world)
    train(lambda step: [step * world + rank], Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    mp.spawn(process, (2, str(tmp_path)), nprocs=2)
    train(lambda step: [2 * step, 2 * step + 1], tmp_path / "alone.pt")

    first, second, alone = (torch.load(tmp_path / f"{n}.pt") for n in ("0", "1", "alone"))
    for name, value in alone.items():
        torch.testing.assert_close(first[name], second[name])
        torch.testing.assert_close(first[name], value, rtol=1e-4, atol=1e-5)


def test_without_torchrun_there_is_one_process() -> None:
    assert join_group() == (0, 1)
