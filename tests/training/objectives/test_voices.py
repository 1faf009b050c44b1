"""A speaker encoder as teacher: its end is handed over, its frames are learned."""

import numpy as np
import pytest
import torch

from echo_edge_export.model.heads import SpeakerHead
from tests.training.test_joint import SMALL
from training.objectives.voices import SpeakerTeacher

WIDTH, E = SMALL.d_model, SMALL.embedding_dim


@pytest.fixture
def teacher() -> SpeakerTeacher:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((E, 2 * WIDTH)).astype(np.float32)
    bias, mean = rng.standard_normal(E).astype(np.float32), rng.random(WIDTH).astype(np.float32)
    return SpeakerTeacher((weight, bias), mean, np.ones(WIDTH, np.float32))


def test_a_head_with_the_teachers_frames_gives_its_embeddings(
    teacher: SpeakerTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = SpeakerHead(SMALL).eval()
    teacher.hand_over(head)
    frames = torch.rand(3, 50, WIDTH)
    monkeypatch.setattr(head, "frames", lambda latents: latents)

    said = head(frames, torch.ones(3, 1, 50))[:, 0]

    torch.testing.assert_close(said, teacher.embed(frames), rtol=0, atol=1e-4)


def test_a_new_head_begins_near_the_mean_voice(teacher: SpeakerTeacher) -> None:
    head = SpeakerHead(SMALL)
    teacher.hand_over(head)
    frames = head.frames(torch.randn(2, 30, WIDTH))

    assert (frames.mean((0, 1)) - teacher.mean).abs().mean() < 0.1


def test_other_widths_are_refused() -> None:
    small = SpeakerTeacher(
        (np.zeros((E, 4), np.float32), np.zeros(E, np.float32)),
        np.zeros(2, np.float32), np.ones(2, np.float32),
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"speaker head: found pooling .*, expected the teacher's"):
        small.hand_over(SpeakerHead(SMALL))
