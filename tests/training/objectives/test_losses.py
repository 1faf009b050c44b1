import itertools
from pathlib import Path

import pytest
import torch

from echo_edge_export.model.config import POWERSET, TOKENS
from training.objectives.losses import (
    ArcFace,
    PhoneHead,
    affinity_loss,
    ctc_loss,
    powerset_loss,
    powerset_targets,
    separation_loss,
)
from training.scoring.quick import equal_error_rate, greedy
from training.stages.loop import Schedule, load_state, save_state


def test_powerset_targets_name_the_active_speakers() -> None:
    for index, speakers in enumerate(POWERSET):
        active = torch.zeros(3, 1)
        active[list(speakers)] = 1.0
        assert powerset_targets(active).item() == index


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_powerset_loss_does_not_depend_on_the_order_of_speakers(order: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    logprobs = torch.randn(2, 30, 7).log_softmax(-1)
    active = (torch.rand(2, 3, 30) > 0.6).float()

    torch.testing.assert_close(
        powerset_loss(logprobs, active[:, list(order)]), powerset_loss(logprobs, active)
    )


def test_powerset_loss_of_the_right_answer_is_nearly_zero() -> None:
    active = torch.zeros(1, 3, 20)
    active[0, 0, :12] = active[0, 1, 8:] = 1.0
    right = torch.nn.functional.one_hot(powerset_targets(active), 7).float()

    assert powerset_loss((right * 20).log_softmax(-1), active).item() < 1e-3
    assert powerset_loss((right.roll(5, 1) * 20).log_softmax(-1), active).item() > 1.0


def test_ctc_of_a_spelled_word_and_its_greedy_reading() -> None:
    path = [0, 10, 10, 0, 7, 14, 0, 14, 17, 0, 1]
    logprobs = (torch.nn.functional.one_hot(torch.tensor(path), len(TOKENS)) * 30.0).log_softmax(-1)
    target = torch.tensor([10, 7, 14, 14, 17, 1])

    assert greedy(logprobs) == "hello"
    assert ctc_loss(logprobs[None], target, torch.tensor([6])).item() < 0.01
    assert ctc_loss(logprobs[None], target.flip(0), torch.tensor([6])).item() > 5.0


def test_affinity_rewards_voices_that_lie_apart() -> None:
    torch.manual_seed(0)
    active = torch.zeros(1, 3, 60)
    active[0, 0, :20] = active[0, 1, 15:50] = 1.0
    voices = torch.tensor([[5.0, 0.0], [-5.0, 0.0], [0.0, 0.0]])
    apart = (active[0].T @ voices)[None] + 0.1 * torch.randn(1, 60, 2)

    assert affinity_loss(apart, active) < 0.1
    assert affinity_loss(torch.randn(1, 60, 2), active) > 0.5
    assert affinity_loss(apart, active[:, [2, 0, 1]]) == affinity_loss(apart, active)


def test_frames_without_a_known_phone_teach_nothing() -> None:
    torch.manual_seed(0)
    head, latents = PhoneHead(16, 5), torch.randn(1, 4, 16, requires_grad=True)
    phones = torch.tensor([[1, 1, 3, 3, -100, -100, -100, -100]])

    loss, right = head(latents, phones)
    loss.backward()

    assert 0.0 <= right <= 100.0
    assert latents.grad is not None
    assert latents.grad[0, :2].abs().min() > 0.0
    assert not latents.grad[0, 2:].any()


def test_the_margin_makes_arcface_harder() -> None:
    torch.manual_seed(0)
    loss = ArcFace(8, 5)
    embeddings = torch.nn.functional.normalize(torch.randn(6, 8), dim=1)
    classes = torch.tensor([0, 1, 2, 3, 4, 0])

    assert loss(embeddings, classes, 0.3) > loss(embeddings, classes, 0.0)


def test_separation_finds_the_permutation() -> None:
    torch.manual_seed(0)
    sources = torch.randn(2, 3, 8, 5, 2)
    sources[:, 2] = 0.0
    present = torch.tensor([[True, True, False]] * 2)
    shuffle = [2, 0, 1]
    free = torch.zeros_like(present)
    good = separation_loss(sources[:, shuffle], sources, present, free)
    bad = separation_loss(torch.randn_like(sources), sources, present, free)

    assert good[2].tolist() == [shuffle, shuffle]
    assert good[0] < bad[0] - 1.0
    assert good[1]["snr"] > 20.0


def test_a_slot_that_was_told_a_voice_is_held_to_it() -> None:
    torch.manual_seed(0)
    sources = torch.randn(1, 3, 8, 5, 2)
    present, told = torch.ones(1, 3, dtype=torch.bool), torch.tensor([[True, False, False]])
    shuffle = [1, 2, 0]

    order = separation_loss(sources[:, shuffle], sources, present, told)[2]

    assert order.tolist() == [[0, 2, 1]]


def test_equal_error_rate() -> None:
    import numpy as np

    same = np.array([True] * 4 + [False] * 4)
    assert equal_error_rate(np.array([9.0, 8, 7, 6, 4, 3, 2, 1]), same) == 0.0
    assert equal_error_rate(np.array([9.0, 8, 7, 3, 6, 2, 1, 0]), same) == 25.0


def test_schedule_rises_holds_and_decays() -> None:
    schedule = Schedule(1.0, steps=1000, warmup=100, decay=0.3)
    rates = [schedule.rate(step) for step in (0, 99, 100, 600, 850, 999)]

    assert rates == pytest.approx([0.01, 1.0, 1.0, 1.0, 0.5, 1 / 300])


def test_training_state_resumes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    parts = {"model": model, "optimizer": optimizer}
    assert load_state(tmp_path / "state.pt", parts) == 0
    save_state(tmp_path / "state.pt", parts, 12)
    other = torch.nn.Linear(3, 2)
    again = {"model": other, "optimizer": torch.optim.AdamW(other.parameters())}

    assert load_state(tmp_path / "state.pt", again) == 12
    torch.testing.assert_close(other.weight, model.weight)
