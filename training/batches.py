"""Step number -> batch, a pure function: training resumes anywhere and replays exactly.

A batch holds read utterances (words, one voice each) and conversations (turns, voices, sources).
The loader builds them ahead in processes of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from echo_edge_export.config import TOKENS

from .align import Alignment
from .augment import SPEEDS, active_steps, microphone
from .data import Corpus
from .meetings import Meeting, window
from .mixtures import MAX_SPEAKERS, Mixture, conversation, excerpt, meeting
from .readings import MICROPHONE_SHARE, Readings

CHARACTER = {" " if token == "<space>" else token: i for i, token in enumerate(TOKENS)}

EASY_STEPS, RAMP_STEPS = 300, 1000
"""Training starts with short, clean items under full context and ramps to the full task."""

CHUNKS = (4, 5, 6, 8, 10, 12, 15, 16, 20, 24)
"""Chunk sizes of training, in steps."""

TIMING_SHARE = 0.5
"""Of simulated conversations, where the timing of real meetings is known."""

MEETING_SHARE = 0.4
"""In how many batches the last conversation is a real one: minutes of them are all there are."""


def difficulty(step: int) -> float:
    """0 for the easy start (short, clean, mostly synthetic), 1 for the full task."""
    return min(1.0, max(0.0, (step - EASY_STEPS) / RAMP_STEPS))


@dataclass(frozen=True)
class Batch:
    """Tensors of one training step (U read items of N samples, M conversations of P samples)."""

    pcm: Tensor
    """`[U, N]` read speech."""
    targets: Tensor
    """Characters of all U items, concatenated, int64."""
    target_lengths: Tensor
    """`[U]`."""
    said: Tensor
    """Phones of all U items, a space between words, concatenated, int64."""
    said_lengths: Tensor
    """`[U]`."""
    phones: Tensor
    """`[U, N / 320]` index of the phone at every CTC frame, int64; -100 where unknown."""
    active: Tensor
    """`[U, N / 640]` in {0, 1}."""
    voices: Tensor
    """`[U]` speaker class, -1 where unknown."""
    mixture: Tensor
    """`[M, P]`: real conversations, if any, come last."""
    sources: Tensor
    """`[up to M, K, P]`, of those that are simulated."""
    mixture_active: Tensor
    """`[M, K, P / 640]` in {0, 1}."""
    mixture_voices: Tensor
    """`[M, K]` speaker class, -1 for an unused slot."""
    chunk_steps: int
    left_steps: int

    def to(self, device: torch.device) -> "Batch":
        """The same batch with its tensors on `device`."""
        moved: Any = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **moved)


@dataclass(frozen=True)
class BatchSpec:
    """How much of what a batch holds."""

    read_items: int = 5
    read_s: tuple[float, float] = (4.0, 12.0)
    conversations: int = 3
    conversation_s: float = 9.6
    """240 steps: every one of CHUNKS divides it."""
    full_context: float = 0.4
    """Share of steps trained with unlimited context instead of chunks."""


class Batches(Dataset[Batch]):
    """`batches[step]` is the batch of that step, the same in every run with the same seed."""

    def __init__(
        self,
        corpus: Corpus,
        rooms: NDArray[np.float32] | None,
        spec: BatchSpec,
        seed: int,
        alignment: Alignment,
        easy_start: bool = True,
        roughness: float = 1.0,
        meetings: Sequence[Meeting] = (),
        timing: Sequence[Sequence[tuple[float, float, str]]] = (),
    ) -> None:
        self.corpus, self.rooms, self.spec, self.seed = corpus, rooms, spec, seed
        self.alignment, self.easy_start = alignment, easy_start
        self.voices = corpus.by_speaker()
        self.meetings, self.timing = meetings, timing
        met = {speaker for meeting in meetings for speaker in meeting.speakers}
        names = [*sorted(self.voices), *sorted(met)]
        self.classes = {name: i for i, name in enumerate(names)}
        self.readings = Readings(corpus, rooms, alignment, self.classes, roughness)

    @property
    def n_voices(self) -> int:
        """Speaker classes: every known voice at every speed."""
        return len(self.classes) * len(SPEEDS)

    def __len__(self) -> int:
        return 1 << 40

    def _conversation(self, real: bool, rng: np.random.Generator) -> Mixture:
        """A window of a meeting, or a simulated conversation; most through a random microphone."""
        seconds = self.spec.conversation_s
        if real:
            mixture = window(self.meetings[int(rng.integers(len(self.meetings)))], seconds, rng)
        elif self.timing and rng.random() < TIMING_SHARE:
            turns = excerpt(self.timing[int(rng.integers(len(self.timing)))], seconds, 1, rng)
            turns = [turn for turn in turns if turn[0] < MAX_SPEAKERS]
            mixture = meeting(self.corpus, self.voices, self.rooms, turns, seconds, rng)
        else:
            n_speakers = int(rng.choice([1, 2, 3], p=[0.25, 0.45, 0.3]))
            mixture = conversation(self.corpus, self.voices, self.rooms, seconds, n_speakers, rng)
        if rng.random() >= MICROPHONE_SHARE:
            return mixture
        rows = microphone(np.concatenate([mixture.pcm[None], mixture.sources]), rng)
        return replace(mixture, pcm=rows[0], sources=rows[1:])

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng((self.seed, step))
        spec = self.spec
        hard = difficulty(step) if self.easy_start else 1.0
        shortest, longest = spec.read_s
        seconds = float(rng.uniform(shortest, longest - 0.6 * (1.0 - hard) * (longest - shortest)))
        n_items = max(1, round(spec.read_items * np.mean(spec.read_s) / seconds))
        read = [self.readings.draw(seconds, hard, rng) for _ in range(n_items)]
        several = bool(self.meetings) and spec.conversations > 1
        n_simulated = spec.conversations - int(several and rng.random() < MEETING_SHARE)
        mixtures = [self._conversation(i >= n_simulated, rng) for i in range(spec.conversations)]
        targets = [[CHARACTER[c] for c in item.text] for item in read]
        said = [self.readings.sounds(item.text) for item in read]
        mixture_voices = np.full((len(mixtures), MAX_SPEAKERS), -1)
        for row, mix in zip(mixture_voices, mixtures, strict=True):
            for k, (name, speed) in enumerate(zip(mix.speakers, mix.speeds, strict=True)):
                row[k] = self.classes[name] * len(SPEEDS) + speed
        full = rng.random() < 1.0 - (1.0 - spec.full_context) * hard
        chunk = 1000 if full else int(rng.choice(CHUNKS))
        return Batch(
            pcm=torch.from_numpy(np.stack([item.pcm for item in read])),
            targets=torch.tensor([c for row in targets for c in row], dtype=torch.long),
            target_lengths=torch.tensor([len(row) for row in targets]),
            said=torch.tensor([phone for row in said for phone in row], dtype=torch.long),
            said_lengths=torch.tensor([len(row) for row in said]),
            phones=torch.from_numpy(np.stack([item.phones for item in read])),
            active=torch.from_numpy(np.stack([active_steps(item.clean) for item in read])).float(),
            voices=torch.tensor([item.voice for item in read]),
            mixture=torch.from_numpy(np.stack([m.pcm for m in mixtures])),
            sources=torch.from_numpy(np.stack([m.sources for m in mixtures[:n_simulated]])),
            mixture_active=torch.from_numpy(np.stack([m.active for m in mixtures])).float(),
            mixture_voices=torch.from_numpy(mixture_voices),
            chunk_steps=chunk,
            left_steps=1000 if full else int(rng.integers(2, 9)) * 12,
        )


def loader(
    batches: Batches, first: int, last: int, rank: int = 0, world: int = 1, workers: int = 1
) -> DataLoader[Batch]:
    """Batches of steps `first` to `last - 1`, in order, built ahead by `workers` processes; each of
    `world` processes has batches of its own."""
    steps = range(first * world + rank, last * world + rank, world)
    return DataLoader(
        batches,
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        prefetch_factor=6,
    )


def default_rooms(cache: Path) -> NDArray[np.float32]:
    """The bank of rooms, made once."""
    from .augment import room_bank

    return room_bank(cache / "rooms.npy")
