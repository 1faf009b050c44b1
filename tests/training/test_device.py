"""Training on another device, without having one: a mixture of devices is what breaks there."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from echo_edge_export.model.echo import Echo
from tests.training.fake_teacher import FakeStore, FakeVoices
from tests.training.simulation.test_pipeline import aligned, write_split
from tests.training.test_joint import SMALL
from training import heads
from training.corpora.data import load_corpus
from training.objectives.latents import LatentPredictor
from training.objectives.losses import ArcFace, PhoneHead, turns_loss
from training.objectives.vq import VectorQuantizer
from training.simulation.batch import Batch
from training.simulation.batches import Batches, BatchSpec, Teachers, loader
from training.stages.loop import choose_device
from training.stages.starting import start_voices
from training.stages.step import Learners, Progress, Weights, step_losses

INDEXING = ("__getitem__", "__setitem__")


class Elsewhere(TorchFunctionMode):
    """Takes the tensors in `there`, and all that is made of them or for their device, to be on
    another device; raises where they meet others. Single numbers may meet everything and indices
    anything, as PyTorch allows."""

    def __init__(self, there: list[Tensor]) -> None:
        super().__init__()
        self.there = WeakTensorKeyDictionary(dict.fromkeys(there, True))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        leaves = tree_leaves((args, kwargs or {}))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        there = [t for t in tensors if t in self.there]
        here = [t for t in tensors if t not in self.there and t.dim()]
        told = any(isinstance(leaf, torch.device) for leaf in leaves)
        if there and here and not told and name not in INDEXING:
            raise RuntimeError(f"{name}: tensors on two devices")
        made = func(*args, **(kwargs or {}))
        if there or told:
            for tensor in tree_leaves(made):
                if isinstance(tensor, Tensor):
                    self.there[tensor] = True
        return made


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> Batches:
    root = tmp_path_factory.mktemp("data")
    write_split(root / "train", [f"s{i}" for i in range(6)], 0)
    corpus = load_corpus([root / "train"], root / "cache")
    voices = FakeVoices(corpus, SMALL.d_model, SMALL.embedding_dim, n=3)
    teachers = Teachers(FakeStore(corpus), voices)
    spec = BatchSpec(2, conversations=2, windows=2, window_s=2.0, crops_s=6.0)
    return Batches(corpus, None, spec, 0, aligned(corpus), teachers=teachers)


@pytest.fixture
def learners(batches: Batches) -> Learners:
    model = Echo(SMALL).train()
    arcface = ArcFace(SMALL.embedding_dim, batches.n_voices)
    return Learners(
        model,
        arcface,
        PhoneHead(SMALL.d_model, len(batches.alignment.phones)),
        LatentPredictor(SMALL.d_model, torch.zeros(8), torch.ones(8)),
        VectorQuantizer(16, SMALL.d_model),
        speaker_teacher=start_voices(model, arcface, batches, hand_over=True),
    )


def tensors_of(learners: Learners, batch: Batch) -> list[Tensor]:
    parts = learners.parts().values()
    modules = [t for part in parts for t in (*part.parameters(), *part.buffers())]
    return [*modules, *(value for value in vars(batch).values() if isinstance(value, Tensor))]


def test_the_joint_loss_stays_on_its_device(batches: Batches, learners: Learners) -> None:
    batch, weights = batches[2000], Weights(latents=1.0, likeness=1.0, frames=1.0)
    with Elsewhere(tensors_of(learners, batch)):
        losses, _ = step_losses(learners, batch, weights, Progress(2000))
        torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is not None for p in learners.arcface.parameters())


def test_the_loss_of_the_heads_stays_on_its_device(batches: Batches, learners: Learners) -> None:
    batch = batches[2000]
    with Elsewhere(tensors_of(learners, batch)):
        loss, _ = heads.heads_loss(learners.model, learners.arcface, batch, 3)
    assert torch.isfinite(loss)


def test_the_check_finds_what_was_left_behind(learners: Learners) -> None:
    head = learners.model.diarization
    latents, active = torch.randn(2, 8, SMALL.d_model), torch.ones(2, 3, 8)
    with Elsewhere([*head.parameters(), latents]), pytest.raises(RuntimeError, match="two devices"):
        turns_loss(head, latents, active)


def test_more_workers_make_the_same_batches(batches: Batches) -> None:
    one, two = (list(loader(batches, 3, 6, workers=workers)) for workers in (1, 2))
    for first, second in zip(one, two, strict=True):
        torch.testing.assert_close(first.pcm, second.pcm, rtol=0.0, atol=0.0)
        torch.testing.assert_close(first.mixture, second.mixture, rtol=0.0, atol=0.0)
        torch.testing.assert_close(first.windows, second.windows, rtol=0.0, atol=0.0)


def test_every_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert str(choose_device("cuda")) == "cuda:1"
    assert str(choose_device("cpu")) == "cpu"
    monkeypatch.delenv("LOCAL_RANK")
    assert str(choose_device("cuda")) == "cuda"
